"""An operator's limit, as arithmetic: below the one that is declared or was learnt, for a while. Pure.

While it lasts the adaptive limit moves below it as it does below a declared one. When it is over the limit grows
quickly, step by step, to what held before; or, where the partner showed meanwhile that less holds, to that.
"""

from dataclasses import dataclass, replace

from worker_fn.limits.adaptive import RECOVERING, Bounds, Limit, rises

BY_HAND = "by hand"


@dataclass(frozen=True, slots=True)
class Cap:
    per_second: float | None = None
    """In calls a second; None: no operator set one."""
    until_ms: int = 0
    held: float | None = None
    """The limit that held when it was set; None: nobody knew one."""

    def is_over(self, now_ms: int) -> bool:
        return self.per_second is not None and self.until_ms <= now_ms


NO_CAP = Cap()


def within(bounds: Bounds, cap: Cap) -> Bounds:
    """The bounds of the adaptive limit while an operator's lasts."""
    return replace(bounds, highest=_lower(bounds.highest, cap.per_second))


def capped(limit: Limit, cap: Cap, *, now_ms: int) -> Limit:
    """The limit as an operator's begins."""
    now, held = _lower(limit.per_second, cap.per_second), _lower(limit.held, cap.per_second)
    moved = replace(limit, per_second=now, held=held, since_ms=now_ms, delivered=0, pushed_back=0, timeouts=0)
    return replace(moved, why=RECOVERING if rises(moved) else BY_HAND)


def uncapped(limit: Limit, cap: Cap, *, now_ms: int) -> Limit:
    """The limit as an operator's ends: it rises from where it is."""
    was_unmoved = limit.held == _lower(cap.held, cap.per_second)
    held = cap.held if was_unmoved else limit.held
    pushed_ms = now_ms if held is None else limit.pushed_ms  # a limit that nobody showed is doubted from now on
    moved = replace(limit, held=held, pushed_ms=pushed_ms, since_ms=now_ms, delivered=0, pushed_back=0, timeouts=0)
    return replace(moved, why=RECOVERING) if rises(moved) else moved


def _lower(one: float | None, other: float | None) -> float | None:
    return min((rate for rate in (one, other) if rate is not None), default=None)
