"""The fleet's state at the partner, as one environment last logged it: each change becomes a fact in the log. Pure.

Each environment logs every change that it sees, once, so several environments log the same change.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shared.telemetry import Fact
from worker_fn.limits.adaptive import NO_CAP
from worker_fn.limits.breaker import is_by_hand
from worker_fn.limits.flow import BY_HAND, Flow

WORTH_A_LINE = 0.2
"""A limit that moved by less than this share is not logged, unless its reason changed."""


@dataclass(slots=True)
class FleetSeen:
    """The values that were logged last."""

    opened_ms: int | None = None
    by_hand_until_ms: int = 0
    cool_until_ms: int = 0
    per_second: float | None = None
    why: str = ""
    capped_until_ms: int = 0
    held: bool = False
    """An operator's pause was in force."""

    def changes(self, flow: Flow, *, now_ms: int) -> Iterator[tuple[Fact, dict[str, Any]]]:
        """The changes since the last call, each of which the caller logs."""
        fleet = flow.breaker
        moved = fleet.opened_ms != self.opened_ms and fleet.is_open != (self.opened_ms is not None)
        if fleet.by_hand_until_ms and fleet.by_hand_until_ms != self.by_hand_until_ms:
            until_ms = fleet.by_hand_until_ms if is_by_hand(fleet, now_ms=now_ms) else None
            yield Fact.BREAKER, {"is_open": fleet.is_open, "why": BY_HAND, "until_ms": until_ms}
        elif moved:
            answer = fleet.said or None
            yield Fact.BREAKER, {"is_open": fleet.is_open, "why": answer, "until_ms": fleet.probe_at_ms or None}
        self.opened_ms, self.by_hand_until_ms = fleet.opened_ms, fleet.by_hand_until_ms
        if flow.cool_until_ms > max(now_ms, self.cool_until_ms):
            yield Fact.COOL_DOWN, {"until_ms": flow.cool_until_ms}
        self.cool_until_ms = max(self.cool_until_ms, flow.cool_until_ms)
        before, after = self.per_second, flow.limit.per_second
        if after is None:
            moved = before is not None
        else:
            moved = before is None or abs(after - before) > WORTH_A_LINE * before or flow.why != self.why
        was_set = flow.cap != NO_CAP and flow.cap.until_ms != self.capped_until_ms
        self.capped_until_ms = flow.cap.until_ms
        if was_set or (moved and (before, self.why) != (after, flow.why)):
            told = {"from_s": _rounded(before), "to_s": _rounded(after), "why": flow.why}
            if flow.why == BY_HAND:
                told["until_ms"] = flow.cap.until_ms
            self.per_second, self.why = after, flow.why
            yield Fact.LIMIT, told


def _rounded(per_second: float | None) -> float | None:
    return None if per_second is None else round(per_second, 1)
