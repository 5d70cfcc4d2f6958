"""A new partner is green at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.partner.check import check
from ops.partner.new import create
from shared.errors import InvalidSettings

ROOT = Path(__file__).parents[4]
WRITTEN = {
    "partners/acme_mail.py",
    "tests/unit/partners/test_acme_mail.py",
    "tests/fixtures/partners/acme_mail/event.json",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with what a partner stands on."""
    for name in ("ops", "shared", "testkit", "worker_fn", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "partners").mkdir()
    for file in (ROOT / "partners").glob("*.py"):
        (tmp_path / "partners" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "tests/fixtures").mkdir(parents=True)
    (tmp_path / "tests/fixtures/firehose").symlink_to(ROOT / "tests/fixtures/firehose")
    for name in ("tests/conftest.py", "tests/side_by_side.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


def run(project: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "PYTHONPATH": str(project)}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False, timeout=300)


def test_nothing_is_written_where_python_keeps_what_is_installed(tmp_path: Path) -> None:
    """A partner in site-packages would be deployed by nobody and gone with the next install."""
    with pytest.raises(InvalidSettings, match="a partner is written into a checkout of Spillway"):
        list(create("acme_mail", tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_all_that_is_written_is_green(project: Path) -> None:
    """Format, lint, types, its own test and the check pass on what was just written."""
    lines = list(create("acme_mail", project))
    assert {line.removeprefix("wrote ") for line in lines[:-1]} == WRITTEN
    files = [str(project / file) for file in sorted(WRITTEN) if file.endswith(".py")]
    for tool in (
        ["ruff", "format", "--check", *files],
        ["ruff", "check", *files],
        ["mypy", "--cache-dir", str(project / ".mypy_cache"), "-m", "partners.acme_mail"],
        ["pytest", "-q", "-p", "no:cacheprovider", "tests/unit/partners/test_acme_mail.py"],
    ):
        done = run(project, *tool)
        assert done.returncode == 0, done.stdout + done.stderr
    checked = check("partners.acme_mail", os.environ, count=5, seed=0, root=project)
    assert checked.findings == []
    assert checked.deliveries > 50


def test_what_is_there_is_never_overwritten(project: Path) -> None:
    """One of the files in the way, and nothing is written."""
    test = project / "tests/unit/partners/test_acme_mail.py"
    test.parent.mkdir(parents=True)
    test.write_text("mine")
    with pytest.raises(InvalidSettings, match=r"test_acme_mail\.py is there already"):
        list(create("acme_mail", project))
    assert test.read_text() == "mine"
    assert not (project / "partners/acme_mail.py").exists()


BAD_NAMES = (
    "",
    "Acme",
    "acme-mail",
    "2acme",
    "acme.mail",
    "../acme",
    "class",
    "match",
    "base",
    "aws",
    "größe",
    "a" * 41,
)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_no_module_s_is_refused(name: str, project: Path) -> None:
    """Before anything is written, in one line and with status 2."""
    with pytest.raises(InvalidSettings, match="cannot name a partner"):
        list(create(name, project))
    assert not list(project.glob("partners/*acme*"))
    done = CliRunner().invoke(app, ["partner", "new", "--", name])
    assert done.exit_code == 2
