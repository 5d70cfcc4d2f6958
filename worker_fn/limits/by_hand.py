"""What an operator sets on an agreement, each until a moment: a limit, or the breaker open or closed. Pure.

Workers end it by their clocks, whoever else is there (`agreement.fold`, `breaker.is_by_hand`); the tick, where no
message comes.
"""

from dataclasses import replace

from worker_fn.limits import agreement, breaker
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.breaker import Breaker, Opened
from worker_fn.limits.cap import Cap, capped
from worker_fn.limits.flow import Flow


def set_limit(flow: Flow, bounds: Bounds, per_second: float, *, until_ms: int, now_ms: int) -> Flow:
    """At most so many calls a second until then, in place of what an operator set before."""
    flow = clear_limit(agreement.fold(flow, bounds, now_ms=now_ms), now_ms=now_ms)
    cap = Cap(per_second, until_ms, held=flow.limit.held)
    limit = capped(flow.limit, cap, now_ms=now_ms)
    # What is pushed back from now on of calls that began before is about another limit.
    return replace(flow, cap=cap, limit=limit, generation=flow.generation + (limit.per_second != flow.limit.per_second))


def clear_limit(flow: Flow, *, now_ms: int) -> Flow:
    """End what an operator set, before its time: the limit grows to what held before."""
    return agreement.uncapped(flow, now_ms=now_ms)


def open_breaker(flow: Flow, *, until_ms: int, now_ms: int) -> Flow:
    """Nobody calls until then; after that one probe at a time finds out, as after an outage."""
    return replace(flow, breaker=breaker.opened_by_hand(now_ms=now_ms, until_ms=until_ms))


def end_breaker(flow: Flow, bounds: Bounds, *, now_ms: int) -> Flow:
    """End what an operator opened, where its time is over and nobody makes the probe: calls go on, low at first."""
    is_over = breaker.why_open(flow.breaker, now_ms=now_ms) is Opened.OVER
    if not is_over or not breaker.probe_is_due(flow.breaker, now_ms=now_ms):
        return flow
    return agreement.closed(flow, bounds, Breaker(counted_ms=now_ms), now_ms=now_ms)


def close_breaker(flow: Flow, *, until_ms: int, now_ms: int) -> Flow:
    """Calls go on now, low after an outage, whatever the partner asked to wait for; until then the breaker stays
    closed, whatever they come to.
    """
    flow = agreement.end_cool_down(flow, now_ms=now_ms).uncounted()
    return agreement.closed(flow, Bounds(), breaker.closed_by_hand(now_ms=now_ms, until_ms=until_ms), now_ms=now_ms)
