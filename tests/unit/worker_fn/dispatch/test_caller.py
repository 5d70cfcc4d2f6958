"""One call: when it may be made, and what failures on our own side mean."""

import json
from typing import Any

import pytest

from partners import Bulk, Rate
from shared.state import FLOW, PARTNER, Item
from testkit.records import record
from tests.unit.worker_fn.acme import ONE, Acme, scripted
from worker_fn.batch.time_budget import SETTLE_RESERVE_S
from worker_fn.clients.http import FROZEN, Answer
from worker_fn.limits.breaker import MIN_CALLS
from worker_fn.limits.flow import FAULTS, Flow

CUT_S = 12.0


def faults_of(fleet: Any) -> float:
    flow = Flow.of(fleet.state.items.get((PARTNER, FLOW), Item()))
    return float("inf") if flow.breaker.is_open else flow.breaker.faults + flow.counts.get(FAULTS, 0)


@pytest.mark.parametrize(("fault", "time_s"), [("frozen", 60.0), ("timeout", CUT_S)])
def test_what_failed_on_our_side_is_not_the_partners_fault(fleet: Any, fault: str, time_s: float) -> None:
    """A call that began before a freeze, and one that was cut by the end of the invocation, open no breaker, teach no
    limit, and are no failed attempts of the message; it waits as after a first failure.
    """
    names = [record(n, [fault]) for n in range(2 * MIN_CALLS)]
    report = fleet.run(*names, time_s=time_s)
    assert len(report.failures) == 2 * MIN_CALLS
    flow = fleet.worker.limiters.partner.flow
    assert (faults_of(fleet), flow.limit.pushed_back, flow.limit.per_second) == (0, 0, None)
    assert not [item for key, item in fleet.state.items.items() if item.value.get("strikes")]


def test_a_time_out_of_the_whole_time_is_the_partners(fleet: Any) -> None:
    """The same calls open the breaker if they had all their time."""
    fleet.run(*(record(n, ["timeout"]) for n in range(2 * MIN_CALLS)))
    assert faults_of(fleet) == float("inf")


@pytest.fixture
def deliver(make_fleet: Any) -> Any:
    return scripted(make_fleet)


def test_rate_of_an_endpoint_is_an_agreement_of_its_own(deliver: Any) -> None:
    """Each account has an item for each endpoint that declares a rate, and one for its other calls."""
    fleet = deliver(Acme({"a/b": Bulk(1, rate=Rate(20)), "c": Bulk(1, rate=Rate(5))}, account_rate=Rate(9)))
    fleet.run(fleet.record(1, ["a/b", "c", "none"]), fleet.record(2, ["c"], account=8))
    keys = {key[0] for key in fleet.state.items if key[0].startswith("account#")}
    assert keys == {"account#7#a/b", "account#7#c", "account#7", "account#8#c"}
    limiters = [fleet.worker.limiters.of(*one) for one in (("7", "a/b"), ("7", "c"), ("7", None), ("8", "c"))]
    assert [one.item.limit for one in limiters] == [20, 5, 9, 5]


def test_endpoint_without_a_rate_shares_the_accounts(deliver: Any) -> None:
    """Calls of an endpoint without a rate count with the account's other calls."""
    fleet = deliver(Acme(ONE, account_rate=Rate(5)))
    fleet.run(fleet.record(1, ["bulk", "none"]))
    assert {key[0] for key in fleet.state.items if key[0].startswith("account#")} == {"account#7"}


def test_frozen_calls_are_sent_again_and_say_nothing_of_the_partner(deliver: Any) -> None:
    """Calls that were frozen are no attempts, open no breaker and lower no rate, however many there are."""
    fleet = deliver(Acme(ONE), lambda ids: Answer(200) if ids == ["0.0"] else Answer(fault=FROZEN), attempts=3)
    report = fleet.run(*(fleet.record(number, ["none"]) for number in range(15)))
    assert (len(fleet.calls), report.delivered, report.waiting) == (43, 1, 14)
    flow = fleet.worker.limiters.partner.flow
    assert (flow.breaker.is_open, flow.limit.pushed_back, flow.limit.per_second) == (False, 0, None)
    assert fleet.state.keys("progress#") == []


def test_call_that_http_has_no_form_for_is_unmappable(fleet: Any) -> None:
    """A header that can not be sent is the mapping's fault and never leaves."""
    fleet.run(record(1, ["bad header"]))
    assert fleet.queue.dead[0][1]["reason"] == "unmappable"
    assert "canary" not in json.dumps(fleet.queue.dead[0][1])


def test_call_gets_no_more_time_than_there_is(fleet: Any) -> None:
    """A call's time-out ends before the time that is reserved for settling."""
    fleet.run(record(1, ["200"]), time_s=SETTLE_RESERVE_S + 4.0)
    assert fleet.api.timeouts_s == [4.0]


def test_calls_in_flight_are_bounded(make_fleet: Any) -> None:
    """There are never more calls at once than MAX_IN_FLIGHT, and as many if there is enough work."""
    fleet = make_fleet(max_in_flight=3)
    report = fleet.run(*(record(n, ["200"]) for n in range(9)))
    assert report.delivered == 9
    assert fleet.api.most_in_flight == 3
