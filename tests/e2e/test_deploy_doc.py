"""docs/deploy.md, word by word: every command in order, and the output that the page shows for it."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.local.aws import LocalAws, without_aws
from ops.operate.stack import PODS, pod_named, stack_name
from tests.integration.infra.deploy_tool import copied, equipped

ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs" / "deploy.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
REGIONS = ("us-east-1", "eu-central-1", "ap-southeast-2")


def commands(text: str) -> list[tuple[str, str]]:
    """Yield each command of a page with the output that the page shows."""
    found = []
    for block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def pattern_of(output: str) -> str:
    """Make a pattern of an expected output: `…` in a line matches anything, alone in a line any lines; blanks match
    blanks.
    """
    lines = []
    for line in output.splitlines():
        if line == "…":
            lines.append(r"(?:.*\n)*?")
        else:
            parts = [r"\s+".join(map(re.escape, re.split(r"\s+", part))) for part in line.split("…")]
            lines.append(".*?".join(parts) + r"\s*\n")
    return "".join(lines)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout to write files of stages into."""
    return equipped(copied(tmp_path))


@pytest.fixture
def env(aws: LocalAws, partner: Any, checkout: Path) -> Iterator[dict[str, str]]:
    """The shell of a user who has sourced build/local/env, and an AWS without leftovers of a stage `production`."""
    shell = {**without_aws(os.environ), **aws.client_settings(), "PKG_TARGET": "local", "WEBHOOK_URL": partner.url,
             "ALARM_EMAIL": "oncall@example.com", "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
             "PYTHONPATH": str(checkout)}  # fmt: skip
    del shell["STAGE_FILE"]
    yield shell
    for region in REGIONS:
        aws.region = region
        sqs, dynamodb = aws.client("sqs"), aws.client("dynamodb")
        for url in sqs.list_queues().get("QueueUrls", []):
            if "-production-" in url:
                sqs.delete_queue(QueueUrl=url)
        for name in dynamodb.list_tables()["TableNames"]:
            if "-production-" in name:
                dynamodb.delete_table(TableName=name)
    aws.region = REGIONS[0]


def test_every_command_of_the_document_prints_what_it_says(env: dict[str, str], checkout: Path) -> None:
    """A new user who follows the page sees the output that the page shows."""
    ran = commands(DOC.read_text())
    assert len(ran) >= 12
    for command, output in ran:
        calm = command.replace("--max-ms 1000", "--max-ms 60000")  # speed decides no test: this machine may be busy
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", calm], cwd=checkout, env=env, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        assert re.fullmatch(pattern_of(output), done.stdout), f"$ {command}\nsays\n{done.stdout}\nand not\n{output}"


def test_the_pods_of_the_document_are_those_of_the_deploy() -> None:
    """The page's table of pods agrees with infra/pods.json."""
    rows = re.findall(r"^\| `(\w+)`[^|]*\| ([\d, ]+) \| ([\w-]+) \| `([\w-]+)` \|$", DOC.read_text(), re.MULTILINE)
    assert [row[0] for row in rows] == list(json.loads(PODS.read_text()))
    for pod, accounts, region, stack in rows:
        said = {"accounts": accounts.replace(" ", ""), "region": region, "suffix": pod_named(pod)["suffix"]}
        assert pod_named(pod) == said
        assert stack == stack_name("production", pod)


@pytest.mark.parametrize(
    ("output", "said", "fits"),
    [
        ("a … c\n", "a b c\n", True),
        ("a …\n", "b\n", False),
        ("…\nend\n", "one\ntwo\nend\n", True),
        ("…\nend\n", "one\nend\nmore\n", False),
        ("a   b\n", "a b\n", True),
    ],
)
def test_a_pattern_is_no_more_than_its_dots(output: str, said: str, fits: bool) -> None:
    """A pattern matches only where it has dots; all other text of the page has to be printed."""
    assert bool(re.fullmatch(pattern_of(output), said)) is fits
