"""How the fleet stands with the partner, as one environment saw it last: what is new is a fact to be told. Pure.

Each environment tells what it sees; the same change is told by several, and by each once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shared.telemetry import Fact
from worker_fn.limits.agreement import Flow

WORTH_A_LINE = 0.2
"""A limit that moved by less than this share is not told, unless its reason is another."""


@dataclass(slots=True)
class FleetSeen:
    """What was told last."""

    opened_ms: int | None = None
    cool_until_ms: int = 0
    per_second: float | None = None
    why: str = ""

    def changes(self, flow: Flow, *, now_ms: int) -> Iterator[tuple[Fact, dict[str, Any]]]:
        """What is new since; that is what was told then."""
        fleet = flow.breaker
        if fleet.opened_ms != self.opened_ms and fleet.is_open != (self.opened_ms is not None):
            answer = fleet.said or None
            yield Fact.BREAKER, {"is_open": fleet.is_open, "why": answer, "until_ms": fleet.probe_at_ms or None}
        self.opened_ms = fleet.opened_ms
        if flow.cool_until_ms > max(now_ms, self.cool_until_ms):
            yield Fact.COOL_DOWN, {"until_ms": flow.cool_until_ms}
        self.cool_until_ms = max(self.cool_until_ms, flow.cool_until_ms)
        before, after = self.per_second, flow.limit.per_second
        if after is None:
            moved = before is not None
        else:
            moved = before is None or abs(after - before) > WORTH_A_LINE * before or flow.limit.why != self.why
        if moved and (before, self.why) != (after, flow.limit.why):
            told = {"from_s": _rounded(before), "to_s": _rounded(after), "why": flow.limit.why}
            self.per_second, self.why = after, flow.limit.why
            yield Fact.LIMIT, told


def _rounded(per_second: float | None) -> float | None:
    return None if per_second is None else round(per_second, 1)
