"""What holds for a call, by what the fleet knows: whether it may be made, at which rate, or when to ask again. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from worker_fn.limits import breaker
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.breaker import Opened
from worker_fn.limits.flow import Flow

LONG_COOL_DOWN_MS = 60_000
"""From here on a cool-down stops the intake, as an open breaker does: it takes about so long to stop it and start it
again.
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
    """A call may start now; within `window`, where a rate is known. `probe`: what an open breaker lets through."""

    probe: bool = False
    window: int | None = None


UNLIMITED, PROBE = Go(), Go(probe=True)
"""No rate is known or declared, and nothing forbids; the breaker is open, and lets one call through."""


@dataclass(frozen=True, slots=True)
class AtRate:
    """Nothing forbids, and calls have numbers at `limit` calls a second."""

    limit: float


@dataclass(frozen=True, slots=True)
class Wait:
    """No call before `until_ms`, and why; ask again then."""

    until_ms: int
    because: Because


Ruling = Go | AtRate | Wait
"""All that can be the case. That no rate is known is said in so many words: nothing else may be read as it."""


def ruling(flow: Flow, bounds: Bounds, *, now_ms: int) -> Ruling:
    """What holds for a call now. A cool-down and an open breaker come before the rate."""
    blocked = block(flow, now_ms=now_ms)
    if blocked is not None:
        is_probed = blocked.because is Because.BREAKER and breaker.probe_is_due(flow.breaker, now_ms=now_ms)
        return PROBE if is_probed else blocked
    limit = flow.rate(bounds)
    return UNLIMITED if limit is None else AtRate(limit)


def block(flow: Flow, *, now_ms: int) -> Wait | None:
    """What forbids every call now, if anything does."""
    if flow.cool_until_ms > now_ms:
        return Wait(flow.cool_until_ms, Because.COOL_DOWN)
    if flow.breaker.is_open:
        return Wait(breaker.next_try_ms(flow.breaker, now_ms=now_ms), Because.BREAKER)
    return None


def what_stops_mapping(flow: Flow, *, now_ms: int) -> str:
    """What it is, in words; empty where nothing does."""
    opened = breaker.why_open(flow.breaker, now_ms=now_ms)
    if opened is Opened.BY_HAND:
        return "the breaker, which an operator opened"
    if opened is not None:
        said = f", its last probe was answered with {flow.breaker.said}" if flow.breaker.said else ""
        return f"the open breaker{said}"
    return "a cool-down that the partner asked for" if flow.cool_until_ms - now_ms > LONG_COOL_DOWN_MS else ""
