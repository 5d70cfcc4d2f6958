"""How the value of the item that the fleet shares changes. Pure.

A worker that finds a step due takes the counts into the value (`fold`), on condition that no other did so first. So the
rules hold under any interleaving of workers. A release, an operator and the tick change the value by functions of this
module, too. What an operator sets ends at a set time: any worker ends it, by its own clock.
"""

from dataclasses import replace

from shared.state import COOL_FROM, COOL_UNTIL
from worker_fn.limits import adaptive, breaker, windows
from worker_fn.limits.adaptive import NO_CAP, Bounds, Cap, Limit, within
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.flow import DELIVERED, FAULTS, GOOD, TIMEOUTS, TOOK_MS, Flow, Tally

LONGEST_COOL_DOWN_S, LONGEST_FOR_ALL_S = 900.0, 60.0
"""The longest wait that one answer causes: for its account or its message, and for the whole fleet. If a partner asks
the fleet to wait longer, one probe at a time finds out whether it takes calls.
"""
LONGEST_LINE_MS = 300_000
"""How far ahead return times are given: an account has at most its rate times this in flight."""
MOST_IN_LINE = 1_000
"""The most messages of an account that wait by visibility, whatever its rate: the queue has room for 120,000 of all."""
CLOCKS_APART_MS = 2_500
"""How far two clocks may differ: each answer of the state table bounds an error to a second (limits/clock.py)."""
TICK_MS = 60_000
"""How often the worker's tick comes (infra/tick.yml); each one writes a sign of life."""
SILENCE_MS = TICK_MS + 15_000
"""If nobody, not even a tick, wrote for this long, the table was out of reach, and workers may call at their share."""
RETURN_MS = 12_000
"""How long every worker keeps to its share after a silence: by then all have noticed that the table is back."""
HEALTHY_MS = 600_000
"""A partner that took a call within this time is not down: another call's failure is about that call."""


def fold(flow: Flow, bounds: Bounds, *, now_ms: int) -> Flow:
    """Take what was counted since the value was written into it; leave a sign of life."""
    if flow.cap.is_over(now_ms):
        flow = clear_limit(flow, now_ms=now_ms)
    told, bounds = flow.counts, within(bounds, flow.cap)
    delivered, faults, pushed = told.get(DELIVERED, 0), told.get(FAULTS, 0), told.get(flow.pushed, 0)
    # Counts have no order: the good calls of a step (2 s) must not outweigh an outage that began in it.
    good = told.get(GOOD, 0) if faults else min(delivered + pushed, breaker.MEMORY_CALLS)
    # While the breaker is open only probes are made: they show whether the partner answers, not what rate it takes.
    speaks = not flow.breaker.is_open
    limit = adaptive.add(
        _begun(flow.limit, bounds, now_ms),
        delivered=delivered,
        pushed_back=pushed if speaks else 0,
        timeouts=told.get(TIMEOUTS, 0) if speaks else 0,
        now_ms=now_ms,
    )
    limit = replace(limit, reached=limit.reached or _is_reached(flow, now_ms))
    stepped = adaptive.step(limit, bounds, now_ms=now_ms)
    is_lower = stepped.per_second is not None and stepped.per_second < (limit.per_second or float("inf"))
    if not is_silent(flow, now_ms=now_ms):  # the next lease has to see a silence
        flow = replace(flow, alive_ms=max(flow.alive_ms, now_ms))
    return replace(
        flow,
        limit=stepped,
        generation=flow.generation + (is_lower and stepped.why == adaptive.PUSHED_BACK),
        breaker=breaker.count(flow.breaker, delivered=good, faults=faults, now_ms=now_ms),
        delivered_ms=now_ms if delivered else flow.delivered_ms,
        latency_ms=_smoothed(flow.latency_ms, told.get(TOOK_MS, 0), delivered + faults + pushed),
        counts=flow.uncounted().counts,
    )


def is_due(flow: Flow, bounds: Bounds, *, now_ms: int) -> bool:
    """Whether the counts have to be taken into the value: a step of the limit is over, or the breaker would open."""
    after = fold(flow, bounds, now_ms=now_ms)
    before, then = ((one.breaker.is_open, one.limit.since_ms) for one in (flow, after))
    return flow.has_news and before != then


def answered(flow: Flow, tally: Tally, bounds: Bounds, *, now_ms: int) -> Flow:
    """The flow after a result that concerns the whole fleet. A probe closes the breaker, or delays the next probe. If
    the partner asked everybody for a long wait, the breaker opens, and from then on one probe at a time finds out.
    """
    if tally.probe is not None:
        flow = fold(flow, bounds, now_ms=now_ms)
        after = breaker.probed(flow.breaker, delivered=tally.probe, now_ms=now_ms, said=tally.said)
        flow = replace(flow, breaker=after) if after.is_open else closed(flow, bounds, after, now_ms=now_ms)
    if tally.asks_long and not flow.breaker.is_open and not breaker.is_by_hand(flow.breaker, now_ms=now_ms):
        flow = replace(flow, breaker=breaker.opened(now_ms=now_ms, probe_at_ms=tally.cool_until_ms))
    return flow


def closed(flow: Flow, bounds: Bounds, after: Breaker, *, now_ms: int) -> Flow:
    """The flow with its breaker closed; after an outage the limit begins low."""
    if not flow.breaker.is_open:
        return replace(flow, breaker=after)
    limit = adaptive.restart(flow.limit, within(bounds, flow.cap), now_ms=now_ms)
    return replace(flow, breaker=after, limit=limit, latency_ms=0.0)  # an outage's latency says nothing now


def set_limit(flow: Flow, bounds: Bounds, per_second: float, *, until_ms: int, now_ms: int) -> Flow:
    """Set an operator's limit: at most `per_second` calls a second until `until_ms`, in place of an earlier one."""
    flow = clear_limit(fold(flow, bounds, now_ms=now_ms), now_ms=now_ms)
    cap = Cap(per_second, until_ms, held=flow.limit.held)
    limit = adaptive.capped(flow.limit, cap, now_ms=now_ms)
    # Push-backs of calls that began before now are about the former limit.
    return replace(flow, cap=cap, limit=limit, generation=flow.generation + (limit.per_second != flow.limit.per_second))


def clear_limit(flow: Flow, *, now_ms: int) -> Flow:
    """Remove an operator's limit: the limit grows to what held before."""
    if flow.cap == NO_CAP:
        return flow
    return replace(flow, cap=NO_CAP, limit=adaptive.uncapped(flow.limit, flow.cap, now_ms=now_ms))


def open_breaker(flow: Flow, *, until_ms: int, now_ms: int) -> Flow:
    """Open the breaker by hand: no calls until `until_ms`; after that one probe at a time, as after an outage."""
    return replace(flow, breaker=breaker.opened_by_hand(now_ms=now_ms, until_ms=until_ms))


def end_breaker(flow: Flow, bounds: Bounds, *, now_ms: int) -> Flow:
    """Close a breaker that an operator opened, if its time is over and no probe is under way; calls resume slowly."""
    is_over = breaker.why_open(flow.breaker, now_ms=now_ms) is breaker.Opened.OVER
    if not is_over or not breaker.probe_is_due(flow.breaker, now_ms=now_ms):
        return flow
    return closed(flow, bounds, Breaker(counted_ms=now_ms), now_ms=now_ms)


def close_breaker(flow: Flow, *, until_ms: int, now_ms: int) -> Flow:
    """Close the breaker by hand: calls resume at once, even in a cool-down, at a low rate after an outage. Until
    `until_ms` no results of calls open it.
    """
    flow = end_cool_down(flow, now_ms=now_ms).uncounted()
    return closed(flow, Bounds(), breaker.closed_by_hand(now_ms=now_ms, until_ms=until_ms), now_ms=now_ms)


def alive(flow: Flow, *, now_ms: int) -> Flow:
    """Leave a sign of life. After a silence every worker keeps to its share for a while, because some did during it."""
    if is_silent(flow, now_ms=now_ms):
        # A whole window is given out either as shares or by numbers: a worker may use its share of it at once.
        until_ms = -(-(now_ms + RETURN_MS) // windows.WINDOW_MS) * windows.WINDOW_MS
        flow = replace(flow, share_until_ms=until_ms)
    return replace(flow, alive_ms=now_ms)


def is_silent(flow: Flow, *, now_ms: int) -> bool:
    """Whether nobody wrote for SILENCE_MS, so that some workers may call at their share."""
    return bool(flow.alive_ms) and now_ms - flow.alive_ms > SILENCE_MS


def reserve(flow: Flow, bounds: Bounds, *, count: int, per_call: int, now_ms: int) -> tuple[Flow, list[int]]:
    """The return times of messages that wait for an account's rate: `per_call` messages for each call of that rate.

    Fewer than `count` if the account has the most messages waiting that it may: the rest belongs in the parking queue.
    """
    calls = flow.rate(bounds)
    if calls is None:
        return flow, []
    limit = calls * per_call
    begin_ms = max(flow.booked_ms, flow.cool_until_ms, now_ms)
    in_line = max(0, flow.booked_ms - now_ms) * limit / 1_000
    room = int(min((now_ms + LONGEST_LINE_MS - begin_ms) * limit / 1_000, MOST_IN_LINE - in_line))
    times_ms = [begin_ms + round((index + 1) * 1_000 / limit) for index in range(min(count, room))]
    return (replace(flow, booked_ms=times_ms[-1]) if times_ms else flow), times_ms


def share_used(flow: Flow, bounds: Bounds, *, now_ms: int) -> float | None:
    """The share that was taken of the calls that the rate allowed in the last seconds; None where no rate is known."""
    limit = flow.rate(bounds)
    return None if not limit else windows.share_taken(flow.counts, limit=limit, now_ms=now_ms)


def obeyed_until_ms(flow: Flow, *, seen_ms: int) -> int:
    """Until when a worker that first saw a cool-down at `seen_ms` obeys it, by its own clock.

    A clock ahead of the writer's would end the cool-down early. So the worker obeys for the full length, counted from
    `seen_ms`, but past the end by at most CLOCKS_APART_MS, or a quarter of the length if that is less.
    """
    asked_ms = flow.cool_until_ms - flow.cool_from_ms
    return min(seen_ms + asked_ms, flow.cool_until_ms + min(CLOCKS_APART_MS, asked_ms // 4))


def end_cool_down(flow: Flow, *, now_ms: int) -> Flow:
    """End a cool-down by hand: no earlier answer binds any more, and if the breaker is open a probe is due."""
    counts = {name: count for name, count in flow.counts.items() if name not in {COOL_UNTIL, COOL_FROM}}
    ended = replace(flow, cool_until_ms=0, cool_from_ms=0, cool_ends=flow.cool_ends + 1, booked_ms=0, counts=counts)
    return replace(ended, breaker=breaker.hasten(flow.breaker, now_ms=now_ms))


def is_healthy(flow: Flow, *, now_ms: int) -> bool:
    """Whether the breaker is closed, and the partner took a call within HEALTHY_MS."""
    return not flow.breaker.is_open and now_ms - flow.delivered_ms <= HEALTHY_MS


def _is_reached(flow: Flow, now_ms: int) -> bool:
    """Whether all calls of some second since the last step were asked for: workers could have used more."""
    limit = flow.limit.per_second
    if limit is None:
        return False
    seconds = range(max(flow.limit.since_ms, now_ms - windows.SKEW_MS) // 1_000, now_ms // 1_000 + 2)
    return any(flow.counts.get(windows.name_of(one), 0) >= windows.quota(one, limit) > 0 for one in seconds)


def _begun(limit: Limit, bounds: Bounds, now_ms: int) -> Limit:
    """Begin a declared limit, where none is written yet or the written one is higher."""
    if bounds.highest is None or (limit.per_second is not None and limit.per_second <= bounds.highest):
        return limit
    return replace(limit, per_second=bounds.highest, held=bounds.highest, since_ms=now_ms)


def _smoothed(latency_ms: float, took_ms: int, calls: int) -> float:
    if not calls or not took_ms:
        return latency_ms
    took = took_ms / calls
    return round(took if not latency_ms else latency_ms + 0.2 * (took - latency_ms), 1)
