import json
from dataclasses import replace
from typing import Any

import pytest

from shared.state import Item
from worker_fn.limits import agreement as agreed
from worker_fn.limits.adaptive import PUSHED_BACK, STEP_MS, Bounds, Limit
from worker_fn.limits.agreement import AtRate, Because, Flow, ProbeIsDue, Tally, Unlimited, Wait
from worker_fn.limits.breaker import MIN_CALLS, Breaker
from worker_fn.limits.windows import LEASE_AHEAD_MS, SKEW_MS, WINDOW_MS, name_of, quota

NOW = 1_790_000_000_000
DECLARED = Bounds(highest=50.0)
AT_50 = Flow(limit=Limit(per_second=50.0, held=50.0, since_ms=NOW))


def told(flow: Flow, tally: Tally) -> Flow:
    return agreed.added(flow, tally.counts(flow))


def test_a_declared_rate_holds_where_nothing_is_written() -> None:
    """A new account's item says nothing of its limit, and is no leave to call freely."""
    assert agreed.ruling(Flow(), DECLARED, now_ms=NOW) == AtRate(50.0)
    assert agreed.ruling(told(Flow(), Tally(refused=1)), DECLARED, now_ms=NOW) == AtRate(50.0)
    assert agreed.ruling(Flow(), Bounds(), now_ms=NOW) == Unlimited()


def test_a_lower_declared_rate_holds_at_once() -> None:
    """Whatever the item says of the one that was declared before; and what was learnt below it stays."""
    lower = Bounds(highest=20.0)
    assert agreed.ruling(AT_50, lower, now_ms=NOW) == AtRate(20.0)
    assert agreed.reserve(AT_50, lower, count=1, per_call=1, now_ms=NOW)[1] == [NOW + 50]
    after = agreed.fold(told(AT_50, Tally(delivered=40)), lower, now_ms=NOW + STEP_MS)
    assert (after.limit.per_second, after.limit.held) == (20.0, 20.0)
    learnt = Flow(limit=Limit(per_second=15.0, held=50.0, since_ms=NOW))
    assert agreed.ruling(learnt, lower, now_ms=NOW) == AtRate(15.0)
    assert agreed.fold(learnt, lower, now_ms=NOW + 1).limit.held == 20.0


@pytest.mark.parametrize("bounds", [DECLARED, Bounds()])
def test_cool_down_and_breaker_come_before_the_rate(bounds: Bounds) -> None:
    """Whether one is known or not."""
    cool = Flow.from_item({}, {"cu": NOW + 9, "cf": NOW})
    assert agreed.ruling(cool, bounds, now_ms=NOW) == Wait(NOW + 9, Because.COOL_DOWN)
    opened = Flow(breaker=Breaker(opened_ms=NOW, probe_at_ms=NOW + 9))
    assert agreed.ruling(opened, bounds, now_ms=NOW) == Wait(NOW + 9, Because.BREAKER)
    assert agreed.ruling(opened, bounds, now_ms=NOW + 9) == ProbeIsDue()
    both = replace(opened, cool_until_ms=NOW + 20)
    assert agreed.ruling(both, bounds, now_ms=NOW + 9) == Wait(NOW + 20, Because.COOL_DOWN)


def test_a_step_is_due_when_its_time_is_over() -> None:
    """Whoever sees counts of a step that is over takes them in, once."""
    flow = told(AT_50, Tally(delivered=40, took_ms=4_000))
    assert not agreed.is_due(flow, DECLARED, now_ms=NOW + STEP_MS - 1)
    assert agreed.is_due(flow, DECLARED, now_ms=NOW + STEP_MS)
    after = agreed.fold(flow, DECLARED, now_ms=NOW + STEP_MS)
    assert not agreed.has_news(after)
    assert not agreed.is_due(after, DECLARED, now_ms=NOW + STEP_MS)
    assert (after.delivered_ms, after.latency_ms) == (NOW + STEP_MS, 100.0)


def test_push_backs_lower_the_limit_and_those_about_the_one_before_drop_out() -> None:
    """Each is counted under the limit that its worker knew."""
    flow = agreed.fold(told(AT_50, Tally(delivered=40, refused=9)), DECLARED, now_ms=NOW + STEP_MS)
    assert flow.limit.per_second == pytest.approx(45.0)
    assert flow.generation == 1
    echo = agreed.added(flow, {**Tally(delivered=40).counts(flow), AT_50.pushed: 30})
    after = agreed.fold(echo, DECLARED, now_ms=NOW + 2 * STEP_MS)
    assert after.limit.per_second is not None
    assert after.limit.per_second >= 45.0
    assert after.counts == {}


def test_a_limit_is_learnt_where_none_is_declared() -> None:
    """From enough push-backs in a step, whose calls are counted from its beginning."""
    flow = agreed.fold(told(Flow(), Tally(delivered=1)), Bounds(), now_ms=NOW)
    assert flow.limit.since_ms == NOW
    flow = told(flow, Tally(delivered=80, refused=20))
    after = agreed.fold(flow, Bounds(), now_ms=NOW + STEP_MS)
    assert after.limit.why == PUSHED_BACK
    assert after.limit.per_second == pytest.approx(0.9 * 40.5)


def test_good_calls_before_the_first_fault_do_not_outweigh_an_outage() -> None:
    """Counts know no order: those that arrived since the first fault are counted apart."""
    before = told(AT_50, Tally(delivered=90))
    failing = Tally(faults=1)
    for _ in range(MIN_CALLS):
        failing += Tally(faults=1)
    flow = told(before, failing)
    assert agreed.is_due(flow, DECLARED, now_ms=NOW + 1)
    assert agreed.fold(flow, DECLARED, now_ms=NOW + 1).breaker.is_open


def test_good_calls_since_the_first_fault_keep_the_breaker_closed() -> None:
    """A few calls in a hundred fail: the partner is there."""
    tally = Tally(delivered=50)
    for _ in range(MIN_CALLS):
        tally = tally + Tally(faults=1) + Tally(delivered=5)
    assert tally.good == 5 * MIN_CALLS
    assert not agreed.fold(told(AT_50, tally), DECLARED, now_ms=NOW + 1).breaker.is_open
    others = told(told(AT_50, Tally(faults=MIN_CALLS)), Tally(delivered=3 * MIN_CALLS))
    assert not agreed.fold(others, DECLARED, now_ms=NOW + 1).breaker.is_open


def test_what_is_counted_while_the_breaker_is_open_says_nothing_of_the_rate() -> None:
    """Only probes are made then."""
    flow = replace(AT_50, breaker=Breaker(opened_ms=NOW, probe_at_ms=NOW + 5_000))
    flow = told(flow, Tally(refused=50, faults=50, timeouts=50))
    after = agreed.fold(flow, DECLARED, now_ms=NOW + STEP_MS)
    assert after.limit.per_second == 50.0
    assert not agreed.has_news(after)


def test_a_limit_that_was_used_up_was_reached() -> None:
    """All calls of a second were asked for: somebody could have used more."""
    below = Flow(limit=Limit(per_second=20.0, held=20.0, since_ms=NOW, pushed_ms=NOW))
    window = NOW // WINDOW_MS
    for asked, reached in ((quota(window, 20.0), True), (quota(window, 20.0) - 1, False)):
        flow = agreed.added(told(below, Tally(delivered=9)), {name_of(window): asked})
        after = agreed.fold(flow, DECLARED, now_ms=NOW + STEP_MS)
        assert after.limit.per_second == (21.0 if reached else 20.0)


def test_a_probe_that_arrived_closes_the_breaker_and_begins_low() -> None:
    """One that failed makes the next one later, and says what it was answered."""
    flow = replace(AT_50, breaker=Breaker(opened_ms=NOW, probe_at_ms=NOW))
    well = agreed.probed(flow, DECLARED, delivered=True, said="", now_ms=NOW)
    assert not well.breaker.is_open
    assert well.limit.per_second == pytest.approx(15.0)
    still = agreed.probed(flow, DECLARED, delivered=False, said="HTTP 503", now_ms=NOW)
    assert (still.breaker.failed_probes, still.breaker.said) == (1, "HTTP 503")
    assert agreed.probed(AT_50, DECLARED, delivered=False, said="", now_ms=NOW).breaker == AT_50.breaker


def test_how_long_calls_took_in_an_outage_is_forgotten_with_it() -> None:
    """Each waited for its time-out: that is no measure of what a connection can do now."""
    flow = replace(AT_50, breaker=Breaker(opened_ms=NOW, probe_at_ms=NOW), latency_ms=12_500.0)
    assert agreed.probed(flow, DECLARED, delivered=False, said="timeout", now_ms=NOW).latency_ms == 12_500.0
    well = agreed.probed(flow, DECLARED, delivered=True, said="", now_ms=NOW)
    assert well.latency_ms == 0.0
    after = agreed.fold(told(well, Tally(delivered=10, took_ms=600)), DECLARED, now_ms=NOW + STEP_MS)
    assert after.latency_ms == 60.0


def test_messages_are_booked_by_the_call_that_takes_them() -> None:
    """Where a call takes ten messages, ten have the time of one; no more may wait than of single calls."""
    bounds = Bounds(highest=2.0)
    _, times_ms = agreed.reserve(Flow(), bounds, count=30, per_call=10, now_ms=NOW)
    assert [time_ms - NOW for time_ms in times_ms[9::10]] == [500, 1_000, 1_500]
    _, times_ms = agreed.reserve(Flow(), bounds, count=5_000, per_call=100, now_ms=NOW)
    assert len(times_ms) == agreed.MOST_IN_LINE


@pytest.mark.parametrize("ahead_ms", [0, 1, 400, 999])
def test_time_of_shares_ends_with_a_second(ahead_ms: int) -> None:
    """Whoever is the first to reach the table after a silence, common seconds begin with a whole one: a worker has its
    share of one at once. What was delivered meanwhile does not hide the silence.
    """
    now_ms = NOW + agreed.SILENCE_MS + 1 + ahead_ms
    flow = agreed.fold(told(replace(AT_50, alive_ms=NOW), Tally(delivered=1)), DECLARED, now_ms=now_ms)
    assert agreed.is_silent(flow, now_ms=now_ms)
    after = agreed.alive(flow, now_ms=now_ms)
    assert after.share_until_ms % WINDOW_MS == 0
    assert now_ms + agreed.RETURN_MS <= after.share_until_ms < now_ms + agreed.RETURN_MS + WINDOW_MS
    assert not agreed.is_silent(after, now_ms=after.share_until_ms)


@pytest.mark.parametrize("idle_s", [1, 75, 600, 86_400])
def test_idleness_is_not_silence(idle_s: int) -> None:
    """While a tick leaves a sign of life each minute, somebody who comes after whatever time leases at once; of an
    account, too, whose own item nobody wrote to.
    """
    partner = account = replace(AT_50, alive_ms=NOW)
    for second in range(60, idle_s + 60, 60):
        partner = agreed.alive(partner, now_ms=NOW + 1_000 * min(second, idle_s))
    now_ms = NOW + 1_000 * idle_s
    assert not agreed.is_silent(partner, now_ms=now_ms)
    assert not agreed.is_silent(account, now_ms=now_ms, also_alive_ms=partner.alive_ms)


def test_an_operator_ends_what_stands_in_either_half() -> None:
    """The cool-down in the counts, one that an earlier release wrote into the value, and what is booked behind it."""
    flow = Flow.of(Item(4, {"cool_until_ms": NOW + 5, "booked_ms": NOW + 7}, {"cu": NOW + 9, "cf": NOW}))
    assert (flow.cool_until_ms, flow.cool_from_ms) == (NOW + 9, NOW)
    ended = agreed.end_cool_down(flow, now_ms=NOW)
    assert Flow.of(ended.written_to(Item(4))) == replace(ended)
    assert (ended.cool_until_ms, ended.booked_ms, ended.counts, ended.cool_ends) == (0, 0, {}, 1)


OLD: dict[str, Any] = {
    "limit": {"per_second": 40.0, "held": 45.0, "since_ms": NOW, "why": "holding", "rest_until_ms": NOW + 9},
    "books": {"1790000000": [48, [1, 4]]},
    "breaker": {"opened_ms": NOW, "failed_probes": 2, "probe_at_ms": NOW + 5},
    "sharding": {"count": 4},
    "cool_until_ms": NOW + 5,
    "cool_from_ms": NOW,
    "alive_ms": NOW,
}


def test_an_item_of_the_release_before_is_read() -> None:
    """Its limit, breaker and cool-down hold on; its books of seconds are nothing any more."""
    flow = Flow.of(Item(9, OLD))
    assert (flow.limit.per_second, flow.breaker.failed_probes, flow.cool_until_ms) == (40.0, 2, NOW + 5)
    assert set(flow.to_item()) == {"limit", "breaker", "cool_until_ms", "cool_from_ms", "alive_ms"}


def test_what_is_written_is_read_back() -> None:
    """Also where little is as at the start."""
    for flow in (Flow(), AT_50, Flow.of(Item(9, OLD))):
        assert Flow.of(Item(1, json.loads(json.dumps(flow.to_item())), flow.counts)) == flow


def test_the_largest_item_is_one_write() -> None:
    """Under 1 KB, as DynamoDB counts it: names, texts, and numbers at half a byte a digit."""
    now_ms = 1_999_999_999_999
    seconds = range((now_ms - SKEW_MS) // WINDOW_MS, (now_ms + LEASE_AHEAD_MS) // WINDOW_MS + 1)
    counts = {name_of(second): 123_456 for second in seconds} | {"cu": now_ms, "cf": now_ms, "p12345": 99_999}
    counts |= dict.fromkeys(("td", "tf", "tg", "tt", "tm"), 999_999)
    limit = Limit(12_345.6, 12_345.6, 12_345.678, now_ms, 99_999, 9_999, 9_999, now_ms, now_ms, True, "pushed back")
    breaker = Breaker(40.5, 19.5, now_ms, None, 0, 0, 0, "", "")
    opened = Breaker(0.0, 0.0, 0, now_ms, 99, now_ms, now_ms, "ffffffff", "connection on our side")
    rest = {"cool_until_ms": now_ms, "cool_from_ms": now_ms, "cool_ends": 99, "delivered_ms": now_ms}
    rest |= {"latency_ms": 12_345.6, "share_until_ms": now_ms, "alive_ms": now_ms, "generation": 12_345}
    for one in (breaker, opened):
        value = json.dumps(Flow(limit, breaker=one, counts=counts, **rest).to_item(), separators=(",", ":"))
        attributes = {"pk": "account#1234567890", "sk": "flow", "value": value, "by": "0123456789abcdef"}
        size = sum(len(name) + len(text) for name, text in attributes.items())
        size += sum(len(name) + len(str(count)) // 2 + 2 for name, count in (counts | {"rev": 10**7}).items())
        assert size < 1_024, size
