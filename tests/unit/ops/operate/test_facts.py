"""A function's log is read by form: a partner's code writes there, too."""

import json
from typing import Any

import pytest

from ops.operate.facts import facts_in
from ops.operate.status import lately_of
from shared.ledger import Ledger


@pytest.mark.parametrize(
    "fields",
    [
        {"age_s": 1e308},
        {"age_s": 10**400},
        {"age_s": float("nan")},
        {"age_s": float("inf")},
        {"age_s": True},
        {"events": 1e308},
        {"events": 10**13},
        {"parts": True},
        {"bytes": -1},
        {"bytes": "9"},
    ],
)
def test_a_number_that_counts_nothing_is_in_no_fact(fields: dict[str, Any]) -> None:
    """One such line would end every screen that sums it up."""
    assert not list(facts_in(json.dumps({"fact": "wait", "request_id": "r", **fields}), "worker", 1))


def test_the_largest_that_is_read_can_be_summed_up() -> None:
    """By the status, and by the ledger."""
    line = json.dumps({"fact": "wait", "request_id": "r", "age_s": 10**12, "events": 10**12, "why": "HTTP 500"})
    told = list(facts_in(line, "worker", 1))
    assert lately_of(told, minutes=5).oldest_ms == 1 - 10**15
    ledger = Ledger()
    for one in told:
        ledger.add(one.kind, one.fields, one.at_ms)
    assert ledger.sums().balance == 0


LINES = (
    {"fact": "accepted", "request_id": "r", "messages": ["m"], "type": "events", "events": 2, "bytes": 9, "ms": 5},
    {"fact": "delivered", "messages": ["r 12345678 2"]},
    {"fact": "limit", "from_s": 1, "to_s": 2},
)
PLATFORM = (
    {"time": "2026-11-28T04:40:00.123Z", "type": "platform.start", "record": {"requestId": "q", "version": "3"}},
    {
        "time": "2026-11-28T04:40:05.123Z",
        "type": "platform.report",
        "record": {"requestId": "q", "metrics": {"durationMs": 5_000.0}, "status": "timeout"},
    },
    {"timestamp": "2026-11-28T04:40:05.123Z", "level": "ERROR", "message": "Task timed out", "requestId": "q"},
)


@pytest.mark.parametrize("level", ["INFO", "info", None])
def test_a_fact_in_lambdas_json_format_is_the_same_fact(level: str | None) -> None:
    """What Lambda adds to a line is not the fact's: of both `tail`, `trace`, `status` and `ledger` say the same."""
    for line in LINES:
        added = {"timestamp": "2026-11-28T04:40:00.123Z", "level": level, "requestId": "q"}
        for changed in ({**added, **line}, {**line, **added}):
            assert list(facts_in(json.dumps(changed), "ingest", 1)) == list(facts_in(json.dumps(line), "ingest", 1))


def test_lambdas_own_lines_are_no_facts() -> None:
    """In either format."""
    for line in (*map(json.dumps, PLATFORM), "START RequestId: q Version: 3", "REPORT RequestId: q\tDuration: 5.12 ms"):
        assert not list(facts_in(line, "ingest", 1))
