"""A stage's name and its file."""

from pathlib import Path

import pytest

from infra.stage import StageUnusable, check_name, enter, parse, read


def stage_file(folder: Path, text: str, stage: str = "prod") -> Path:
    path = folder / f".env.{stage}"
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("A=", ""),
        ("  A = b c  ", "b c"),
        ("export A=b", "b"),
        ("export\tA=b", "b"),
        ("A=b\r", "b"),
        ("A=b # comment", "b"),
        ("A=b#c", "b#c"),
        ("A=# comment", ""),
        ("A=b=c==", "b=c=="),
        ("A=$HOME/${B}", "$HOME/${B}"),
        ("A='b # c'  # d", "b # c"),
        ('A="b # c"', "b # c"),
        (r"""A="b \"c\" \\ \n" """, r'b "c" \ \n'),
        (r"A='b \'", "b \\"),
        ('A=\'{"X": "y"}\'', '{"X": "y"}'),
        ("A=b'c'", "b'c'"),
        ("A=ü", "ü"),
        ("A=''", ""),
    ],
)
def test_a_value_is_what_stands_there(line: str, value: str) -> None:
    """Quotes and comments have one meaning each, and a dollar has none."""
    assert parse(f"# first\n\n{line}\n") == {"A": value}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sk_live_1", "it has no ="),
        ("=sk_live_1", "must be a variable's name"),
        ("webhook_url=sk_live_1", "must be a variable's name"),
        ("A B=sk_live_1", "must be a variable's name"),
        ("1A=sk_live_1", "must be a variable's name"),
        ("A='sk_live_1", "not closed"),
        ('A="sk_live_1\\"', "not closed"),
        ("A='b' sk_live_1", "after the closing quote"),
        ("A='b'sk_live_1", "after the closing quote"),
        ("A=sk_live\x001", "cannot be shown"),
        ("A='sk_live\x1b1'", "cannot be shown"),
        ("B=sk_live_1", "B is set in line 1 already"),
        ("STAGE=sk_live_1", "the file's name says the stage"),
        ("STAGE_FILE=sk_live_1", "the file's name says the stage"),
        ("ALLOW=sk_live_1", "ALLOW is meant for one command"),
        ("YES=sk_live_1", "YES is meant for one command"),
        ("FORCE=sk_live_1", "FORCE is meant for one command"),
    ],
)
def test_a_line_that_is_none_is_named_by_its_number(line: str, said: str) -> None:
    """What it holds is not shown: it may be a secret in the wrong place."""
    with pytest.raises(StageUnusable, match=said) as refused:
        parse(f"B=c\n\n{line}\n")
    assert str(refused.value).startswith("line 3: ")
    assert "sk_live" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """It holds what a deploy is told, and the command that closes it is said."""
    path = stage_file(tmp_path, "A=b")
    path.chmod(mode)
    with pytest.raises(StageUnusable, match=r"chmod 600 \.env\.prod"):
        read(path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Neither a folder nor bytes end in a traceback."""
    path = stage_file(tmp_path, "")
    path.write_bytes(b"A=\xff")
    with pytest.raises(StageUnusable, match="it is no UTF-8"):
        read(path)
    path.write_bytes("\ufeffA=b".encode())
    assert read(path) == {"A": "b"}
    (tmp_path / ".env.folder").mkdir(mode=0o700)
    with pytest.raises(StageUnusable, match=r"\.env\.folder cannot be read"):
        enter("folder", {}, tmp_path)


def test_the_shell_wins_and_its_names_are_told(tmp_path: Path) -> None:
    """What both say in the same words is no override."""
    stage_file(tmp_path, "WEBHOOK_URL=https://a.example\nMAX_AGE_S=5\nWEBHOOK_PER=event\n")
    entered = enter("prod", {"WEBHOOK_URL": "", "WEBHOOK_PER": "event"}, tmp_path)
    assert entered.added == {"MAX_AGE_S": "5"}
    assert entered.told() == "stage prod: WEBHOOK_URL from the shell; MAX_AGE_S from .env.prod"
    assert enter("prod", {}, tmp_path).told() == ""


def test_who_one_is_is_never_half_of_the_shell_and_half_of_the_file(tmp_path: Path) -> None:
    """Keys of the shell with a profile of the file would be nobody, or somebody else; likewise two regions."""
    stage_file(tmp_path, "AWS_PROFILE=prod\nAWS_REGION=eu-west-1\nPOD=eu1\n")
    shell = {"AWS_ACCESS_KEY_ID": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    entered = enter("prod", shell, tmp_path)
    assert entered.added == {"POD": "eu1"}
    assert entered.overridden == ("AWS_PROFILE", "AWS_REGION")
    assert enter("prod", {}, tmp_path).added == {"AWS_PROFILE": "prod", "AWS_REGION": "eu-west-1", "POD": "eu1"}


def test_a_stage_without_a_file_is_what_the_shell_says(tmp_path: Path) -> None:
    """There is no file of another stage's that counts for it."""
    stage_file(tmp_path, "A=b", stage="production")
    assert enter("prod", {}, tmp_path).added == {}


def test_another_file_or_none_can_be_named(tmp_path: Path) -> None:
    """What a verb starts reads none again; one that is named has to be there."""
    other = stage_file(tmp_path, "A=b", stage="other")
    stage_file(tmp_path, "A=c")
    assert enter("prod", {"STAGE_FILE": ""}, tmp_path).added == {}
    assert enter("prod", {"STAGE_FILE": str(other)}, tmp_path).added == {"A": "b"}
    with pytest.raises(StageUnusable, match="cannot be read"):
        enter("prod", {"STAGE_FILE": str(tmp_path / ".env.none")}, tmp_path)


@pytest.mark.parametrize("data", ["remove", "Delete", "yes"])
def test_what_becomes_of_data_is_one_of_two_words(tmp_path: Path, data: str) -> None:
    """A word that nobody knows deletes nothing and keeps nothing: it is refused."""
    stage_file(tmp_path, f"DATA={data}")
    with pytest.raises(StageUnusable, match="keep or delete"):
        enter("prod", {}, tmp_path)


@pytest.mark.parametrize("form", ["JSON", "Text", "yes"])
def test_the_form_of_logs_is_one_of_two_words(tmp_path: Path, form: str) -> None:
    """Another one is refused before anything is deployed, whoever says it; an empty one is the default."""
    with pytest.raises(StageUnusable, match="text or json"):
        enter("prod", {"LOG_FORMAT": form}, tmp_path)
    enter("prod", {"LOG_FORMAT": ""}, tmp_path)
    stage_file(tmp_path, f"LOG_FORMAT={form}")
    with pytest.raises(StageUnusable, match="text or json"):
        enter("prod", {}, tmp_path)


@pytest.mark.parametrize("stage", ["", "a_b", "a.b", "a b", "../x", "-a", "a-", "ä", "us1-x", "eu1-production", "a\n"])
def test_a_name_that_aws_would_not_take_is_refused(stage: str) -> None:
    """Nor one that stands for another pod's stack."""
    with pytest.raises(StageUnusable):
        check_name(stage, "us1")


@pytest.mark.parametrize(("pod", "longest"), [("us1", 48), ("us2", 44)])
def test_a_name_may_be_as_long_as_lambdas_limit_lets_it(pod: str, longest: int) -> None:
    """The pod's suffix counts."""
    check_name("s" * longest, pod)
    with pytest.raises(StageUnusable, match=f"may have {longest}"):
        check_name("s" * (longest + 1), pod)


def test_an_unknown_pod_is_named() -> None:
    """The pods that there are follow."""
    with pytest.raises(StageUnusable, match="POD=mars is no pod of mParticle's: it is one of us1"):
        check_name("prod", "mars")
