"""What is printed: the checks with their marks, the times, what is wrong and what mends it."""

import json
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from ops.certify import report
from ops.certify.checks import CHECKS
from ops.certify.play import Player
from ops.certify.script import Script


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=200)


def printed(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def row(text: str, check: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line[3:].startswith(f"{check} ")]
    return line.split()


def test_each_check_has_its_mark(console: Console, target: Any, play: Any) -> None:
    """An error, a warning and nothing; slow answers mark the check that measured them."""
    report.show(console, play(target("no_roku", "registration_shown_key", "slow")))
    text = printed(console)
    assert row(text, "events") == ["✗", "events", "6", "1"]
    assert row(text, "registration") == ["!", "registration", "1", "2"]
    assert row(text, "probes") == ["✓", "probes", "4"]
    assert row(text, "times") == ["✗", "times", "4", "1"]
    assert "from roku (the function raised KeyError)  [events.refused]" in text
    assert "accept every event type and environment that is registered" in text
    assert "[times.p99]" in text
    assert "mParticle's rule: 99% under 200 ms" in text


def test_nothing_to_object_to_is_said(console: Console, target: Any, play: Any) -> None:
    """One line at the end."""
    report.show(console, play(target()))
    assert printed(console).splitlines()[-1] == "✓ Certified: mParticle would have nothing to object to."


def test_warnings_alone_are_no_refusal(console: Console, target: Any, play: Any) -> None:
    """They are shown, and that it passes is said."""
    report.show(console, play(target("registration_shown_key")))
    assert printed(console).splitlines()[-1] == "✓ Certified: all of the above are warnings."


def test_what_will_be_sent_is_said_before(console: Console, target: Any) -> None:
    """How much, where to, of which seed, and which settings are given or made up: names alone."""
    player = Player(target(), Script(settings={"apiKey": "canary"}, seed=7), 200.0, lambda: 0.0, CHECKS)
    report.announce(console, "arn:x", player.register(), player.script)
    text = printed(console)
    assert "spillway certify arn:x" in text
    assert "requests with made-up data follow (seed 7)" in text
    assert "given apiKey=***; made up listId" in text
    assert "canary" not in text


def test_the_document_for_tools(target: Any, play: Any) -> None:
    """The four keys of a finding, whether it passed, and beside them checks and times."""
    document = json.loads(report.as_json(play(target("no_id")), "arn:x", Script(seed=7)))
    assert (document["passed"], document["target"], document["seed"]) == (False, "arn:x", 7)
    (finding,) = document["findings"]
    assert finding.keys() == {"id", "severity", "message", "mend"}
    assert {"name": "probes", "requests": 4, "accepted": 4} in document["checks"]
    assert document["times"]["warm"]["p99_ms"] == 3.0


def test_there_is_no_bar_without_a_terminal(console: Console) -> None:
    """Output that is kept has no traces of one."""
    with report.progress(console, 3) as told:
        told("sends", 1)
    assert printed(console) == ""


def test_a_limit_of_the_users_is_not_told_as_mparticles(console: Console, target: Any, play: Any) -> None:
    """With --max-ms both are said, and an objection names who asks for it."""
    report.show(console, play(target("slow"), limit_ms=150.0))
    text = printed(console)
    assert "mParticle's rule: 99% under 200 ms. Here --max-ms says 150 ms." in text
    assert "--max-ms asks for less than 150 ms" in text
    assert "mParticle asks for" not in text
