"""The log lines of a tick."""

from dataclasses import replace
from typing import Any

import pytest

from shared.telemetry import Fact
from worker_fn.maintenance.ticker import TickReport, tell


@pytest.fixture
def told(fleet: Any) -> tuple[Any, list[tuple[Fact, dict[str, Any]]]]:
    lines: list[tuple[Fact, dict[str, Any]]] = []
    worker = replace(fleet.worker, facts=lambda kind, **fields: lines.append((kind, fields)))
    return worker, lines


def test_a_tick_that_changed_nothing_tells_nothing(told: Any) -> None:
    """A tick that changed nothing writes no line, because one comes each minute."""
    worker, lines = told
    tell(TickReport(running=True), worker)
    assert lines == []


def test_the_intake_and_what_moved_back_are_told(told: Any) -> None:
    """A tick logs that it paused or resumed and why, set the concurrency, or moved messages back."""
    worker, lines = told
    tell(TickReport(paused=True, stopped_by="the open breaker", concurrency=4, unparked=3), worker)
    assert lines == [
        (Fact.INTAKE, {"is_paused": True, "why": "the open breaker"}),
        (Fact.INTAKE, {"concurrency": 4}),
        (Fact.UNPARKED, {"items": 3}),
    ]


def test_an_operators_pause_is_told_once_whoever_paused_the_mapping(told: Any) -> None:
    """An operator's pause is logged once: by the command, and not by each tick that sees it."""
    worker, lines = told
    for _ in range(3):
        tell(TickReport(held=True), worker)
    tell(TickReport(resumed=True), worker)
    tell(TickReport(held=True, paused=True, stopped_by="an operator"), worker)
    tell(TickReport(held=True), worker)
    assert [(fields["is_paused"], fields["why"]) for _, fields in lines] == [
        (True, "an operator"),
        (False, None),
        (True, "an operator"),
    ]
