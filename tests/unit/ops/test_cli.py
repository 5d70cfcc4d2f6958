import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.cli import app

ROOT = Path(__file__).parents[3]


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name in ("PARTNER", "WEBHOOK_URL", "REQUESTS", "LIMIT", "SCENARIO", "SEED"):
        monkeypatch.delenv(name, raising=False)
    return CliRunner()


def test_registration_prints_what_mparticle_is_told(runner: CliRunner) -> None:
    """The JSON on standard output is a module registration response of the chosen partner."""
    done = runner.invoke(app, ["registration"], env={"WEBHOOK_URL": "https://partner.example/events"})
    assert done.exit_code == 0
    answer = json.loads(done.stdout)
    assert answer["type"] == "module_registration_response"
    assert answer["name"] == "Webhook"


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"PARTNER": "partners.nobody"}, "PARTNER=partners.nobody"),
        ({"WEBHOOK_URL": "ftp://partner.example"}, "WEBHOOK_URL"),
    ],
)
def test_bad_settings_are_one_line_and_status_2(runner: CliRunner, env: dict[str, str], named: str) -> None:
    """The line names the variable; there is no traceback."""
    done = runner.invoke(app, ["registration"], env=env)
    assert done.exit_code == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("spillway: ")
    assert named in line


@pytest.mark.parametrize("env", [{"LIMIT": "1"}, {"REQUESTS": "0"}, {"SCENARIO": "flood"}])
def test_a_demo_that_cannot_be_is_refused_before_anything_starts(runner: CliRunner, env: dict[str, str]) -> None:
    """Impossible numbers and unknown scenarios end with one line that names the variable, and status 2."""
    done = runner.invoke(app, ["demo"], env=env)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert next(iter(env)) in line


def test_version_and_commit_are_printed(runner: CliRunner) -> None:
    """What somebody names who reports a fault."""
    done = runner.invoke(app, ["--version"])
    assert done.exit_code == 0
    assert re.fullmatch(r"spillway \d+\.\d+\.\d+, commit ([0-9a-f]{12}(-dirty)?|unknown)\n", done.stdout)


def test_a_shell_can_complete(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """typer's own options print and install it, for the shell that it was called from."""
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))  # a test may be run by none
    assert "--install-completion" in runner.invoke(app, ["--help"]).stdout
    done = runner.invoke(app, ["--show-completion", "bash"])
    assert (done.exit_code, "complete" in done.stdout) == (0, True)


def test_a_stages_file_is_read_by_a_verb_without_a_stack(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`spillway registration` is of the stage's partner; a bad file is one line and status 2."""
    file = tmp_path / ".env.prod"
    file.write_text("PARTNER=partners.amplitude\n")
    file.chmod(0o600)
    monkeypatch.setenv("PARTNER", "")  # put back after the test
    monkeypatch.delenv("PARTNER")
    done = runner.invoke(app, ["registration", "--stage", "prod"], env={"STAGE_FILE": str(file)})
    assert json.loads(done.stdout)["name"] == "Amplitude"
    file.write_text("PARTNER\n")
    done = runner.invoke(app, ["registration", "--stage", "prod"], env={"STAGE_FILE": str(file)})
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "spillway: .env.prod, line 1: it has no =, a line is NAME=VALUE\n"


def test_help_loads_none_of_the_verbs() -> None:
    """`spillway --help` is quick: no AWS library and no partner is imported for it."""
    code = (
        "import sys\nfrom ops.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print({'boto3', 'pydantic', 'partners', 'ops.demo.verdict'} & sys.modules.keys())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert "demo" in done.stdout
    assert "registration" in done.stdout
    assert done.stdout.splitlines()[-1] == "set()"
