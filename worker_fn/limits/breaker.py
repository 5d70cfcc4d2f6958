"""The circuit breaker, as arithmetic: one for the whole fleet. Pure.

Closed, it lets calls go. When half of the last calls found the partner down (5xx, time-out, no connection) it opens,
and nobody calls. After a pause one worker gets the lease of a single probe: if the probe is delivered the breaker
closes, else the next pause is longer. If a worker dies with the lease, the lease runs out.

An operator may open or close it until a set time. After that its own rules hold again: an open one lets a probe go.
"""

from dataclasses import dataclass, replace
from enum import Enum

MIN_CALLS = 10
FAILURE_SHARE = 0.5
MEMORY_CALLS = 40
"""The counts are halved beyond this many calls, and once every MEMORY_MS, so that old calls do not decide."""
MEMORY_MS = 30_000
FIRST_PAUSE_MS = 5_000
LONGEST_PAUSE_MS = 50_000
"""Less than a minute: a tick, which comes once a minute, finds each probe due."""
REPORTED_MS = 10_000
"""How long after its call a probe's answer may take to reach the state table."""


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
    """Who has leased the probe: an environment that lost the table's answer finds its own lease by this."""
    said: str = ""
    """What the last probe was answered: `HTTP 503`, `timeout`; empty while there was none."""
    by_hand_until_ms: int = 0
    """Until when an operator's setting lasts (its beginning, if for no time); 0: its own rules moved it last."""

    @property
    def is_open(self) -> bool:
        return self.opened_ms is not None


def count(breaker: Breaker, *, delivered: int, faults: int, now_ms: int) -> Breaker:
    """Add results of calls, and open if too many failed. Only a probe moves an open breaker."""
    if breaker.is_open or delivered + faults == 0:
        return breaker
    fades = now_ms - breaker.counted_ms > MEMORY_MS or breaker.calls > MEMORY_CALLS
    kept = 0.5 if fades else 1.0
    calls, failed = breaker.calls * kept + delivered + faults, breaker.faults * kept + faults
    if calls >= MIN_CALLS and failed / calls >= FAILURE_SHARE and not is_by_hand(breaker, now_ms=now_ms):
        return opened(now_ms=now_ms, probe_at_ms=now_ms + FIRST_PAUSE_MS)
    counted_ms = now_ms if fades or breaker.calls == 0 else breaker.counted_ms
    return replace(breaker, calls=calls, faults=failed, counted_ms=counted_ms)


def opened(*, now_ms: int, probe_at_ms: int) -> Breaker:
    """An open breaker."""
    return Breaker(opened_ms=now_ms, probe_at_ms=probe_at_ms)


def opened_by_hand(*, now_ms: int, until_ms: int) -> Breaker:
    """A breaker that an operator opened: nothing closes it before `until_ms`, and no probe is made."""
    return Breaker(opened_ms=now_ms, probe_at_ms=until_ms, by_hand_until_ms=until_ms)


def closed_by_hand(*, now_ms: int, until_ms: int) -> Breaker:
    """A breaker that an operator closed: nothing opens it before `until_ms`."""
    return Breaker(counted_ms=now_ms, by_hand_until_ms=until_ms)


def is_by_hand(breaker: Breaker, *, now_ms: int) -> bool:
    """Whether the state that an operator set still lasts."""
    return now_ms < breaker.by_hand_until_ms


class Opened(Enum):
    """Why a breaker is open."""

    BY_HAND = "an operator opened it, and its time is not over"
    OVER = "an operator opened it, and nobody has called since its time was over"
    DOWN = "the partner was down, or asked everybody to wait for long"


def why_open(breaker: Breaker, *, now_ms: int) -> Opened | None:
    """Why the breaker is open; None: it is closed."""
    if not breaker.is_open:
        return None
    if is_by_hand(breaker, now_ms=now_ms):
        return Opened.BY_HAND
    return Opened.OVER if breaker.by_hand_until_ms else Opened.DOWN


def probe_is_due(breaker: Breaker, *, now_ms: int) -> bool:
    return breaker.is_open and now_ms >= breaker.probe_at_ms and now_ms >= breaker.probe_until_ms


def probe_lease_ms(call_timeout_s: float) -> int:
    """How long a probe is leased: as long as a call may take, and until its answer is known."""
    return round(1_000 * call_timeout_s) + REPORTED_MS


def lease_probe(breaker: Breaker, *, now_ms: int, by: str, lease_ms: int) -> Breaker:
    """Take the lease of the one probe, if it is due."""
    due = probe_is_due(breaker, now_ms=now_ms)
    return replace(breaker, probe_until_ms=now_ms + lease_ms, probe_by=by) if due else breaker


def holds_probe(breaker: Breaker, *, now_ms: int, by: str) -> bool:
    """Whether `by` has the lease of the one probe."""
    return breaker.is_open and breaker.probe_by == by and now_ms < breaker.probe_until_ms


def hasten(breaker: Breaker, *, now_ms: int) -> Breaker:
    """Make a probe due now, or after one that is under way; a breaker that an operator opened has none."""
    if not breaker.is_open or is_by_hand(breaker, now_ms=now_ms):
        return breaker
    return replace(breaker, probe_at_ms=min(breaker.probe_at_ms, now_ms))


def probed(breaker: Breaker, *, delivered: bool, now_ms: int, said: str = "") -> Breaker:
    """Close after a probe that arrived, else wait longer for the next one. A probe that was under way when an operator
    opened the breaker changes nothing.
    """
    if not breaker.is_open or is_by_hand(breaker, now_ms=now_ms):
        return breaker
    if delivered:
        return Breaker(counted_ms=now_ms)
    failed = breaker.failed_probes + 1
    pause_ms = min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2**failed)
    return Breaker(opened_ms=breaker.opened_ms, failed_probes=failed, probe_at_ms=now_ms + pause_ms, said=said)


def next_try_ms(breaker: Breaker, *, now_ms: int) -> int:
    """When to ask again: within LONGEST_PAUSE_MS if an operator opened the breaker, who may close it early."""
    next_ms = max(now_ms, breaker.probe_at_ms, breaker.probe_until_ms)
    return min(next_ms, now_ms + LONGEST_PAUSE_MS) if is_by_hand(breaker, now_ms=now_ms) else next_ms
