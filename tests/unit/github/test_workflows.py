"""The workflows: what they run with, and whose code it is."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


def run(variables: object, *command: str) -> "subprocess.CompletedProcess[str]":
    env = {"PATH": os.environ["PATH"], "KEPT": "1", "VARIABLES": json.dumps(variables)}
    script = str(ROOT / ".github/with_variables.py")
    return subprocess.run([sys.executable, script, *command], env=env, capture_output=True, text=True, check=False)


def test_a_value_stays_the_value_of_its_own_variable() -> None:
    """Line breaks, quotes and assignments in it make no other variable and no command."""
    odd = "https://h.example/\nMAX_CONCURRENCY=1\nX<<EOF\n$(id) `id` 'a' \"b\" ${{ c }}"
    done = run({"WEBHOOK_URL": odd, "STAGE_NOTE": ""}, sys.executable, "-c", SHOW)
    assert done.returncode == 0, done.stderr
    env = json.loads(done.stdout)
    assert (env["WEBHOOK_URL"], env["STAGE_NOTE"], env["KEPT"]) == (odd, "", "1")
    assert not {"MAX_CONCURRENCY", "X", "VARIABLES"} & set(env)


@pytest.mark.parametrize(
    "name",
    ["PATH", "LD_PRELOAD", "PYTHONPATH", "NODE_OPTIONS", "GITHUB_ENV", "AWS_ACCESS_KEY_ID", "BASH_ENV", "MAKEFLAGS",
     "lower", "A-B", "A=B", ""],
)  # fmt: skip
def test_what_decides_how_programs_start_is_not_handed_on(name: str) -> None:
    """It is named, its value is not shown, and the command does not run."""
    done = run({name: "canary"}, sys.executable, "-c", SHOW)
    assert done.returncode != 0
    assert done.stdout == ""
    assert repr(name) in done.stderr
    assert "canary" not in done.stderr


def test_a_partner_may_be_called_nearly_anything() -> None:
    """A name that only begins like a tool's is a partner's own."""
    done = run({"PIPELINE_URL": "x", "GITTER_KEY": "y", "AWS_REGION": "eu-west-1"}, sys.executable, "-c", SHOW)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=[file.stem for file in WORKFLOWS])
def test_a_workflow_has_few_rights_and_runs_code_that_cannot_be_exchanged(workflow: Path) -> None:
    """Nothing by default, each job its own; actions by commit; a checkout leaves no credentials behind."""
    content = yaml.safe_load(workflow.read_text())
    assert content["permissions"] == {}
    for job in content["jobs"].values():
        assert set(job["permissions"].items()) <= {("contents", "read"), ("id-token", "write")}
        for step in job["steps"]:
            uses = step.get("uses", "")
            assert not uses or re.fullmatch(r"[a-z/-]+@[0-9a-f]{40}", uses), uses
            if uses.startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            assert "GITHUB_ENV" not in step.get("run", "")
            assert "${{" not in step.get("run", "")
