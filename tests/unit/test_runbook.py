"""docs/runbook.md: a section an alarm, an alarm a section, and no command that does not exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import typer.main
from botocore.exceptions import ClientError
from typer.core import TyperGroup
from typer.testing import CliRunner

from ops.cli import app
from ops.console.moments import since_ms

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
SECTIONS = re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)
LOOKS_BEFORE_IT_FINDS = {"doctor"}
"""What looks at the account before it asks for the stack."""


def commands() -> Iterator[list[str]]:
    """Every command line of the page, once, without the program's name."""
    lines = re.findall(r"^    spillway (.+)$", RUNBOOK, re.MULTILINE)
    yield from map(list, dict.fromkeys(tuple(shlex.split(line, comments=True)) for line in lines))


def test_each_alarm_names_its_section_and_each_section_is_an_alarms() -> None:
    """Both ways: nobody is woken without being told what to do, and no section is of an alarm that is gone."""
    named = re.findall(
        r"^ +AlarmName: \S+\}-([a-z-]+)\n +AlarmDescription: '.+ docs/runbook\.md#([a-z-]+)'$",
        (ROOT / "infra/alarms.yml").read_text(),
        re.MULTILINE,
    )
    alarms = [alarm for alarm, _ in named]
    assert len(alarms) == (ROOT / "infra/alarms.yml").read_text().count("Type: AWS::CloudWatch::Alarm")
    assert [section for _, section in named] == alarms
    assert sorted(SECTIONS) == sorted(alarms)


@pytest.mark.parametrize("section", SECTIONS)
def test_each_section_says_what_it_means_where_to_look_what_to_do_and_when_it_is_over(section: str) -> None:
    """Four beginnings, in this order, and a command to look with."""
    _, _, text = RUNBOOK.partition(f"\n## {section}\n")
    text, _, _ = text.partition("\n## ")
    assert re.findall(r"^\*\*([\w ]+)\b\.?\*\*", text, re.MULTILINE) == ["Means", "Look", "Do", "Over when"]
    _, _, look = text.partition("**Look.**")
    assert "\n    spillway " in look.partition("**Do.**")[0]


def test_links_within_the_page_lead_to_its_sections() -> None:
    """What a section sends the reader to is there."""
    assert set(re.findall(r"\]\(#([a-z-]+)\)", RUNBOOK)) <= set(SECTIONS)


class NoStacks:
    """An AWS account without any stack."""

    region_name = "us-east-1"
    profile_name = "default"

    def __init__(self, **_: Any) -> None:
        pass

    def client(self, *_: Any, **__: Any) -> "NoStacks":
        return self

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "123456789012"}

    def describe_stacks(self, **_: Any) -> None:
        raise ClientError({"Error": {"Code": "ValidationError", "Message": ""}}, "DescribeStacks")


@pytest.mark.parametrize("arguments", list(commands()), ids=" ".join)
def test_every_command_of_the_page_is_understood(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Verb, options and values are taken: what stops it in an account without stacks is that there is none."""
    monkeypatch.setenv("STAGE", "production")
    monkeypatch.setenv("STAGE_FILE", "")
    monkeypatch.setattr(boto3.session, "Session", NoStacks)
    root = typer.main.get_command(app)
    context: Any = root.make_context("spillway", list(arguments))
    while isinstance(context.command, TyperGroup) and context._protected_args:
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        context = command.make_context(name, rest, parent=context)
    for option in ("since", "until"):
        if value := context.params.get(option):
            assert since_ms(value, now_ms=10**13) > 0
    if arguments[0] not in LOOKS_BEFORE_IT_FINDS:
        done = CliRunner().invoke(app, arguments)
        assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
        assert (done.exit_code, "there is no stack spillway-production" in done.output) == (2, True), done.output
