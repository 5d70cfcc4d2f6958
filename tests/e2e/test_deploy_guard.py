"""What a deploy says of what is live and refuses to replace, what a removal says and asks: make, in an own checkout."""

import json
import os
import pty
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ops.local.aws import LocalAws, without_aws
from tests.integration.infra.deploy_tool import copied, equipped

STAGE = "guard"
KEPT = [f"spillway-{STAGE}-{name}" for name in ("messages", "parking", "dlq", "state")]


@dataclass
class Shell:
    """A shell that has sourced build/local/env, in a checkout with a file of the stage."""

    folder: Path
    env: dict[str, str]

    @property
    def file(self) -> Path:
        return self.folder / f".env.{STAGE}"

    def says(self, text: str) -> None:
        self.file.write_text(text)
        self.file.chmod(0o600)

    def run(self, *command: str, **env: str) -> tuple[int, str]:
        done = subprocess.run(
            command, cwd=self.folder, env=self.env | env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
        )  # fmt: skip
        return done.returncode, done.stdout

    def make(self, verb: str, *said: str, **env: str) -> tuple[int, str]:
        return self.run("make", verb, f"STAGE={STAGE}", *said, **env)

    def removal_typed(self, typed: str) -> tuple[int, str]:
        """Remove the stage at a terminal, and type a line when asked."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            ["make", "remove", f"STAGE={STAGE}"], cwd=self.folder, env=self.env, stdin=theirs, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        os.close(theirs)
        os.write(ours, f"{typed}\n".encode())
        said, _ = process.communicate(timeout=120)
        os.close(ours)
        return process.returncode, said


@pytest.fixture
def shell(aws: LocalAws, tmp_path: Path) -> Iterator[Shell]:
    folder = equipped(copied(tmp_path))
    env = {**without_aws(os.environ), **aws.client_settings(), "PKG_TARGET": "local"}
    env.pop("STAGE_FILE")
    yield Shell(folder, env)
    if f"spillway-{STAGE}" in {one["StackName"] for one in aws.client("cloudformation").describe_stacks()["Stacks"]}:
        aws.serverless("remove", stage=STAGE)
    for url in aws.client("sqs").list_queues().get("QueueUrls", []):
        if url.rpartition("/")[2] in KEPT:
            aws.client("sqs").delete_queue(QueueUrl=url)
    if KEPT[-1] in aws.client("dynamodb").list_tables()["TableNames"]:
        aws.client("dynamodb").delete_table(TableName=KEPT[-1])


def test_what_is_live_is_not_replaced_by_a_shell_that_knows_nothing(shell: Shell, aws: LocalAws) -> None:
    """From the first deploy on, a deploy names what it changes, and refuses to replace partner, host and settings
    unless ALLOW names them. A removal keeps the data, names it, and asks for the stage's name.
    """
    shell.says(
        "WEBHOOK_URL=https://hooks.example/in?key=sk1\nWEBHOOK_PER=event\nMAX_CONCURRENCY=7\nALARM_EMAIL=a@hooks.example\n"
    )
    code, said = shell.make("deploy")
    assert code == 0, said
    assert f"Nothing of spillway-{STAGE} is live yet. Its partner: partners.webhook, hooks.example." in said
    assert "Variables set: ALARM_EMAIL, MAX_CONCURRENCY, WEBHOOK_PER, WEBHOOK_URL." in said

    code, said = shell.make("deploy", WEBHOOK_PER="request")
    assert code == 0, said
    assert f"stage {STAGE}: WEBHOOK_PER from the shell; ALARM_EMAIL, " in said
    assert "partner: partners.webhook, hooks.example (unchanged)\n  WEBHOOK_PER: changed\n" in said
    assert "sk1" not in said

    shell.file.unlink()
    code, said = shell.make("deploy", WEBHOOK_URL="https://other.example/sk2")
    assert code != 0
    assert "partner: partners.webhook, hooks.example → partners.webhook, other.example" in said
    assert "WEBHOOK_URL: changed, hooks.example → other.example" in said
    assert "MAX_CONCURRENCY: no longer set, back to its default" in said
    refused = "ALARM_EMAIL, MAX_CONCURRENCY, WEBHOOK_PER, WEBHOOK_URL"
    assert f"This deploy would replace what is live: {refused}." in said
    assert f"ALLOW={refused.replace(', ', ',')}" in said
    assert "sk2" not in said
    code, said = shell.run("npx", "serverless", "deploy", "--stage", STAGE, PARTNER="partners.iterable")
    assert code != 0
    assert "This deploy would replace what is live: PARTNER, ALARM_EMAIL" in said
    code, said = shell.make("versions", "ARGS=--json")
    assert json.loads(said)["live"] == {"partner": "partners.webhook", "hosts": ["hooks.example"]}

    allowed = f"ALLOW=PARTNER,{refused.replace(', ', ',')}"
    code, said = shell.make("deploy", allowed, PARTNER="partners.iterable")
    assert code == 0, said
    assert "partner: partners.webhook, hooks.example → partners.iterable, api.iterable.com" in said
    code, said = shell.make("rollback")
    assert code == 0, said
    assert "delivers to partners.webhook, hooks.example; it was partners.iterable, api.iterable.com" in said
    code, said = shell.make("versions")
    assert said.startswith("delivers to partners.webhook, hooks.example\n")

    code, said = shell.make("remove")
    assert code != 0
    assert f"Keeps, for you to delete by hand: {', '.join(KEPT)}." in said
    assert f"There is no terminal here to ask in: make remove STAGE={STAGE} YES=1, or --yes." in said
    code, said = shell.removal_typed("production")
    assert code != 0
    assert f"Nothing is removed: that is not {STAGE}." in said
    assert f"spillway-{STAGE}" in {one["StackName"] for one in aws.client("cloudformation").describe_stacks()["Stacks"]}
    shutil.rmtree(shell.folder / "build")  # as in a fresh clone
    code, said = shell.removal_typed(STAGE)
    assert code == 0, said
    assert {url.rpartition("/")[2] for url in aws.client("sqs").list_queues()["QueueUrls"]} >= set(KEPT[:3])
    assert KEPT[-1] in aws.client("dynamodb").list_tables()["TableNames"]
    code, said = shell.make("remove", "YES=1")
    assert code != 0
    assert f"There is no stack spillway-{STAGE} in us-east-1, account 000000000000" in said


def test_data_is_deleted_where_that_was_asked_for_twice(shell: Shell, aws: LocalAws) -> None:
    """A removal deletes data only if the stage was deployed with DATA=delete and its file still says so; it names what
    it deletes.
    """
    shell.says("WEBHOOK_URL=https://hooks.example/in\nDATA=delete\n")
    code, said = shell.make("deploy")
    assert code == 0, said
    code, said = shell.make("remove", "YES=1", "DATA=keep")
    assert code != 0
    assert f"Deletes with all that is in them: {', '.join(KEPT)}." in said
    assert "set DATA=delete if you want that, or deploy once more to keep the data." in said
    code, said = shell.run("npx", "serverless", "remove", "--stage", STAGE, "--yes")
    assert code == 0, said
    names = {url.rpartition("/")[2] for url in aws.client("sqs").list_queues().get("QueueUrls", [])}
    assert not names & set(KEPT)
