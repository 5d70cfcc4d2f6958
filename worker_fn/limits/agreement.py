"""How the value of the item that the fleet shares moves. Pure.

Whoever sees that a step is due takes what was counted into it (`fold`), on the condition that nobody else did. So the
rules hold under any interleaving of workers. A release, an operator and the tick change it by functions of it, too.
"""

from dataclasses import replace

from shared.state import COOL_FROM, COOL_UNTIL
from worker_fn.limits import adaptive, breaker, windows
from worker_fn.limits.adaptive import Bounds, Limit
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.cap import NO_CAP, within
from worker_fn.limits.cap import uncapped as limit_after
from worker_fn.limits.flow import DELIVERED, FAULTS, GOOD, TIMEOUTS, TOOK_MS, Flow
from worker_fn.limits.silence import is_silent
from worker_fn.limits.tally import Tally

LONGEST_COOL_DOWN_S = 900.0
"""How long an account is left alone at most for what it was answered, or a message; then it is tried again."""
LONGEST_FOR_ALL_S = 60.0
"""How long one answer stops everybody. Whoever asks for more is asked in return, by one probe at a time."""
LONGEST_LINE_MS = 300_000
"""How far ahead an account's messages are given a time to come back: its rate times that is what it has in flight at
most.
"""
MOST_IN_LINE = 1_000
"""Messages that an account may have waiting by visibility, however large its rate: the queue has 120,000 for all."""
CLOCKS_APART_MS = 2_500
"""How far apart two workers' clocks may be: each answer of the state table bounds a clock's error to about a second
(worker_fn/limits/clock.py), that by which a cool-down is seen, too.
"""
HEALTHY_MS = 600_000
"""A partner that took a call in the last ten minutes is not down: what it answers to another call is about that call.
"""


def fold(flow: Flow, bounds: Bounds, *, now_ms: int) -> Flow:
    """Take into the value what was counted since it was written; leave a sign of life."""
    if flow.cap.is_over(now_ms):
        flow = uncapped(flow, now_ms=now_ms)
    told, bounds = flow.counts, within(bounds, flow.cap)
    delivered, faults, pushed = told.get(DELIVERED, 0), told.get(FAULTS, 0), told.get(flow.pushed, 0)
    # Counts know no order: two seconds' good calls must not outweigh an outage.
    good = told.get(GOOD, 0) if faults else min(delivered + pushed, breaker.MEMORY_CALLS)
    # While the breaker is open only probes are made: they tell whether the partner is there, and nothing of its rate.
    speaks = not flow.breaker.is_open
    limit = adaptive.add(
        _begun(flow.limit, bounds, now_ms),
        delivered=delivered,
        pushed_back=pushed if speaks else 0,
        timeouts=told.get(TIMEOUTS, 0) if speaks else 0,
        now_ms=now_ms,
    )
    if limit.since_ms != flow.limit.since_ms and now_ms - flow.limit.since_ms < 2 * adaptive.STEP_MS:
        limit = replace(limit, since_ms=flow.limit.since_ms)  # they were counted since then
    limit = replace(limit, reached=limit.reached or _is_reached(flow, now_ms))
    stepped = adaptive.step(limit, bounds, now_ms=now_ms)
    lowered = stepped.per_second is not None and stepped.per_second < (limit.per_second or float("inf"))
    if not is_silent(flow, now_ms=now_ms):  # else the next lease has to see that it is
        flow = replace(flow, alive_ms=max(flow.alive_ms, now_ms))
    return replace(
        flow,
        limit=stepped,
        generation=flow.generation + (lowered and stepped.why == adaptive.PUSHED_BACK),
        breaker=breaker.count(flow.breaker, delivered=good, faults=faults, now_ms=now_ms),
        delivered_ms=now_ms if delivered else flow.delivered_ms,
        latency_ms=_smoothed(flow.latency_ms, told.get(TOOK_MS, 0), delivered + faults + pushed),
        counts=flow.uncounted().counts,
    )


def is_due(flow: Flow, bounds: Bounds, *, now_ms: int) -> bool:
    """Whether somebody has to take in what was counted: the limit would move, or a step of it is over; or the breaker
    would open.
    """
    after = fold(flow, bounds, now_ms=now_ms)
    if not flow.has_news:
        return flow.limit.per_second is not None and after.limit.per_second != flow.limit.per_second
    return after.breaker.is_open != flow.breaker.is_open or after.limit.since_ms != flow.limit.since_ms


def answered(flow: Flow, tally: Tally, bounds: Bounds, *, now_ms: int) -> Flow:
    """After what concerns everybody: a probe, or an answer that asks all to wait for long."""
    if tally.probe is not None:
        flow = probed(flow, bounds, delivered=tally.probe, said=tally.said, now_ms=now_ms)
    return asked_long(flow, tally.cool_until_ms, now_ms=now_ms) if tally.asks_long else flow


def probed(flow: Flow, bounds: Bounds, *, delivered: bool, said: str, now_ms: int) -> Flow:
    """After a probe: the breaker closes and the limit begins low, or the next probe is later."""
    flow = fold(flow, bounds, now_ms=now_ms)
    if not flow.breaker.is_open:
        return flow
    after = breaker.probed(flow.breaker, delivered=delivered, now_ms=now_ms, said=said)
    if after.is_open:
        return replace(flow, breaker=after)
    return closed(flow, bounds, after, now_ms=now_ms)


def closed(flow: Flow, bounds: Bounds, after: Breaker, *, now_ms: int) -> Flow:
    """With its breaker closed; after an outage the limit begins low."""
    if not flow.breaker.is_open:
        return replace(flow, breaker=after)
    limit = adaptive.restart(flow.limit, within(bounds, flow.cap), now_ms=now_ms)
    return replace(flow, breaker=after, limit=limit, latency_ms=0.0)  # how long calls timed out says nothing now


def uncapped(flow: Flow, *, now_ms: int) -> Flow:
    """Without what an operator set: the limit grows to what held before."""
    if flow.cap == NO_CAP:
        return flow
    return replace(flow, cap=NO_CAP, limit=limit_after(flow.limit, flow.cap, now_ms=now_ms))


def asked_long(flow: Flow, until_ms: int, *, now_ms: int) -> Flow:
    """After an answer that asks everybody to wait for long: from `until_ms` on one probe at a time finds out."""
    if flow.breaker.is_open or breaker.is_by_hand(flow.breaker, now_ms=now_ms):
        return flow
    return replace(flow, breaker=breaker.opened(now_ms=now_ms, probe_at_ms=until_ms))


def reserve(flow: Flow, bounds: Bounds, *, count: int, per_call: int, now_ms: int) -> tuple[Flow, list[int]]:
    """Times to come back for messages that wait for an account's rate, one after the other at that rate, as many to a
    call as travel together.

    Fewer than `count` when the account has as many waiting as it may: the rest belongs into the parking queue.
    """
    calls = flow.rate(bounds)
    if calls is None:
        return flow, []
    limit = calls * per_call
    begin_ms = max(flow.booked_ms, flow.cool_until_ms, now_ms)
    in_line = (begin_ms - now_ms) * limit / 1_000 if flow.booked_ms > now_ms else 0
    room = int(min((now_ms + LONGEST_LINE_MS - begin_ms) * limit / 1_000, MOST_IN_LINE - in_line))
    taken = max(0, min(count, room))
    times_ms = [begin_ms + round((index + 1) * 1_000 / limit) for index in range(taken)]
    return (replace(flow, booked_ms=times_ms[-1]) if times_ms else flow), times_ms


def share_used(flow: Flow, bounds: Bounds, *, now_ms: int) -> float | None:
    """The share of the calls that the rate allowed in the last seconds which was taken; None where no rate is known."""
    limit = flow.rate(bounds)
    return None if not limit else windows.share_taken(flow.counts, limit=limit, now_ms=now_ms)


def obeyed_until_ms(flow: Flow, *, seen_ms: int) -> int:
    """Until when a worker that first saw a cool-down at `seen_ms` obeys it, by its own clock.

    A clock that is ahead of the writer's would end it early: so it is obeyed for as long as was asked for, counted from
    when it was seen, at most as long beyond its end as clocks are apart, or a quarter of what was asked for.
    """
    asked_ms = flow.cool_until_ms - flow.cool_from_ms
    longest_ms = flow.cool_until_ms + min(CLOCKS_APART_MS, asked_ms // 4)
    return max(flow.cool_until_ms, min(seen_ms + asked_ms, longest_ms))


def end_cool_down(flow: Flow, *, now_ms: int) -> Flow:
    """What an operator does: no answer from before binds any more, and if the breaker is open a probe is due."""
    counts = {name: count for name, count in flow.counts.items() if name not in {COOL_UNTIL, COOL_FROM}}
    ended = replace(flow, cool_until_ms=0, cool_from_ms=0, cool_ends=flow.cool_ends + 1, booked_ms=0, counts=counts)
    return replace(ended, breaker=breaker.hasten(flow.breaker, now_ms=now_ms))


def is_healthy(flow: Flow, *, now_ms: int) -> bool:
    """Whether the partner took somebody's call lately."""
    return not flow.breaker.is_open and now_ms - flow.delivered_ms <= HEALTHY_MS


def _is_reached(flow: Flow, now_ms: int) -> bool:
    """Whether all calls of a second since the last step were asked for: somebody could have used more."""
    limit = flow.limit.per_second
    if limit is None:
        return False
    seconds = range(max(flow.limit.since_ms, now_ms - windows.SKEW_MS) // 1_000, now_ms // 1_000 + 2)
    return any(flow.counts.get(windows.name_of(one), 0) >= windows.quota(one, limit) > 0 for one in seconds)


def _begun(limit: Limit, bounds: Bounds, now_ms: int) -> Limit:
    """A declared limit, where none is written yet, or a higher one that was declared before; or the first window of one
    that is still to be found.
    """
    if bounds.highest is not None and limit.held is not None and limit.held > bounds.highest:
        limit = replace(limit, held=bounds.highest)
    declared = bounds.highest is not None and (limit.per_second is None or limit.per_second > bounds.highest)
    if declared or (limit.since_ms == 0 and (limit.delivered or limit.pushed_back or limit.timeouts)):
        began = adaptive.start(bounds, now_ms)
        return replace(limit, per_second=began.per_second, held=began.held, since_ms=now_ms)
    return limit


def _smoothed(latency_ms: float, took_ms: int, calls: int) -> float:
    if not calls or not took_ms:
        return latency_ms
    took = took_ms / calls
    return round(took if not latency_ms else latency_ms + 0.2 * (took - latency_ms), 1)
