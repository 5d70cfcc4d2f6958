"""Which limit a Retry-After is about, how long it binds, and how it ends before its time."""

from dataclasses import replace
from typing import Any

import pytest

from partners import Bulk, Limits, Rate
from shared.state import FLOW, PARTNER, account_key
from testkit.records import record
from tests.fakes.echo import Echo, Merging
from worker_fn.batch.time_budget import SETTLE_RESERVE_S
from worker_fn.limits import agreement as flows
from worker_fn.limits.agreement import LONGEST_COOL_DOWN_S, LONGEST_FOR_ALL_S
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.flow import Flow

DAYS = "600000"
"""Retry-After: a week, about."""


class ByAccount(Echo):
    """Limits each customer."""

    limits = Limits(account_rate=Rate(50))


class BulkByAccount(Merging):
    """Limits each customer's calls of one endpoint."""

    limits = Limits(bulk={"bulk": Bulk(3, rate=Rate(50))})


def known(fleet: Any, key: str = PARTNER) -> Flow:
    return Flow.of(fleet.state.items[key, FLOW])


@pytest.mark.parametrize("answer", ["429", "503", "408"])
def test_one_customers_answer_stops_that_customer(make_fleet: Any, answer: str) -> None:
    """If the partner limits each customer, a Retry-After stops the customer that got it, whatever the status."""
    fleet = make_fleet(ByAccount())
    fleet.run(record(1, [f"{answer} {DAYS}"]))
    report = fleet.run(record(2, ["200"]), record(3, ["200"], account=8), worker=fleet.another())
    assert report.failures + fleet.queue.parked == ["m-2"]
    assert fleet.api.ids == ["1.0", "3.0"]
    assert known(fleet).cool_until_ms == 0
    left_s = known(fleet, account_key("7")).cool_until_ms / 1_000 - fleet.clock.now_s
    assert 0 < left_s <= LONGEST_COOL_DOWN_S
    fleet.clock.now_s += left_s + 1
    assert fleet.run(record(2, ["200"], receives=2)).delivered == 1


def test_an_endpoints_answer_stops_that_endpoint(make_fleet: Any) -> None:
    """If a bulk endpoint has a rate of its own, its Retry-After stops no other account's calls of it."""
    fleet = make_fleet(BulkByAccount())
    fleet.api._bulk = lambda events: fleet.api._answer({**events[0], "name": f"503 {DAYS}"})
    fleet.run(record(1, ["200", "200"]))
    assert known(fleet).cool_until_ms == 0
    assert known(fleet, account_key("7", "bulk")).cool_until_ms > fleet.clock.now_s * 1_000 + 60_000


@pytest.mark.parametrize("answer", ["429", "503"])
def test_what_stops_everybody_is_short_and_probed(make_fleet: Any, answer: str) -> None:
    """A wait of days for everybody stops calls for a minute; then one probe is made, and resumes all calls if it
    succeeds.
    """
    fleet = make_fleet()
    fleet.run(record(1, [f"{answer} {DAYS}"]))
    began_s = fleet.clock.now_s
    others = [record(n, ["200"], account=n) for n in range(2, 9)]
    assert fleet.run(*others, worker=fleet.another(), time_s=SETTLE_RESERVE_S + 15).delivered == 0
    assert len(fleet.api.calls) == 1
    fleet.clock.now_s = began_s + LONGEST_FOR_ALL_S + 1
    worker = fleet.another()
    tried = fleet.run(*others, worker=worker)
    assert tried.delivered >= 1
    fleet.clock.now_s += max(fleet.queue.hidden.values())  # who came beside the probe comes back after it
    left = [one for one in others if one["messageId"] in tried.failures]
    assert fleet.run(*left, worker=worker).delivered == len(left)


def test_a_probe_that_is_asked_to_wait_is_the_only_call(make_fleet: Any) -> None:
    """While the partner keeps asking everybody to wait, it gets one call a minute."""
    fleet = make_fleet()
    fleet.run(record(1, [f"429 {DAYS}"]))
    for minute in range(1, 5):
        fleet.clock.now_s = 1_700_000_000.0 + 70 * minute
        fleet.run(*(record(10 * minute + n, [f"429 {DAYS}"]) for n in range(5)), worker=fleet.another())
        assert len(fleet.api.calls) == 1 + minute


def test_a_message_is_tried_again_within_half_an_hour(make_fleet: Any) -> None:
    """A message waits at most as long as its account, plus its back-off."""
    for partner in ("echo", ByAccount()):
        fleet = make_fleet(partner)
        fleet.run(record(1, [f"503 {DAYS}"]))
        assert 60 < fleet.queue.hidden["h-1"] <= 2 * LONGEST_COOL_DOWN_S


def test_what_a_short_retry_after_asks_for_everybody_does(make_fleet: Any) -> None:
    """A wait of up to a minute is obeyed to its end, without a probe."""
    fleet = make_fleet()
    fleet.run(record(1, ["503 59"]))
    assert not known(fleet).breaker.is_open
    fleet.clock.now_s += 58
    assert (
        fleet.run(record(2, ["200"], account=8), time_s=SETTLE_RESERVE_S + 0.5, worker=fleet.another()).delivered == 0
    )
    fleet.clock.now_s += 12  # also for a worker whose clock may be ahead
    assert fleet.run(record(2, ["200"], account=8), worker=fleet.another()).delivered == 1


def test_a_customer_who_alone_is_told_so_again_and_again_stops_nobody(make_fleet: Any) -> None:
    """If the partner declares no limit, one key's long waits stop nobody else while other accounts' calls succeed."""
    fleet = make_fleet()
    for n in range(4):
        fleet.clock.now_s += 200
        fleet.run(record(n, [f"503 {DAYS}"]))
        fleet.clock.now_s += 70
        fleet.run(record(100 + n, ["200"], account=8))
    fleet.clock.now_s += 200
    report = fleet.run(record(50, [f"503 {DAYS}"]), record(51, ["200"], account=8), record(52, ["200"], account=9))
    assert report.delivered == 2
    assert fleet.run(record(60, ["200"], account=8)).delivered == 1


@pytest.mark.parametrize("partner", ["echo", "by account"])
def test_an_operator_ends_it_also_for_a_worker_that_was_told(make_fleet: Any, partner: str) -> None:
    """An operator's end of a cool-down binds the worker that got the answer, too."""
    fleet = make_fleet("echo" if partner == "echo" else ByAccount())
    key = PARTNER if partner == "echo" else account_key("7")
    fleet.run(record(1, [f"429 {DAYS}"]))
    ended = flows.end_cool_down(known(fleet, key), now_ms=int(fleet.clock.now_s * 1_000))
    item = fleet.state.items[key, FLOW]
    fleet.state.items[key, FLOW] = replace(ended.written_to(item), rev=item.rev + 1)
    fleet.clock.now_s += 2
    assert fleet.run(record(2, ["200"])).delivered == 1


@pytest.mark.parametrize(("partner", "arrives"), [("by account", True), ("echo", False)])
def test_a_probe_that_meets_an_accounts_limit_finds_the_partner(make_fleet: Any, partner: str, arrives: bool) -> None:
    """A 429 about one account shows that the partner is there; a 429 about all does not."""
    fleet = make_fleet("echo" if partner == "echo" else ByAccount())
    opened_ms = int(fleet.clock.now_s * 1_000)
    fleet.set_item(PARTNER, FLOW, Flow(breaker=Breaker(opened_ms=opened_ms, probe_at_ms=opened_ms)).to_item())
    fleet.run(record(1, ["429"]))
    assert known(fleet).breaker.is_open != arrives
