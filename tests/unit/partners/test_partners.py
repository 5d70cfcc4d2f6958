import importlib
import re
import sys
import types
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.cli import app
from partners import Delivery, Partner, PartnerBroken, Secret, load_partner
from partners.webhook import Webhook
from shared.errors import InvalidSettings


def test_partner_is_chosen_by_one_setting() -> None:
    """PARTNER names the module; without it the webhook is meant."""
    env = {"WEBHOOK_URL": "https://partner.example/"}
    assert isinstance(load_partner({**env, "PARTNER": "partners.webhook"}), Webhook)
    assert isinstance(load_partner(env), Webhook)


def test_unknown_partner_is_named() -> None:
    """A module that does not exist is named in the error."""
    with pytest.raises(InvalidSettings, match=r"PARTNER=partners.nobody: no such module"):
        load_partner({"PARTNER": "partners.nobody"})


def test_missing_library_of_a_partner_is_not_taken_for_a_missing_partner(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partner that imports what is not installed fails with the name of that library, as one error for every verb."""

    def fail(name: str) -> types.ModuleType:
        raise ModuleNotFoundError("No module named 'acme_sdk'", name="acme_sdk")

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(PartnerBroken, match="acme_sdk"):
        load_partner({"PARTNER": "partners.acme"})


@pytest.mark.parametrize("count", [0, 2])
def test_module_must_hold_one_partner(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partner file without a Partner, or with two, is refused in words."""
    module = types.ModuleType("partners.odd")
    for index in range(count):
        setattr(module, f"P{index}", type(f"P{index}", (Partner,), {"__module__": module.__name__}))
    monkeypatch.setitem(sys.modules, "partners.odd", module)
    with pytest.raises(InvalidSettings, match=f"holds {count} Partner classes"):
        load_partner({"PARTNER": "partners.odd"})


def test_secret_does_not_show() -> None:
    """A credential in a delivery is masked wherever the delivery is printed."""
    delivery = Delivery(
        "https://p.example",
        b"{}",
        "e",
        secret_headers={"A": Secret("canary")},
        secret_fields={"key": Secret("canary")},
        sign_with=Secret("canary"),
    )
    assert "canary" not in repr(delivery) + str(delivery) + f"{Secret('canary')}"


def test_a_registration_declared_as_the_file_is_read_does_not_stop_a_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partner deployed by force is loaded by both functions, wherever it declares what breaks a rule."""
    (tmp_path / "early_partner.py").write_text(
        "from partners import Partner\nfrom shared.firehose import Registration\n"
        "WE = Registration(name='Velo', version='1', description='x' * 230)\n"
        "class Velo(Partner):\n    name = 'velo'\n    def deliveries(self, request): return ()\n"
        "    def registration(self): return WE\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert load_partner({"PARTNER": "early_partner"}).registration().description == "x" * 230


GOOD = """
from partners import Partner
class Velo(Partner):
    name = 'velo'
    def deliveries(self, request): return ()
    def registration(self): return None
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ndef f(:", r"SyntaxError in velo_partner.py:2: invalid syntax"),
        ("if True:\nx = 1", r"IndentationError in velo_partner.py:2: expected an indented block.*"),
        ("x = '\0'", r"\w+Error in (?!unknown).*: source code string cannot contain null bytes"),
        ("x = '\\ud8'", r"SyntaxError in velo_partner.py:1: .*"),
        ("\nimport velo_sdk", r"ModuleNotFoundError in velo_partner.py:2: No module named 'velo_sdk'"),
        ("from partners.base import Nothing", r"ImportError in velo_partner.py:1: cannot import name 'Nothing'.*"),
        ("import json\njson.loads('{')", r"JSONDecodeError in velo_partner.py:2: .*"),
        ("raise SystemExit(3)", r"SystemExit in velo_partner.py:1: 3"),
        ("x = {}\nx['a\\nb']", r"KeyError in velo_partner.py:2: .*"),
        (GOOD + "    def from_env(env): return env['VELO_KEY']", r"KeyError in velo_partner.py:7"),
        (GOOD + "    def from_env(env): raise SystemExit(3)", r"SystemExit in velo_partner.py:7"),
        (GOOD + "    def from_env(env): return int(env['PARTNER'])", r"ValueError in velo_partner.py:7"),
        (GOOD.replace("def registration", "def nothing"), r"TypeError in .*: .*abstract.*"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_error_with_file_and_line(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one line; what is raised for a variable is not quoted, for it may hold its value."""
    (tmp_path / "velo_partner.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "velo_partner", raising=False)
    importlib.invalidate_caches()
    with pytest.raises(PartnerBroken) as raised:
        load_partner({"PARTNER": "velo_partner"})
    assert re.fullmatch(f"PARTNER=velo_partner cannot be used: {said}", str(raised.value))
    monkeypatch.delitem(sys.modules, "velo_partner", raising=False)


@pytest.mark.parametrize(
    "name",
    ["webhook", "Webhook", "partners.Webhook", "partners/webhook.py", "partners.webhook ", "webhook.py", ".webhook",
     "partners..webhook", "json.webhook", "partners.webhook\n", "partners.webhook.", "./partners/webhook.py"],
)  # fmt: skip
def test_a_name_that_is_nearly_right_is_told_so(name: str) -> None:
    """With the one that was meant."""
    with pytest.raises(InvalidSettings) as raised:
        load_partner({"PARTNER": name, "WEBHOOK_URL": "https://partner.example/"})
    assert "did you mean partners.webhook?" in str(raised.value)


@pytest.mark.parametrize(
    "name", ["json", "partners.acme", "acme", ".", "..", "a b", "partners.", "٣", "partners.webhook.x"]
)
def test_a_name_of_nothing_says_where_a_partner_is(name: str) -> None:
    """Also one of a module that is no partner."""
    with pytest.raises(InvalidSettings, match=r"put the partner's file there|holds 0 Partner classes"):
        load_partner({"PARTNER": name})


def test_a_module_whose_name_begins_like_a_missing_one_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it imports is missing, and that is said."""
    (tmp_path / "velo_partners.py").write_text("import velo")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PartnerBroken, match="No module named 'velo'"):
        load_partner({"PARTNER": "velo_partners"})


@pytest.mark.parametrize(
    "words",
    [["registration", "--check"], ["registration"], ["partner", "replay", "-", "--partner", "velo_partner.broken"]],
)
def test_every_verb_says_it_in_a_line(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 2 and no traceback."""
    package = tmp_path / "velo_partner"
    package.mkdir()
    (package / "broken.py").write_text("def f(:")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "velo_partner", raising=False)
    done = CliRunner().invoke(app, words, env={"PARTNER": "velo_partner.broken"}, input="{}")
    assert done.exit_code == 2
    assert done.output == (
        "spillway: PARTNER=velo_partner.broken cannot be used: SyntaxError in broken.py:1: invalid syntax\n"
    )
    monkeypatch.delitem(sys.modules, "velo_partner", raising=False)


def test_a_registration_that_raises_is_said_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its code raises."""
    (tmp_path / "velo_raises.py").write_text(GOOD.replace("return None", "return {}['x']"))
    monkeypatch.syspath_prepend(tmp_path)
    done = CliRunner().invoke(app, ["registration", "--check"], env={"PARTNER": "velo_raises"})
    assert done.exit_code == 2
    assert done.output.startswith(
        "spillway: PARTNER=velo_raises cannot be used: registration() raises KeyError in velo_ra"
    )
