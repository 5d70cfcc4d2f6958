"""Whether a call may be made, by what the fleet knows: now, at a rate, or not before a given time. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from worker_fn.limits import breaker
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.breaker import Opened
from worker_fn.limits.flow import Flow

LONG_COOL_DOWN_MS = 60_000
"""A longer cool-down stops the intake, as an open breaker does: to stop and restart the intake takes about this long.
"""


class Because(StrEnum):
    """Why a call may not be made now."""

    COOL_DOWN = "cool_down"
    BREAKER = "breaker"
    RATE = "rate"
    SUSPENDED = "suspended"
    """The account's credentials were refused a moment ago."""
    PAUSED = "paused"
    """An operator paused the intake."""
    TIME = "time"
    """The invocation's time is over; the partner has nothing to do with it."""


@dataclass(frozen=True, slots=True)
class Go:
    """A call may start now, until `window` ends if there is a rate. `probe`: the one that an open breaker allows."""

    probe: bool = False
    window: int | None = None


UNLIMITED, PROBE = Go(), Go(probe=True)
"""UNLIMITED: no rate is known or declared, and nothing forbids. PROBE: the breaker is open and allows one call."""


@dataclass(frozen=True, slots=True)
class AtRate:
    """Nothing forbids a call, but it needs a number: `limit` calls a second are allowed."""

    limit: float


@dataclass(frozen=True, slots=True)
class Wait:
    """No call before `until_ms`, for the reason in `because`; ask again then."""

    until_ms: int
    because: Because


Ruling = Go | AtRate | Wait
"""Every possible answer. That no rate is known is one of its own, so no missing value can be taken for it."""


def ruling(flow: Flow, bounds: Bounds, *, now_ms: int) -> Ruling:
    """Whether a call may be made now. A cool-down and an open breaker take precedence over the rate."""
    blocked = block(flow, now_ms=now_ms)
    if blocked is not None:
        is_probed = blocked.because is Because.BREAKER and breaker.probe_is_due(flow.breaker, now_ms=now_ms)
        return PROBE if is_probed else blocked
    limit = flow.rate(bounds)
    return UNLIMITED if limit is None else AtRate(limit)


def block(flow: Flow, *, now_ms: int) -> Wait | None:
    """The cool-down or open breaker that forbids every call now, if there is one."""
    if flow.cool_until_ms > now_ms:
        return Wait(flow.cool_until_ms, Because.COOL_DOWN)
    if flow.breaker.is_open:
        return Wait(breaker.next_try_ms(flow.breaker, now_ms=now_ms), Because.BREAKER)
    return None


def what_stops_mapping(flow: Flow, *, now_ms: int) -> str:
    """Why the event source mapping has to be paused, in words; empty if it has not."""
    opened = breaker.why_open(flow.breaker, now_ms=now_ms)
    if opened is Opened.BY_HAND:
        return "the breaker, which an operator opened"
    if opened is not None:
        said = f", its last probe was answered with {flow.breaker.said}" if flow.breaker.said else ""
        return f"the open breaker{said}"
    return "a cool-down that the partner asked for" if flow.cool_until_ms - now_ms > LONG_COOL_DOWN_MS else ""
