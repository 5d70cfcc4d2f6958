"""The zips: the same inputs give the same bytes, and each zip has what its function needs."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infra import build
from shared.message import READS, VERSION

OURS = {"ingest": {"ingest_fn", "partners", "shared"}, "worker": {"partners", "shared", "worker_fn"}}


@pytest.fixture(scope="module")
def zips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zips")
    assert build.main(["aws", "local", "--output", str(folder)]) == 0
    return folder


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


@pytest.mark.parametrize("target", ["aws", "local"])
@pytest.mark.parametrize("function", ["ingest", "worker"])
def test_a_second_build_elsewhere_gives_the_same_bytes(zips: Path, tmp_path: Path, target: str, function: str) -> None:
    """A zip contains neither the time nor the folder of its build."""
    again = build.build(build.TARGETS[target], function, tmp_path / "another folder")
    assert again.fresh
    assert again.path.read_bytes() == (zips / target / f"{function}.zip").read_bytes()


def test_an_unchanged_zip_is_left_alone(zips: Path) -> None:
    """A build whose zip would be the same does nothing."""
    path = zips / "local/ingest.zip"
    before = path.stat().st_mtime_ns
    built = build.build(build.TARGETS["local"], "ingest", zips)
    assert not built.fresh
    assert path.stat().st_mtime_ns == before
    assert built.unzipped_bytes == sum(info.file_size for info in zipfile.ZipFile(path).infolist())


def test_a_change_of_a_source_builds_anew(zips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zip is built again if one of its inputs has changed, however old or new it is."""
    target, requirements = build.TARGETS["local"], build.ROOT / "requirements/ingest.txt"
    before = build.digest(target, "ingest", requirements, None)
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "new.py").write_text("")
    real = build.source_files
    monkeypatch.setattr(build, "ROOT", Path("/"))
    monkeypatch.setattr(build, "source_files", lambda folder: real(extra))
    assert build.digest(target, "ingest", requirements, None) != before


@pytest.mark.parametrize("target", ["aws", "local"])
@pytest.mark.parametrize("function", ["ingest", "worker"])
def test_a_zip_holds_its_own_function_and_its_own_libraries(zips: Path, target: str, function: str) -> None:
    """A zip has exactly the packages that its function imports and the libraries of its lock."""
    held = names(zips / target / f"{function}.zip")
    tops = {name.split("/")[0] for name in held}
    assert tops & {"ingest_fn", "worker_fn", "shared", "partners", "testkit", "ops", "infra", "tests"} == OURS[function]
    locked = set(re.findall(r"^([\w-]+)==", (build.ROOT / f"requirements/{function}.txt").read_text(), re.MULTILINE))
    installed = {top.split("-")[0].replace("_", "-") for top in tops if top.endswith(".dist-info")}
    assert installed == locked
    assert not tops & {"boto3", "botocore", "cffi"}


@pytest.mark.parametrize("target", ["aws", "local"])
def test_no_zip_holds_what_no_function_reads(zips: Path, target: str) -> None:
    """A zip has no tests, stubs, scripts or Powertools' web pages, and only the metadata that tools read."""
    for function in OURS:
        for name in names(zips / target / f"{function}.zip"):
            parts = name.split("/")
            assert not {"tests", "bin", "swagger_ui"} & set(parts)
            assert not name.endswith((".pyi", ".typed", ".lock"))
            assert not name.startswith(("zstandard/_cffi", "zstandard/backend_cffi"))
            if ".dist-info/" in name:
                assert parts[-1] in {"METADATA", "entry_points.txt"}


def test_aws_zips_hold_code_for_arm_and_local_ones_for_here(zips: Path) -> None:
    """Compiled libraries are built for the processor and the Python that load them."""
    for function in OURS:
        compiled = [name for name in names(zips / f"aws/{function}.zip") if name.endswith(".so") or ".so." in name]
        assert compiled
        with zipfile.ZipFile(zips / f"aws/{function}.zip") as archive:
            for name in compiled:
                elf = archive.read(name)[:20]
                assert elf[:4] == b"\x7fELF"
                assert int.from_bytes(elf[18:20], "little") == 0xB7  # EM_AARCH64
                # What a library brings of other libraries, in a folder of its own, is of no Python.
                assert "cpython-313" in name or "abi3" in name or ".libs/" in name


@pytest.mark.parametrize("target", ["aws", "local"])
def test_bytecode_is_there_for_every_module_or_for_none(zips: Path, target: str) -> None:
    """Bytecode is of the target's Python and is never checked against its source's time; without that Python there is
    none.
    """
    compiler = build.interpreter(build.TARGETS[target].python)
    for function in OURS:
        path = zips / target / f"{function}.zip"
        held = set(names(path))
        sources = {name for name in held if name.endswith(".py")}
        tag = f"cpython-{build.TARGETS[target].python.replace('.', '')}"
        expected = {re.sub(r"([^/]+)\.py$", rf"__pycache__/\1.{tag}.pyc", name) for name in sources}
        compiled = {name for name in held if name.endswith(".pyc")}
        assert compiled == (expected if compiler else set())
        with zipfile.ZipFile(path) as archive:
            # The flags of an unchecked hash: never compared with the source.
            assert {archive.read(name)[4:8] for name in compiled} <= {b"\x01\x00\x00\x00"}


def test_logos_stay_out_of_the_zips(zips: Path) -> None:
    """A partner's logo is beside its code, but in no zip, because no function reads it."""
    assert list((build.ROOT / "partners").glob("*.svg"))
    for function in OURS:
        assert [name for name in names(zips / f"aws/{function}.zip") if name.endswith(".svg")] == []


@pytest.mark.parametrize("function", ["ingest", "worker"])
def test_every_file_may_be_read_by_the_function(zips: Path, function: str) -> None:
    """Every file of a zip is readable by all, because Lambda runs as another user, and has a fixed time."""
    for info in zipfile.ZipFile(zips / f"aws/{function}.zip").infolist():
        assert info.external_attr >> 16 == 0o100644
        assert info.date_time == (1980, 1, 1, 0, 0, 0)


def test_ingest_starts_from_its_zip_alone(zips: Path) -> None:
    """Ingest and its registration can be imported from the zip and the standard library alone."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import ingest_fn.handler, ingest_fn.registration, partners.webhook\n"
        "print(ingest_fn.handler.__file__)"
    )
    unzipped = zips / "unzipped"
    zipfile.ZipFile(zips / "local/ingest.zip").extractall(unzipped)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(unzipped)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(unzipped))


def test_sizes_are_printed(zips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each zip's line names it, its two sizes, and whether it holds bytecode."""
    assert build.main(["local", "--output", str(zips)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert re.search(r"\.zip +\d+\.\d\d MB zipped +\d+\.\d\d MB unzipped  bytecode 3\.\d+", line)


def test_a_lock_that_is_missing_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a lock nothing is built, and the message names the command that writes it."""
    monkeypatch.setattr(build, "ROOT", tmp_path)
    assert build.main(["local", "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "requirements/ingest.txt is missing: make lock writes it\n"


def test_a_build_that_is_stopped_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C: no traceback, and the exit code of an interrupted command."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "build", interrupted)
    assert build.main(["local", "--output", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "The build was stopped: the same command builds what is missing.\n"


def test_a_release_names_its_commit(tmp_path: Path) -> None:
    """release.json has the commit of a clean checkout, adds `dirty` if a deployed file was changed, and has `unknown`
    without a repository.
    """

    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", *arguments], cwd=tmp_path, check=True
        )

    assert build.commit(tmp_path) == "unknown"
    git("init", "--quiet")
    assert build.commit(tmp_path) == "unknown", "nothing was committed yet"
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/a.py").write_text("")
    git("add", ".")
    git("commit", "--quiet", "-m", "One")
    clean = build.commit(tmp_path)
    assert re.fullmatch(r"[0-9a-f]{12}", clean)
    (tmp_path / "README.md").write_text("not deployed")
    assert build.commit(tmp_path) == clean
    (tmp_path / "shared/b.py").write_text("")
    assert build.commit(tmp_path) == f"{clean}-dirty"
    assert build.commit(tmp_path / "shared") == "unknown", "a folder inside somebody else's repository"


def test_a_release_notes_its_messages(zips: Path) -> None:
    """release.json has the versions of messages that are written and read."""
    noted = json.loads((zips / "local/release.json").read_text())
    assert (noted["writes_messages"], noted["reads_messages"]) == (str(VERSION), ",".join(map(str, READS)))
