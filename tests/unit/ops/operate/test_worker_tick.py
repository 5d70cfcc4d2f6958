from dataclasses import asdict
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.operate import pause, stack, worker_tick
from ops.operate.pause import Pause
from worker_fn.maintenance.ticker import TickReport


@pytest.mark.parametrize(
    ("report", "lines", "status"),
    [
        (TickReport(resumed=True, running=True), ["resumed: batches arrive within a minute"], 0),
        (TickReport(running=True), ["the intake is running"], 0),
        (
            TickReport(probed=True, answer="HTTP 503", running=False, stopped_by="the open breaker"),
            ["the probe was answered with HTTP 503", "the intake stays stopped by the open breaker"],
            1,
        ),
        (TickReport(probed=True, resumed=True, running=True), ["the probe arrived", "resumed: batches"], 0),
        (
            TickReport(no_probe="no message is visible to try with", running=False, stopped_by="the open breaker"),
            ["no probe was made: no message is visible", "the intake stays stopped by the open breaker"],
            1,
        ),
        (
            TickReport(no_probe="the mapping runs", running=False, stopped_by="an operator"),
            ["no probe was made: the mapping runs", "the intake stays stopped by an operator"],
            1,
        ),
        (TickReport(trouble=1), ["Lambda or the state table did not answer"], 1),
    ],
)
def test_verbs_say_what_a_tick_came_to(
    report: TickReport, lines: list[str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`resume` and `probe` print what became of probe and intake, and succeed only where the intake runs."""
    asked: list[dict[str, Any]] = []

    def run(_: object, **asked_for: bool) -> dict[str, Any]:
        asked.append(asked_for)
        return asdict(report)

    monkeypatch.setattr(stack, "find_stack", lambda _: None)
    monkeypatch.setattr(pause, "current", lambda _: None)
    monkeypatch.setattr(pause, "resume", lambda _: asdict(report))
    monkeypatch.setattr(worker_tick, "run", run)
    probed = CliRunner().invoke(app, ["probe"])
    assert (probed.exit_code, asked) == (status, [{"probe": True}])
    resumed = CliRunner().invoke(app, ["resume"])
    assert resumed.exit_code == status
    assert "it was not paused by an operator" in resumed.output
    for line in lines:
        assert line in probed.output
        assert line in resumed.output


def test_a_resume_that_needed_no_probe_says_nothing_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asked for a probe is told why there was none, an intake that runs or not."""
    report = TickReport(no_probe="the breaker is closed", resumed=True, running=True)
    monkeypatch.setattr(stack, "find_stack", lambda _: None)
    monkeypatch.setattr(pause, "current", lambda _: Pause("moving", 1))
    monkeypatch.setattr(pause, "resume", lambda _: asdict(report))
    monkeypatch.setattr(worker_tick, "run", lambda *_, **__: asdict(report))
    resumed = CliRunner().invoke(app, ["resume"])
    assert resumed.output == "the operator's pause is over\nresumed: batches arrive within a minute\n"
    assert "no probe was made: the breaker is closed" in CliRunner().invoke(app, ["probe"]).output


def test_a_pause_without_a_reason_is_told_how_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is changed, and nothing is said of its length."""
    monkeypatch.setattr(stack, "find_stack", lambda _: None)
    paused = CliRunner().invoke(app, ["pause"])
    assert paused.exit_code == 2
    assert 'spillway pause --why "' in paused.output
    assert "characters" not in paused.output
