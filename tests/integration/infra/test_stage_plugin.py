"""What the deploy tool does first (infra/stage.cjs): it checks the tool itself and the stage's name, and reads its
file; and fresh zips.
"""

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.integration.infra import deploy_tool
from tests.integration.infra.deploy_tool import ROOT, copied, equipped

NO_CREDENTIALS = "AWS provider credentials not found"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone in a path with a space, after `npm ci` and nothing else."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    return copied(folder)


@pytest.fixture
def checkout(clone: Path) -> Path:
    return equipped(clone)


def serverless(folder: Path, *arguments: str, **env: str) -> tuple[int, str]:
    return deploy_tool.serverless(folder, *arguments, cwd=folder, **env)


def packaged(folder: Path, *arguments: str, **env: str) -> dict[str, dict[str, str]]:
    """Package, and return the variables of each function."""
    code, said = serverless(folder, "package", *arguments, **env)
    assert code == 0, said
    template = json.loads((folder / ".serverless/cloudformation-template-update-stack.json").read_text())
    return {
        name: template["Resources"][f"{name.title()}LambdaFunction"]["Properties"]["Environment"]["Variables"]
        for name in ("ingest", "worker")
    }


def stage_file(folder: Path, stage: str, text: str) -> None:
    path = folder / f".env.{stage}"
    path.write_text(text)
    path.chmod(0o600)


@pytest.mark.parametrize(
    ("command", "stage", "said"),
    [
        ("deploy", "s" * 55, "has 55 characters and may have 48"),
        ("package", "my_stage", "letters, digits and hyphens"),
        ("remove", "eu1-production", "POD=eu1 STAGE=production"),
    ],
)
def test_a_stage_that_aws_would_not_take_is_refused_in_one_line(
    clone: Path, command: str, stage: str, said: str
) -> None:
    """A stage's name that is too long or has a bad character ends every command before anything is done."""
    code, output = serverless(clone, command, "--stage", stage)
    assert code != 0
    assert len(output.splitlines()) == 1
    assert output.startswith("Spillway: ")
    assert said in output


def test_another_tool_is_refused_in_one_line(tmp_path: Path) -> None:
    """A globally installed `serverless` resolves the stage first, and so is told which tool to use."""
    tool = tmp_path / "lib/node_modules/serverless"
    (tool / "lib").mkdir(parents=True)
    (tool / "package.json").write_text('{"name": "serverless", "version": "3.40.0"}')
    (tool / "lib/file.js").write_text(
        f"require({str(ROOT / 'infra/stage.cjs')!r})({{ options: {{}} }}); console.log('on')"
    )
    node = shutil.which("node")
    assert node
    done = subprocess.run([node, str(tool / "lib/file.js")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Spillway: serverless 3.40.0 cannot deploy this. Use the tool that this repository locks:"
        " make deploy, or npm ci and npx osls deploy\n"
    )


@pytest.mark.parametrize("command", ["deploy", "rollback"])
def test_a_function_alone_is_refused(clone: Path, command: str) -> None:
    """A deploy of a single function is refused: it would change code that the alias does not use."""
    more = ["-f", "ingest", *(["--function-version", "1"] if command == "rollback" else [])]
    code, said = serverless(clone, command, "function", *more)
    assert code != 0
    assert f"`{command} function` would" in said
    assert NO_CREDENTIALS not in said


@pytest.mark.parametrize("command", ["info", "remove", "logs"])
def test_a_fresh_clone_needs_no_build(clone: Path, command: str) -> None:
    """Commands that ship nothing get as far as AWS without a build."""
    code, said = serverless(clone, command, *(["-f", "ingest"] if command == "logs" else []), YES="1")
    assert code != 0
    assert NO_CREDENTIALS in said
    assert "Cannot resolve" not in said


def test_a_fresh_clone_is_told_what_builds(clone: Path) -> None:
    """Without .venv a command that ships zips says which command makes it."""
    code, said = serverless(clone, "package")
    assert code != 0
    assert "The zips cannot be built: there is no .venv here (make .venv makes it, and make deploy)." in said


@pytest.mark.parametrize("command", ["deploy", "remove"])
def test_an_aws_out_of_reach_is_said_in_a_line(checkout: Path, command: str) -> None:
    """If AWS cannot be reached, one line says what could not be asked and why, without a stack trace."""
    env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    code, said = serverless(checkout, command, WEBHOOK_URL="https://hooks.example/in", YES="1", **env)
    assert code != 0
    assert "AWS cannot be asked " in said
    assert "ECONNREFUSED" in said
    assert "    at " not in said


def test_an_edit_is_in_what_is_shipped(checkout: Path) -> None:
    """`npx serverless package` or deploy ships the present code, not an earlier build."""
    packaged(checkout)
    first = hashlib.sha256((checkout / "build/aws/worker.zip").read_bytes()).digest()
    (checkout / "worker_fn/new_module.py").write_text("NEW = 1\n")
    said = packaged(checkout)
    assert hashlib.sha256((checkout / "build/aws/worker.zip").read_bytes()).digest() != first
    with zipfile.ZipFile(checkout / "build/aws/worker.zip") as archive:
        assert "worker_fn/new_module.py" in archive.namelist()
    assert said["ingest"]["COMMIT"] == said["worker"]["COMMIT"] == "unknown"
    assert said["ingest"]["WRITES_MESSAGES"]
    assert said["worker"]["READS_MESSAGES"]


def test_code_that_cannot_be_built_is_not_shipped(checkout: Path) -> None:
    """If the build fails, its message ends the deploy."""
    (checkout / "requirements/worker.txt").unlink()
    code, said = serverless(checkout, "package")
    assert code != 0
    assert "The zips cannot be built:\nrequirements/worker.txt is missing: make lock writes it" in said


def test_a_stage_is_what_its_file_says(checkout: Path) -> None:
    """Partner, numbers and values with special characters come from `.env.<stage>`, and affect no other stage."""
    stage_file(checkout, "prod", "WEBHOOK_URL='https://hooks.example/#in'\nMAX_CONCURRENCY=7 # few\nDATA=delete\n")
    prod, dev = packaged(checkout, "--stage", "prod")["worker"], packaged(checkout)["worker"]
    assert (prod["WEBHOOK_URL"], str(prod["MAX_CONCURRENCY"])) == ("https://hooks.example/#in", "7")
    assert "WEBHOOK_URL" not in dev
    assert str(dev["MAX_CONCURRENCY"]) == "10"


def test_the_stage_may_be_said_by_the_shell(checkout: Path) -> None:
    """STAGE names the stage as --stage does, as for every other command."""
    stage_file(checkout, "prod", "MAX_CONCURRENCY=7\n")
    assert str(packaged(checkout, STAGE="prod")["worker"]["MAX_CONCURRENCY"]) == "7"


def test_the_shell_overrides_and_that_is_said(checkout: Path) -> None:
    """A line names the variables from the shell and those from the file, and shows no value."""
    stage_file(checkout, "prod", "WEBHOOK_URL=https://hooks.example/in\nMAX_CONCURRENCY=7\n")
    code, said = serverless(checkout, "package", "--stage", "prod", MAX_CONCURRENCY="8")
    assert code == 0, said
    assert "stage prod: MAX_CONCURRENCY from the shell; WEBHOOK_URL from .env.prod\n" in said
    assert "hooks.example" not in said


def test_a_bad_line_is_said_with_its_number(clone: Path) -> None:
    """A line that is not NAME=VALUE ends every command, which prints its number but not its content."""
    stage_file(clone, "prod", "WEBHOOK_URL=https://hooks.example/in\n\nsk_live_123\n")
    code, said = serverless(clone, "remove", "--stage", "prod")
    assert (code, said) == (1, "Spillway: .env.prod, line 3: it has no =, a line is NAME=VALUE\n")


def test_both_sides_read_a_file_by_the_same_rules(checkout: Path) -> None:
    """The deploy tool and `spillway` get the same values, because one parser reads for both."""
    stage_file(checkout, "prod", 'export WEBHOOK_METHOD = "PUT"\nWEBHOOK_HEADERS=\'{"X-A": "$HOME # no"}\' # yes\n')
    shipped = packaged(checkout, "--stage", "prod")["worker"]
    code = (
        "import os; from ops.operate.stack import enter_stage; enter_stage('prod');"
        "print(os.environ['WEBHOOK_HEADERS'], os.environ['WEBHOOK_METHOD'])"
    )
    done = subprocess.run(
        [checkout / ".venv/bin/python", "-c", code], cwd=checkout, capture_output=True, text=True, check=True,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert (
        done.stdout.strip()
        == f"{shipped['WEBHOOK_HEADERS']} {shipped['WEBHOOK_METHOD']}"
        == '{"X-A": "$HOME # no"} PUT'
    )
