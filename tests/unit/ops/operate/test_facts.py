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
