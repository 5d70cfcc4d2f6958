"""The circuit breaker, as arithmetic: one for the whole fleet. Pure.

Closed, calls go. When half of the last calls found the partner down (5xx, time-out, no connection) it opens: nobody
calls. After a pause one worker gets the lease of a single probe; if that is delivered the breaker closes, else the
next pause is longer. A worker that dies with the lease loses it when it runs out.
"""

from dataclasses import dataclass, replace

MIN_CALLS = 10
FAILURE_SHARE = 0.5
MEMORY_CALLS = 40
"""The counts are halved beyond so many calls, and once every MEMORY_MS: what was long ago does not decide."""
MEMORY_MS = 30_000
FIRST_PAUSE_MS = 5_000
LONGEST_PAUSE_MS = 50_000
"""Less than a minute: a tick, which comes once a minute, finds each probe due."""
PROBE_LEASE_MS = 30_000
"""How long a probe is somebody's, where the caller does not say how long a call may take."""
REPORTED_MS = 10_000
"""How long after its call a probe's answer may take to stand in the state table."""


@dataclass(frozen=True, slots=True)
class Breaker:
    calls: float = 0.0
    faults: float = 0.0
    counted_ms: int = 0
    opened_ms: int | None = None
    """When it opened; None while closed."""
    failed_probes: int = 0
    probe_at_ms: int = 0
    probe_until_ms: int = 0
    probe_by: str = ""
    """Whose the probe is: an environment whose answer was lost knows its own lease again."""
    said: str = ""
    """What the last probe was answered: `HTTP 503`, `timeout`; empty while there was none."""

    @property
    def is_open(self) -> bool:
        return self.opened_ms is not None


def count(breaker: Breaker, *, delivered: int, faults: int, now_ms: int) -> Breaker:
    """Add what calls came to, and open if it is too much. An open breaker is moved by its probe alone."""
    if breaker.is_open or delivered + faults == 0:
        return breaker
    fading = 0.5 if now_ms - breaker.counted_ms > MEMORY_MS or breaker.calls > MEMORY_CALLS else 1.0
    counted_ms = now_ms if fading < 1 or breaker.calls == 0 else breaker.counted_ms
    calls = breaker.calls * fading + delivered + faults
    failed = breaker.faults * fading + faults
    if calls >= MIN_CALLS and failed / calls >= FAILURE_SHARE:
        return opened(now_ms=now_ms, probe_at_ms=now_ms + FIRST_PAUSE_MS)
    return replace(breaker, calls=calls, faults=failed, counted_ms=counted_ms)


def opened(*, now_ms: int, probe_at_ms: int) -> Breaker:
    """An open one, for another reason than calls that failed."""
    return Breaker(opened_ms=now_ms, probe_at_ms=probe_at_ms)


def probe_is_due(breaker: Breaker, *, now_ms: int) -> bool:
    return breaker.is_open and now_ms >= breaker.probe_at_ms and now_ms >= breaker.probe_until_ms


def probe_lease_ms(call_timeout_s: float) -> int:
    """How long a probe is somebody's: as long as a call may take, and until its answer is known."""
    return round(1_000 * call_timeout_s) + REPORTED_MS


def lease_probe(breaker: Breaker, *, now_ms: int, by: str, lease_ms: int = PROBE_LEASE_MS) -> Breaker:
    """Take the lease of the one probe, if it is due."""
    if not probe_is_due(breaker, now_ms=now_ms):
        return breaker
    return replace(breaker, probe_until_ms=now_ms + lease_ms, probe_by=by)


def holds_probe(breaker: Breaker, *, now_ms: int, by: str) -> bool:
    """Whether the lease of the one probe is somebody's."""
    return breaker.is_open and breaker.probe_by == by and now_ms < breaker.probe_until_ms


def hasten(breaker: Breaker, *, now_ms: int) -> Breaker:
    """Make a probe due now; one that is under way stays the only one."""
    return replace(breaker, probe_at_ms=min(breaker.probe_at_ms, now_ms)) if breaker.is_open else breaker


def probed(breaker: Breaker, *, delivered: bool, now_ms: int, said: str = "") -> Breaker:
    """Close after a probe that arrived; else wait longer for the next one."""
    if not breaker.is_open:
        return breaker
    if delivered:
        return Breaker(counted_ms=now_ms)
    failed = breaker.failed_probes + 1
    pause_ms = min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** min(failed, 10))
    return Breaker(opened_ms=breaker.opened_ms, failed_probes=failed, probe_at_ms=now_ms + pause_ms, said=said)


def next_try_ms(breaker: Breaker, *, now_ms: int) -> int:
    """When it makes sense to ask again."""
    return max(now_ms, breaker.probe_at_ms, breaker.probe_until_ms)
