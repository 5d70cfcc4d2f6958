"""How the value of the item that the fleet shares moves. Pure.

Whoever sees that a step is due takes what was counted into it (`fold`), on the condition that nobody else did. So the
rules hold under any interleaving of workers. A release, an operator and the tick change it by functions of it, too.
What an operator sets lasts until a moment: workers end it by their clocks, whoever else is there.
"""

from dataclasses import replace

from shared.state import COOL_FROM, COOL_UNTIL
from worker_fn.limits import adaptive, breaker, windows
from worker_fn.limits.adaptive import NO_CAP, Bounds, Cap, Limit, within
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.flow import DELIVERED, FAULTS, GOOD, TIMEOUTS, TOOK_MS, Flow, Tally

LONGEST_COOL_DOWN_S, LONGEST_FOR_ALL_S = 900.0, 60.0
"""How long an account is left alone at most for what it was answered, or a message; and how long one answer stops
everybody: whoever asks for more is asked in return, by one probe at a time.
"""
LONGEST_LINE_MS = 300_000
"""How far ahead messages are given a time to come back: an account's rate times that is in flight at most."""
MOST_IN_LINE = 1_000
"""Messages that an account may have waiting by visibility, however large its rate: the queue has 120,000 for all."""
CLOCKS_APART_MS = 2_500
"""How far apart two clocks may be: each answer of the state table bounds an error to a second (limits/clock.py)."""
TICK_MS = 60_000
"""How often the worker's tick comes (infra/tick.yml), which always writes a sign of life."""
SILENCE_MS = TICK_MS + 15_000
"""When nobody wrote for so long, not even a tick, the table was out of reach, and others may call at their share."""
ALIVE_EVERY_MS = 5_000
"""A sign of life that is newer is not renewed."""
RETURN_MS = 12_000
"""How long everybody keeps to its share then: by that time all have noticed that the table is there."""
HEALTHY_MS = 600_000
"""A partner that took a call so lately is not down: what it answers to another one is about that one."""


def fold(flow: Flow, bounds: Bounds, *, now_ms: int) -> Flow:
    """Take into the value what was counted since it was written; leave a sign of life."""
    if flow.cap.is_over(now_ms):
        flow = clear_limit(flow, now_ms=now_ms)
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
    is_lower = stepped.per_second is not None and stepped.per_second < (limit.per_second or float("inf"))
    if not is_silent(flow, now_ms=now_ms):  # else the next lease has to see that it is
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
    """Whether somebody has to take in what was counted: a step of the limit is over, or the breaker would open."""
    after = fold(flow, bounds, now_ms=now_ms)
    if not flow.has_news:
        return flow.limit.per_second is not None and after.limit.per_second != flow.limit.per_second
    return after.breaker.is_open != flow.breaker.is_open or after.limit.since_ms != flow.limit.since_ms


def answered(flow: Flow, tally: Tally, bounds: Bounds, *, now_ms: int) -> Flow:
    """After what concerns everybody. By its probe the breaker closes, or the next one is later; where all were asked to
    wait for long, one probe at a time finds out from then on.
    """
    if tally.probe is not None:
        flow = fold(flow, bounds, now_ms=now_ms)
        after = breaker.probed(flow.breaker, delivered=tally.probe, now_ms=now_ms, said=tally.said)
        flow = replace(flow, breaker=after) if after.is_open else closed(flow, bounds, after, now_ms=now_ms)
    if tally.asks_long and not flow.breaker.is_open and not breaker.is_by_hand(flow.breaker, now_ms=now_ms):
        flow = replace(flow, breaker=breaker.opened(now_ms=now_ms, probe_at_ms=tally.cool_until_ms))
    return flow


def closed(flow: Flow, bounds: Bounds, after: Breaker, *, now_ms: int) -> Flow:
    """With its breaker closed; after an outage the limit begins low."""
    if not flow.breaker.is_open:
        return replace(flow, breaker=after)
    limit = adaptive.restart(flow.limit, within(bounds, flow.cap), now_ms=now_ms)
    return replace(flow, breaker=after, limit=limit, latency_ms=0.0)  # how long calls timed out says nothing now


def set_limit(flow: Flow, bounds: Bounds, per_second: float, *, until_ms: int, now_ms: int) -> Flow:
    """An operator's: at most so many calls a second until then, in place of what was set before."""
    flow = clear_limit(fold(flow, bounds, now_ms=now_ms), now_ms=now_ms)
    cap = Cap(per_second, until_ms, held=flow.limit.held)
    limit = adaptive.capped(flow.limit, cap, now_ms=now_ms)
    # What is pushed back from now on of calls that began before is about another limit.
    return replace(flow, cap=cap, limit=limit, generation=flow.generation + (limit.per_second != flow.limit.per_second))


def clear_limit(flow: Flow, *, now_ms: int) -> Flow:
    """Without what an operator set: the limit grows to what held before."""
    if flow.cap == NO_CAP:
        return flow
    return replace(flow, cap=NO_CAP, limit=adaptive.uncapped(flow.limit, flow.cap, now_ms=now_ms))


def open_breaker(flow: Flow, *, until_ms: int, now_ms: int) -> Flow:
    """An operator's: nobody calls until then; after that one probe at a time finds out, as after an outage."""
    return replace(flow, breaker=breaker.opened_by_hand(now_ms=now_ms, until_ms=until_ms))


def end_breaker(flow: Flow, bounds: Bounds, *, now_ms: int) -> Flow:
    """End what an operator opened, where its time is over and nobody makes the probe: calls go on, low at first."""
    is_over = breaker.why_open(flow.breaker, now_ms=now_ms) is breaker.Opened.OVER
    if not is_over or not breaker.probe_is_due(flow.breaker, now_ms=now_ms):
        return flow
    return closed(flow, bounds, Breaker(counted_ms=now_ms), now_ms=now_ms)


def close_breaker(flow: Flow, *, until_ms: int, now_ms: int) -> Flow:
    """An operator's: calls go on now, low after an outage, whatever the partner asked to wait for; until then the
    breaker stays closed, whatever they come to.
    """
    flow = end_cool_down(flow, now_ms=now_ms).uncounted()
    return closed(flow, Bounds(), breaker.closed_by_hand(now_ms=now_ms, until_ms=until_ms), now_ms=now_ms)


def alive(flow: Flow, *, now_ms: int) -> Flow:
    """Write that the table is in reach. If it was not for long, everybody keeps to its share for a while: some called
    at theirs.
    """
    if is_silent(flow, now_ms=now_ms):
        # A window belongs to shares or to everybody as a whole: a worker has its share of all of it at once.
        until_ms = -(-(now_ms + RETURN_MS) // windows.WINDOW_MS) * windows.WINDOW_MS
        flow = replace(flow, share_until_ms=until_ms)
    return flow if 0 <= now_ms - flow.alive_ms < ALIVE_EVERY_MS else replace(flow, alive_ms=now_ms)


def is_silent(flow: Flow, *, now_ms: int) -> bool:
    """Whether nobody wrote for so long that some may call at their share."""
    return bool(flow.alive_ms) and now_ms - flow.alive_ms > SILENCE_MS and flow.share_until_ms <= now_ms


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
    if declared or (limit.since_ms == 0 and limit.calls):
        began = adaptive.start(bounds, now_ms)
        return replace(limit, per_second=began.per_second, held=began.held, since_ms=now_ms)
    return limit


def _smoothed(latency_ms: float, took_ms: int, calls: int) -> float:
    if not calls or not took_ms:
        return latency_ms
    took = took_ms / calls
    return round(took if not latency_ms else latency_ms + 0.2 * (took - latency_ms), 1)
