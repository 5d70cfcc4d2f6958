from dataclasses import replace

import pytest

from shared.state import Item
from worker_fn.limits import agreement as agreed
from worker_fn.limits import breaker as breakers
from worker_fn.limits.adaptive import (
    BELIEVED_MS,
    DOUBTED_MS,
    NO_CAP,
    PUSHED_BACK,
    RECOVERING,
    RESTART,
    STEP_MS,
    Bounds,
    Limit,
)
from worker_fn.limits.breaker import LONGEST_PAUSE_MS, MIN_CALLS, Breaker
from worker_fn.limits.flow import BY_HAND, Flow, Tally
from worker_fn.limits.ruling import PROBE, UNLIMITED, AtRate, Because, Wait, block, ruling, what_stops_mapping

NOW = 1_790_000_000_000
HOUR = 3_600_000
DECLARED = Bounds(highest=100.0)
AT_100 = Flow(limit=Limit(per_second=100.0, held=100.0, since_ms=NOW - STEP_MS))


def told(flow: Flow, tally: Tally) -> Flow:
    return flow.added(tally.counts(flow))


def limited(flow: Flow = AT_100, bounds: Bounds = DECLARED, *, to: float = 30.0) -> Flow:
    return agreed.set_limit(flow, bounds, to, until_ms=NOW + HOUR, now_ms=NOW)


def busy(flow: Flow, bounds: Bounds, *, from_ms: int, until_ms: int, tally: Tally | None = None) -> list[Flow]:
    """The agreement after each step of a fleet that uses all calls that it may make."""
    steps = []
    for now_ms in range(from_ms, until_ms, 1_000):
        rate = flow.rate(bounds)
        flow = told(flow, tally or Tally(delivered=round(rate or 80)))
        flow = agreed.fold(replace(flow, limit=replace(flow.limit, reached=True)), bounds, now_ms=now_ms)
        steps.append(flow)
    return steps


def rates(steps: list[Flow], bounds: Bounds) -> list[float | None]:
    return [flow.rate(bounds) for flow in steps]


@pytest.mark.parametrize("before", [AT_100, Flow(), Flow(limit=Limit(per_second=60.0, held=70.0, since_ms=NOW))])
def test_a_limit_holds_at_once_and_nothing_raises_it(before: Flow) -> None:
    """An operator's limit holds at once, with an item before it or without, and no success raises it."""
    flow = limited(before)
    assert ruling(flow, DECLARED, now_ms=NOW) == AtRate(30.0)
    assert flow.why == BY_HAND
    steps = busy(flow, DECLARED, from_ms=NOW + 1_000, until_ms=NOW + 60_000)
    assert set(rates(steps, DECLARED)) == {30.0}
    assert steps[-1].why == BY_HAND


def test_a_limit_that_is_not_reached_changes_nothing() -> None:
    """A lower limit from trouble stays, and moves by its own rules up to the operator's."""
    learnt = Flow(limit=Limit(per_second=20.0, held=22.0, since_ms=NOW, pushed_ms=NOW, why=PUSHED_BACK))
    flow = limited(learnt)
    assert (flow.rate(DECLARED), flow.generation) == (20.0, 0)
    assert flow.why != BY_HAND
    seen = rates(busy(flow, DECLARED, from_ms=NOW + 1_000, until_ms=NOW + 120_000), DECLARED)
    assert max(one or 0.0 for one in seen) == 30.0


def test_push_backs_lower_it_further() -> None:
    """Push-backs lower the limit below the operator's, and what they taught is kept when the operator's ends."""
    flow = told(limited(), Tally(delivered=40, refused=9))
    flow = agreed.fold(flow, DECLARED, now_ms=NOW + STEP_MS)
    assert (flow.limit.per_second, flow.limit.held) == (pytest.approx(27.0), pytest.approx(27.0))
    after = agreed.clear_limit(flow, now_ms=NOW + 9_000)
    assert (after.cap, after.limit.held) == (NO_CAP, pytest.approx(27.0))


def test_what_is_pushed_back_about_the_limit_before_drops_out() -> None:
    """Push-backs of calls that began before the operator's limit do not count."""
    flow = limited()
    assert flow.generation == AT_100.generation + 1
    late = flow.added({AT_100.pushed: 30})
    assert agreed.fold(told(late, Tally(delivered=50)), DECLARED, now_ms=NOW + STEP_MS).limit.per_second == 30.0


def test_when_its_time_is_over_the_limit_grows_step_by_step_to_what_held() -> None:
    """When the operator's limit ends, the limit grows by half each second, without a burst, to the last one that
    held.
    """
    flow = limited()
    first, *later = busy(flow, DECLARED, from_ms=NOW + HOUR, until_ms=NOW + HOUR + 8_000)
    assert (first.cap, first.limit.why, first.rate(DECLARED)) == (NO_CAP, RECOVERING, 30.0)
    assert rates(later[:4], DECLARED) == [45.0, 67.5, 100.0, 100.0]
    assert not [one for one in later if one.why == BY_HAND]


def test_a_limit_that_was_learnt_before_is_what_it_grows_to() -> None:
    """Afterwards the limit grows to the learnt limit, not to the declared rate, which the partner refused."""
    learnt = Flow(limit=Limit(per_second=55.0, held=60.0, since_ms=NOW, pushed_ms=NOW))
    flow = agreed.set_limit(learnt, DECLARED, 30, until_ms=NOW + 60_000, now_ms=NOW)
    steps = busy(flow, DECLARED, from_ms=NOW + 60_000, until_ms=NOW + 63_000)
    assert rates(steps, DECLARED) == [30.0, 45.0, 60.0]
    assert steps[-1].limit.held == 60.0


def test_an_idle_fleet_has_no_burst_either() -> None:
    """Hours after the operator's limit ended, calls of an idle fleet begin at that limit, and grow."""
    flow = limited()
    late_ms = NOW + 5 * HOUR
    assert flow.rate(DECLARED) == 30.0
    steps = busy(flow, DECLARED, from_ms=late_ms, until_ms=late_ms + 4_000)
    assert rates(steps, DECLARED) == [30.0, 45.0, 67.5, 100.0]


def test_where_no_rate_is_known_the_operators_is_one_and_is_forgotten_afterwards() -> None:
    """If no rate is known, the limit grows from the operator's, and is forgotten after a quiet minute."""
    flow = limited(Flow(), Bounds())
    assert ruling(flow, Bounds(), now_ms=NOW) == AtRate(30.0)
    assert set(rates(busy(flow, Bounds(), from_ms=NOW + 1_000, until_ms=NOW + 30_000), Bounds())) == {30.0}
    steps = busy(flow, Bounds(), from_ms=NOW + HOUR, until_ms=NOW + HOUR + 3_000, tally=Tally(delivered=80))
    assert rates(steps, Bounds()) == [30.0, 45.0, 67.5]
    over = agreed.fold(steps[-1], Bounds(), now_ms=NOW + HOUR + DOUBTED_MS)
    assert ruling(over, Bounds(), now_ms=NOW + HOUR + DOUBTED_MS) == UNLIMITED


def test_to_end_a_limit_where_none_is_set_changes_nothing() -> None:
    """The window that is being counted goes on."""
    flow = agreed.fold(told(AT_100, Tally(delivered=40)), DECLARED, now_ms=NOW - 1)
    assert agreed.clear_limit(flow, now_ms=NOW) == flow


def test_another_limit_takes_the_place_of_the_one_before() -> None:
    """A second operator's limit replaces the first: a higher one is grown to, a lower one holds at once, and the last
    limit before both is kept.
    """
    higher = limited(limited(), to=60.0)
    assert (higher.rate(DECLARED), higher.limit.held, higher.cap.held) == (30.0, 60.0, 100.0)
    assert max(rates(busy(higher, DECLARED, from_ms=NOW + 1_000, until_ms=NOW + 9_000), DECLARED)) == 60.0
    lower = limited(higher, to=5.0)
    assert (lower.rate(DECLARED), lower.cap.held) == (5.0, 100.0)
    assert agreed.clear_limit(lower, now_ms=NOW).limit.held == 100.0


def test_a_declared_rate_that_was_lowered_meanwhile_holds() -> None:
    """If a deploy lowers the declared rate meanwhile, the lower of the two holds."""
    for declared in (Bounds(20.0), Bounds(40.0)):
        steps = busy(limited(), declared, from_ms=NOW + HOUR, until_ms=NOW + HOUR + 30_000)
        assert max(one or 0.0 for one in rates(steps, declared)) == declared.highest


def test_a_limit_that_holds_long_enough_is_believed_no_longer_than_others() -> None:
    """A limit learnt below the operator's is forgotten in time: first up to the operator's, then beyond."""
    flow = told(limited(), Tally(delivered=40, refused=9))
    flow = agreed.fold(flow, DECLARED, now_ms=NOW + STEP_MS)
    (*_, faded) = busy(flow, DECLARED, from_ms=NOW + BELIEVED_MS + STEP_MS, until_ms=NOW + BELIEVED_MS + 9_000)
    assert (faded.rate(DECLARED), faded.limit.held) == (30.0, 30.0)
    assert agreed.fold(faded, DECLARED, now_ms=NOW + HOUR).limit.held == 100.0


def test_it_stands_in_the_item_and_other_releases_read_past_it() -> None:
    """Items without the operator's field, or with an unknown one, can be read."""
    flow = limited()
    item = flow.written_to(Item())
    assert Flow.of(item) == flow
    assert "cap" not in AT_100.to_item()
    before = {name: one for name, one in item.value.items() if name != "cap"}
    assert Flow.of(Item(1, before)).rate(DECLARED) == 30.0
    later = {**item.value, "cap": {**item.value["cap"], "new": 1}}
    assert Flow.of(Item(1, later)).cap == flow.cap


OPENED = agreed.open_breaker(AT_100, until_ms=NOW + HOUR, now_ms=NOW)


def test_nobody_calls_or_probes_while_an_operator_has_the_breaker_open() -> None:
    """While an operator has the breaker open no probe is due or leased, and no late result closes it."""
    for now_ms in (NOW, NOW + HOUR // 2, NOW + HOUR - 1):
        ruled = ruling(OPENED, DECLARED, now_ms=now_ms)
        assert isinstance(ruled, Wait)
        assert ruled.because is Because.BREAKER
        assert breakers.lease_probe(OPENED.breaker, now_ms=now_ms, by="a", lease_ms=9_000) == OPENED.breaker
    under_way = agreed.answered(OPENED, Tally(probe=True), DECLARED, now_ms=NOW + 1_000)
    assert under_way.breaker == OPENED.breaker
    assert agreed.end_cool_down(OPENED, now_ms=NOW + 1_000).breaker == OPENED.breaker
    assert agreed.fold(told(OPENED, Tally(delivered=50)), DECLARED, now_ms=NOW + 1_000).breaker == OPENED.breaker
    assert what_stops_mapping(OPENED, now_ms=NOW) == "the breaker, which an operator opened"


def test_it_takes_the_place_of_one_that_opened_by_itself() -> None:
    """If an operator opens a breaker that was open, a probe under way no longer counts."""
    by_itself = Flow(breaker=Breaker(opened_ms=NOW - 9_000, failed_probes=3, probe_until_ms=NOW + 9_000, probe_by="a"))
    flow = agreed.open_breaker(by_itself, until_ms=NOW + HOUR, now_ms=NOW)
    assert flow.breaker == OPENED.breaker
    assert not breakers.holds_probe(flow.breaker, now_ms=NOW, by="a")


def test_who_waits_meanwhile_looks_again_within_a_minute() -> None:
    """Messages are hidden for at most a minute, because an operator may close the breaker earlier."""
    assert block(OPENED, now_ms=NOW) == Wait(NOW + LONGEST_PAUSE_MS, Because.BREAKER)
    assert block(OPENED, now_ms=NOW + HOUR - 9) == Wait(NOW + HOUR, Because.BREAKER)


def test_when_its_time_is_over_a_probe_finds_out() -> None:
    """When the time is over one probe is made, and calls begin low, as after an outage."""
    over_ms = NOW + HOUR
    assert ruling(OPENED, DECLARED, now_ms=over_ms) == PROBE
    after = agreed.answered(OPENED, Tally(probe=True), DECLARED, now_ms=over_ms)
    assert not after.breaker.is_open
    assert after.rate(DECLARED) == pytest.approx(RESTART * 100)
    failed = agreed.answered(OPENED, Tally(probe=False, said="HTTP 503"), DECLARED, now_ms=over_ms)
    assert failed.breaker.is_open
    assert failed.breaker.said == "HTTP 503"
    assert ruling(failed, DECLARED, now_ms=over_ms + LONGEST_PAUSE_MS) == PROBE


def test_calls_go_on_low_where_its_time_is_over_and_nobody_can_make_the_probe() -> None:
    """Not before, and not while somebody makes it, nor where it opened by itself."""
    over_ms = NOW + HOUR
    ended = agreed.end_breaker(OPENED, DECLARED, now_ms=over_ms)
    assert ruling(ended, DECLARED, now_ms=over_ms) == AtRate(pytest.approx(RESTART * 100))
    probed = replace(OPENED, breaker=breakers.lease_probe(OPENED.breaker, now_ms=over_ms, by="a", lease_ms=9_000))
    by_itself = replace(AT_100, breaker=Breaker(opened_ms=NOW))
    for flow, now_ms in ((OPENED, over_ms - 1), (probed, over_ms), (by_itself, over_ms)):
        assert agreed.end_breaker(flow, DECLARED, now_ms=now_ms) == flow


@pytest.mark.parametrize("is_by_hand", [False, True])
def test_closing_is_as_a_probe_that_arrived(is_by_hand: bool) -> None:
    """After a close by hand calls resume at the low limit, whoever opened the breaker, and cool-downs end."""
    is_open = OPENED if is_by_hand else replace(AT_100, breaker=Breaker(opened_ms=NOW, probe_at_ms=NOW + 9_000))
    is_open = replace(is_open, cool_until_ms=NOW + 30_000)
    flow = agreed.close_breaker(is_open, until_ms=NOW, now_ms=NOW)
    assert ruling(flow, DECLARED, now_ms=NOW) == AtRate(pytest.approx(RESTART * 100))
    assert (flow.limit.why, flow.limit.held, flow.cool_ends) == (RECOVERING, 100.0, 1)


def test_a_breaker_that_was_closed_by_hand_opens_by_its_own_rules() -> None:
    """If faults go on after a close by hand, ten calls are enough to open the breaker again."""
    failing = told(OPENED, Tally(faults=MIN_CALLS))  # calls that were under way when it was opened
    flow = agreed.close_breaker(failing, until_ms=NOW, now_ms=NOW)
    assert not agreed.fold(flow, DECLARED, now_ms=NOW).breaker.is_open
    flow = agreed.fold(told(flow, Tally(faults=MIN_CALLS)), DECLARED, now_ms=NOW + 1_000)
    assert flow.breaker.is_open
    assert ruling(flow, DECLARED, now_ms=NOW + 9_000) == PROBE


def test_a_breaker_that_is_to_stay_closed_does_until_then() -> None:
    """A breaker that is to stay closed until a time does so, whatever calls result in or ask for; afterwards faults
    open it.
    """
    flow = agreed.close_breaker(OPENED, until_ms=NOW + HOUR, now_ms=NOW)
    for second in range(1, 30):
        flow = agreed.fold(told(flow, Tally(faults=MIN_CALLS)), DECLARED, now_ms=NOW + 1_000 * second)
        flow = agreed.answered(
            flow, Tally(cool_until_ms=NOW + 60_000, asks_long=True), DECLARED, now_ms=NOW + 1_000 * second
        )
        assert not flow.breaker.is_open
    after = agreed.fold(told(flow, Tally(faults=MIN_CALLS)), DECLARED, now_ms=NOW + HOUR)
    assert after.breaker.is_open


def test_a_closed_breaker_may_be_kept_closed_at_the_limit_as_it_is() -> None:
    """If the breaker was closed already, keeping it closed leaves the limit as it is."""
    flow = agreed.close_breaker(AT_100, until_ms=NOW + HOUR, now_ms=NOW)
    assert flow.rate(DECLARED) == 100.0


def test_after_an_outage_the_limit_stays_below_the_operators() -> None:
    """After an outage the limit begins low, grows to the operator's, and after that ends to the declared rate."""
    flow = limited(agreed.open_breaker(AT_100, until_ms=NOW + 60_000, now_ms=NOW))
    flow = agreed.answered(flow, Tally(probe=True), DECLARED, now_ms=NOW + 60_000)
    assert flow.rate(DECLARED) == pytest.approx(RESTART * 30)
    seen = rates(busy(flow, DECLARED, from_ms=NOW + 61_000, until_ms=NOW + 90_000), DECLARED)
    assert max(one or 0.0 for one in seen) == 30.0
    assert agreed.fold(flow, DECLARED, now_ms=NOW + HOUR).limit.held == 100.0


def test_the_breaker_of_another_release_is_still_open() -> None:
    """A release that does not know an operator's breaker reads when the next probe is due, and waits for it."""
    value = OPENED.to_item()
    del value["breaker"]["by_hand_until_ms"]
    assert ruling(Flow.of(Item(1, value)), DECLARED, now_ms=NOW + HOUR - 1) == Wait(NOW + HOUR, Because.BREAKER)
