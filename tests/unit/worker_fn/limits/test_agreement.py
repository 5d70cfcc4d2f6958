from dataclasses import replace

import pytest

from worker_fn.limits import agreement as agreed
from worker_fn.limits.adaptive import PUSHED_BACK, STEP_MS, Bounds, Limit
from worker_fn.limits.breaker import MIN_CALLS, Breaker
from worker_fn.limits.flow import GOOD, Flow, Tally
from worker_fn.limits.ruling import AtRate, ruling
from worker_fn.limits.windows import WINDOW_MS, name_of, quota

NOW = 1_790_000_000_000
DECLARED = Bounds(highest=50.0)
AT_50 = Flow(limit=Limit(per_second=50.0, held=50.0, since_ms=NOW))


def told(flow: Flow, tally: Tally) -> Flow:
    return flow.added(tally.counts(flow))


def test_a_step_is_due_when_its_time_is_over() -> None:
    """The first worker that sees counts of a step that is over takes them in, once."""
    flow = told(AT_50, Tally(delivered=40, took_ms=4_000))
    assert not agreed.is_due(flow, DECLARED, now_ms=NOW + STEP_MS - 1)
    assert agreed.is_due(flow, DECLARED, now_ms=NOW + STEP_MS)
    after = agreed.fold(flow, DECLARED, now_ms=NOW + STEP_MS)
    assert not after.has_news
    assert not agreed.is_due(after, DECLARED, now_ms=NOW + STEP_MS)
    assert (after.delivered_ms, after.latency_ms) == (NOW + STEP_MS, 100.0)


def test_push_backs_lower_the_limit_and_those_about_the_one_before_drop_out() -> None:
    """Each push-back is counted under the limit that its worker knew, and those about an earlier limit do not count."""
    flow = agreed.fold(told(AT_50, Tally(delivered=40, refused=9)), DECLARED, now_ms=NOW + STEP_MS)
    assert flow.limit.per_second == pytest.approx(45.0)
    assert flow.generation == 1
    echo = flow.added({**Tally(delivered=40).counts(flow), AT_50.pushed: 30})
    after = agreed.fold(echo, DECLARED, now_ms=NOW + 2 * STEP_MS)
    assert after.limit.per_second is not None
    assert after.limit.per_second >= 45.0
    assert after.counts == {}


def test_a_limit_is_learnt_where_none_is_declared() -> None:
    """If no rate is declared, enough push-backs in a step set a limit, from the calls since the step's beginning."""
    flow = agreed.fold(told(Flow(), Tally(delivered=1)), Bounds(), now_ms=NOW)
    assert flow.limit.since_ms == NOW
    flow = told(flow, Tally(delivered=80, refused=20))
    after = agreed.fold(flow, Bounds(), now_ms=NOW + STEP_MS)
    assert after.limit.why == PUSHED_BACK
    assert after.limit.per_second == pytest.approx(0.9 * 40.5)


def test_what_is_counted_while_the_breaker_is_open_says_nothing_of_the_rate() -> None:
    """Counts while the breaker is open do not change the rate, because only probes are made then."""
    flow = replace(AT_50, breaker=Breaker(opened_ms=NOW, probe_at_ms=NOW + 5_000))
    flow = told(flow, Tally(refused=50, faults=50, timeouts=50))
    after = agreed.fold(flow, DECLARED, now_ms=NOW + STEP_MS)
    assert after.limit.per_second == 50.0
    assert not after.has_news


def test_a_limit_that_was_used_up_was_reached() -> None:
    """A limit counts as reached if all calls of a second were asked for."""
    below = Flow(limit=Limit(per_second=20.0, held=20.0, since_ms=NOW, pushed_ms=NOW))
    window = NOW // WINDOW_MS
    for asked, reached in ((quota(window, 20.0), True), (quota(window, 20.0) - 1, False)):
        flow = told(below, Tally(delivered=9)).added({name_of(window): asked})
        after = agreed.fold(flow, DECLARED, now_ms=NOW + STEP_MS)
        assert after.limit.per_second == (21.0 if reached else 20.0)


def test_a_probe_that_arrived_closes_the_breaker_and_begins_low() -> None:
    """A successful probe closes the breaker, and the limit begins low; a failed one delays the next, and its answer is
    kept.
    """
    flow = replace(AT_50, breaker=Breaker(opened_ms=NOW, probe_at_ms=NOW))
    well = agreed.answered(flow, Tally(probe=True), DECLARED, now_ms=NOW)
    assert not well.breaker.is_open
    assert well.limit.per_second == pytest.approx(15.0)
    still = agreed.answered(flow, Tally(probe=False, said="HTTP 503"), DECLARED, now_ms=NOW)
    assert (still.breaker.failed_probes, still.breaker.said) == (1, "HTTP 503")
    assert agreed.answered(AT_50, Tally(probe=False), DECLARED, now_ms=NOW).breaker == AT_50.breaker


def test_what_was_under_way_when_the_breaker_opened_leaves_its_probe_where_it_is() -> None:
    """However long its answer asks all to wait; the pause is the first one's."""
    asked = Tally(refused=1, cool_until_ms=NOW + 900_000, asks_long=True)
    first = agreed.answered(AT_50, asked, DECLARED, now_ms=NOW)
    assert (first.breaker.opened_ms, first.breaker.probe_at_ms) == (NOW, NOW + 900_000)
    assert agreed.answered(first, asked, DECLARED, now_ms=NOW + 1_000) == first


def test_how_long_calls_took_in_an_outage_is_forgotten_with_it() -> None:
    """Latencies from an outage are forgotten, because these calls waited for their time-out."""
    flow = replace(AT_50, breaker=Breaker(opened_ms=NOW, probe_at_ms=NOW), latency_ms=12_500.0)
    assert agreed.answered(flow, Tally(probe=False, said="timeout"), DECLARED, now_ms=NOW).latency_ms == 12_500.0
    well = agreed.answered(flow, Tally(probe=True), DECLARED, now_ms=NOW)
    assert well.latency_ms == 0.0
    after = agreed.fold(told(well, Tally(delivered=10, took_ms=600)), DECLARED, now_ms=NOW + STEP_MS)
    assert after.latency_ms == 60.0


def test_messages_are_booked_by_the_call_that_takes_them() -> None:
    """If a call takes ten messages, ten have one return time; no more messages may wait than with single calls."""
    bounds = Bounds(highest=2.0)
    _, times_ms = agreed.reserve(Flow(), bounds, count=30, per_call=10, now_ms=NOW)
    assert [time_ms - NOW for time_ms in times_ms[9::10]] == [500, 1_000, 1_500]
    _, times_ms = agreed.reserve(Flow(), bounds, count=5_000, per_call=100, now_ms=NOW)
    assert len(times_ms) == agreed.MOST_IN_LINE


def test_no_more_messages_wait_for_a_rate_however_often_they_are_booked() -> None:
    """Those that came before count until their time has come, and what a cool-down adds to it is nobody's place."""
    bounds = Bounds(highest=20.0)
    flow, times_ms = agreed.reserve(Flow(), bounds, count=900, per_call=1, now_ms=NOW)
    assert len(times_ms) == 900
    _, times_ms = agreed.reserve(flow, bounds, count=900, per_call=1, now_ms=NOW)
    assert len(times_ms) == 100
    assert times_ms[0] == flow.booked_ms + 50
    cooled = replace(flow, cool_until_ms=NOW + 60_000)
    assert len(agreed.reserve(cooled, bounds, count=900, per_call=1, now_ms=NOW)[1]) == 100
    assert len(agreed.reserve(flow, bounds, count=5_000, per_call=1, now_ms=NOW + 46_000)[1]) == agreed.MOST_IN_LINE
    assert agreed.reserve(cooled, bounds, count=1, per_call=1, now_ms=NOW + 400_000)[1] == [NOW + 400_050]


def test_an_account_books_no_further_ahead_than_the_longest_line() -> None:
    """A slow rate's line is short, and a long cool-down leaves none: the rest belongs into the parking queue."""
    slow = Bounds(highest=1.0)
    _, times_ms = agreed.reserve(Flow(), slow, count=900, per_call=1, now_ms=NOW)
    assert times_ms[-1] == NOW + agreed.LONGEST_LINE_MS
    cooled = Flow(cool_until_ms=NOW + agreed.LONGEST_LINE_MS + 9_000)
    assert agreed.reserve(cooled, slow, count=9, per_call=1, now_ms=NOW) == (cooled, [])


def test_a_lower_declared_rate_holds_at_once() -> None:
    """A lower declared rate holds at once, whatever rate the item has; a lower learnt limit stays."""
    lower = Bounds(highest=20.0)
    assert ruling(AT_50, lower, now_ms=NOW) == AtRate(20.0)
    assert agreed.reserve(AT_50, lower, count=1, per_call=1, now_ms=NOW)[1] == [NOW + 50]
    after = agreed.fold(told(AT_50, Tally(delivered=40)), lower, now_ms=NOW + STEP_MS)
    assert (after.limit.per_second, after.limit.held) == (20.0, 20.0)
    learnt = Flow(limit=Limit(per_second=15.0, held=50.0, since_ms=NOW))
    assert ruling(learnt, lower, now_ms=NOW) == AtRate(15.0)
    assert agreed.fold(learnt, lower, now_ms=NOW + 1).limit.held == 20.0


def test_good_calls_before_the_first_fault_do_not_outweigh_an_outage() -> None:
    """Only successes since the first fault count, because counts have no order."""
    before = told(AT_50, Tally(delivered=90))
    flow = told(before, Tally(faults=MIN_CALLS + 1))
    assert agreed.is_due(flow, DECLARED, now_ms=NOW + 1)
    assert agreed.fold(flow, DECLARED, now_ms=NOW + 1).breaker.is_open


def test_good_calls_since_the_first_fault_keep_the_breaker_closed() -> None:
    """If a few calls in a hundred fail, the breaker stays closed."""
    flow = told(AT_50, Tally(delivered=50))
    for _ in range(MIN_CALLS):
        flow = told(told(flow, Tally(faults=1)), Tally(delivered=5))
    assert flow.counts[GOOD] == 5 * MIN_CALLS
    assert not agreed.fold(flow, DECLARED, now_ms=NOW + 1).breaker.is_open
    others = told(told(AT_50, Tally(faults=MIN_CALLS)), Tally(delivered=3 * MIN_CALLS))
    assert not agreed.fold(others, DECLARED, now_ms=NOW + 1).breaker.is_open


def test_one_fault_in_five_keeps_the_breaker_closed() -> None:
    """However seldom somebody calls: calls that arrived between two faults count, too."""
    flow = AT_50
    for second in range(100):
        flow = told(flow, Tally(faults=1) if second % 5 == 0 else Tally(delivered=1))
        flow = agreed.fold(flow, DECLARED, now_ms=NOW + 1_000 * second)
    assert not flow.breaker.is_open


@pytest.mark.parametrize(
    ("seen_after_ms", "obeyed_ms"),
    [(0, 45_000), (44_000, 45_000 + agreed.CLOCKS_APART_MS), (46_000, 45_000 + agreed.CLOCKS_APART_MS)],
)
def test_a_cool_down_is_obeyed_for_as_long_as_clocks_are_apart(seen_after_ms: int, obeyed_ms: int) -> None:
    """A worker that sees a cool-down late may have a clock that is ahead, so it obeys for longer, but beyond the end at
    most by what clocks may differ.
    """
    flow = Flow(cool_from_ms=NOW, cool_until_ms=NOW + 45_000)
    assert agreed.obeyed_until_ms(flow, seen_ms=NOW + seen_after_ms) == NOW + obeyed_ms


def test_a_short_cool_down_is_obeyed_a_quarter_longer_at_most() -> None:
    """A short cool-down is obeyed at most a quarter longer, however late it is seen."""
    flow = Flow(cool_from_ms=NOW, cool_until_ms=NOW + 2_000)
    assert agreed.obeyed_until_ms(flow, seen_ms=NOW + 1_900) == NOW + 2_500
