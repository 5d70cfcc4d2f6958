"""Calls that failed on our side: they say nothing of the partner, nor of the message."""

from typing import Any

import pytest

from tests.unit.worker_fn.records import record
from worker_fn.limits.breaker import MIN_CALLS

CUT_S = 12.0
"""An invocation that leaves a call less than its whole time."""


def faults_of(fleet: Any) -> float:
    breaker = fleet.worker.limiters.partner.flow.breaker
    return float("inf") if breaker.is_open else float(breaker.faults)


@pytest.mark.parametrize(("fault", "time_s"), [("frozen", 60.0), ("timeout", CUT_S)])
def test_what_failed_on_our_side_is_not_the_partners_fault(fleet: Any, fault: str, time_s: float) -> None:
    """A call that began before a freeze, and one that was cut by the end of the invocation, open no breaker, teach no
    limit, and cost the message no strike; it waits as after a first failure.
    """
    names = [record(n, [fault]) for n in range(2 * MIN_CALLS)]
    report = fleet.run(*names, time_s=time_s)
    assert len(report.failures) == 2 * MIN_CALLS
    flow = fleet.worker.limiters.partner.flow
    assert (faults_of(fleet), flow.limit.pushed_back, flow.limit.per_second) == (0, 0, None)
    assert not [item for key, item in fleet.state.items.items() if item.value.get("strikes")]


def test_a_time_out_of_the_whole_time_is_the_partners(fleet: Any) -> None:
    """The same calls with all their time open the breaker."""
    fleet.run(*(record(n, ["timeout"]) for n in range(2 * MIN_CALLS)))
    assert faults_of(fleet) == float("inf")
