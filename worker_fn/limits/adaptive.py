"""The adaptive limit, as arithmetic: AIMD on the rate that the whole fleet shares. Pure.

The limit moves once a window: down to nine tenths if the partner refused calls or timed out, else up or not at all.
Below the last limit that held it grows quickly, whether or not all of it is used. There it rests for a while, then
grows in small steps, and only if it was reached. A partner that refused only a few calls showed where its limit is:
just below the present one.

What trouble taught is forgotten in time. Time-outs never show where a limit holds, nor do a few refusals if no limit is
known: growth stays quick, and after a quiet minute the limit is what it was before. What many refusals showed is
believed for ten minutes after the last of them.

An operator's limit bounds this one for a while, as a declared one does. Then this one grows quickly to what held
before, or to what the partner showed meanwhile if that is less.
"""

from dataclasses import dataclass, replace

STEP_MS = 2_000
QUICK_STEP_MS = 1_000
"""The window while the limit grows back to what held."""
DOWN = 0.9
UP_FAST = 1.5
RESTART = 0.3
"""Share of the limit to begin with after an outage."""
FADING = 0.99
PUSHED_BACK, RECOVERING = "pushed back", "recovering"
SHOWN = 5
"""This many push-backs in a window show a limit where none is known; a single one may have any cause."""
BELIEVED_MS, DOUBTED_MS = 600_000, 60_000
"""How long after the last push-back a limit is kept: one that refusals showed, and one that nothing showed."""
FEW_SHARE = 0.05
"""If at most this share of a window's calls is pushed back, the limit was about right."""
JUST_BELOW = 0.97
REST_MS = 30_000
"""How long a limit that held is kept before more is tried: each refused try costs a cool-down."""
LOOSE = 4.0
"""A limit that no refusal showed is forgotten when it is this many times what is delivered: it holds nobody back."""
UP_SHARE = 0.02
"""Share of the limit that a step up adds, at least one call a second."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the partner declared, in calls a second. `highest` None: no limit is known until the partner shows one."""

    highest: float | None = None
    lowest: float = 1.0


@dataclass(frozen=True, slots=True)
class Cap:
    """An operator's limit, in calls a second; None: there is none. `held`: the limit that held when it was set."""

    per_second: float | None = None
    until_ms: int = 0
    held: float | None = None

    def is_over(self, now_ms: int) -> bool:
        return self.per_second is not None and self.until_ms <= now_ms


NO_CAP = Cap()


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit in calls a second (None: none known yet), and the results of calls since `since_ms`."""

    per_second: float | None = None
    held: float | None = None
    """The last limit that held: below it, growth is quick. None: no such limit is known."""
    best: float = 0.0
    """The most deliveries a second of any window; fades by a hundredth a window."""
    since_ms: int = 0
    delivered: int = 0
    pushed_back: int = 0
    """429s."""
    timeouts: int = 0
    pushed_ms: int = 0
    """When the limit was last lowered."""
    rest_until_ms: int = 0
    reached: bool = False
    """Workers could have used more than the limit gave."""
    why: str = "start"

    @property
    def calls(self) -> int:
        return self.delivered + self.pushed_back + self.timeouts

    @property
    def rises(self) -> bool:
        """Whether the limit is below the last one that held, so that growth is quick."""
        return self.per_second is not None and (self.held is None or self.per_second < self.held)


def start(bounds: Bounds, now_ms: int) -> Limit:
    return Limit(per_second=bounds.highest, held=bounds.highest, since_ms=now_ms)


def add(limit: Limit, *, delivered: int, pushed_back: int, timeouts: int, now_ms: int) -> Limit:
    """Count results of calls. Where no limit is known a window begins after idle time, which says nothing."""
    was_idle = limit.per_second is None and not limit.calls and now_ms - limit.since_ms >= 2 * STEP_MS
    return replace(
        limit,
        since_ms=now_ms if was_idle else limit.since_ms,
        delivered=limit.delivered + delivered,
        pushed_back=limit.pushed_back + pushed_back,
        timeouts=limit.timeouts + timeouts,
    )


def step(limit: Limit, bounds: Bounds, *, now_ms: int) -> Limit:
    """Move the limit if a window has passed since the last move, with calls in it; else leave it."""
    limit = _faded(limit, bounds, now_ms)
    passed_ms, calls = now_ms - limit.since_ms, limit.calls
    if not calls or passed_ms < (QUICK_STEP_MS if limit.why == RECOVERING else STEP_MS):
        return limit
    timeouts = limit.timeouts if limit.timeouts > max(1, FEW_SHARE * calls) else 0  # one call may always be slow
    best = max(limit.best * FADING, limit.delivered * 1_000 / passed_ms)
    moved = replace(_emptied(limit, now_ms), best=round(best, 3), reached=False, why="steady")
    if limit.pushed_back or timeouts:
        return _lowered(limit, moved, bounds, timeouts=timeouts)
    return _raised(limit, moved, bounds)


def restart(limit: Limit, bounds: Bounds, *, now_ms: int) -> Limit:
    """Begin low after an outage, so that its backlog does not overload the partner again; grow quickly to what held."""
    before = max(limit.per_second or 0.0, limit.held or 0.0) or limit.best
    begun = Limit(best=limit.best, since_ms=now_ms, pushed_ms=now_ms, why=RECOVERING)
    if not before:
        return begun
    held = None if limit.per_second is None else before  # the outage showed no limit where none was known
    return replace(begun, per_second=_bounded(RESTART * before, bounds), held=held)


def within(bounds: Bounds, cap: Cap) -> Bounds:
    """The bounds while an operator's limit lasts."""
    return replace(bounds, highest=lower(bounds.highest, cap.per_second))


def capped(limit: Limit, cap: Cap, *, now_ms: int) -> Limit:
    """The limit when an operator's limit begins."""
    now, held = lower(limit.per_second, cap.per_second), lower(limit.held, cap.per_second)
    return replace(_emptied(limit, now_ms), per_second=now, held=held, why=RECOVERING)


def uncapped(limit: Limit, cap: Cap, *, now_ms: int) -> Limit:
    """The limit when an operator's limit ends: it rises from where it is; its age counts from now."""
    held = cap.held if limit.held == lower(cap.held, cap.per_second) else limit.held
    return replace(_emptied(limit, now_ms), held=held, pushed_ms=now_ms, why=RECOVERING)


def lower(one: float | None, other: float | None) -> float | None:
    """The lower of two limits, each of which may be missing."""
    return other if one is None else one if other is None else min(one, other)


def _lowered(limit: Limit, moved: Limit, bounds: Bounds, *, timeouts: int) -> Limit:
    """Lower the limit after a window's push-backs or time-outs; where none is known, begin one after SHOWN of them."""
    pushed, now = limit.pushed_back + timeouts, limit.per_second
    if now is None and pushed < SHOWN:
        return moved
    moved = replace(moved, why=PUSHED_BACK, pushed_ms=moved.since_ms)
    if now is None:
        now = _bounded(DOWN * moved.best, bounds)
        shown = limit.pushed_back >= SHOWN and limit.delivered > 0
        return replace(moved, per_second=now, held=now if shown else None)
    held = limit.held
    if limit.pushed_back and limit.delivered:
        # Some calls went through, so about this limit holds. If none did, the refusals say nothing of the rate.
        held = (JUST_BELOW if pushed <= FEW_SHARE * (limit.delivered + pushed) else DOWN) * now
    rest_until_ms = moved.since_ms + REST_MS
    return replace(moved, per_second=_bounded(DOWN * now, bounds), held=held, rest_until_ms=rest_until_ms)


def _raised(limit: Limit, moved: Limit, bounds: Bounds) -> Limit:
    """The limit after a window that gave no cause to lower it."""
    now, held = limit.per_second, limit.held
    if now is None:
        return moved
    if limit.rises and limit.delivered:
        if held is None and now > LOOSE * moved.best:
            return replace(start(bounds, moved.since_ms), best=moved.best)
        return replace(moved, per_second=_bounded(lower(UP_FAST * now, held) or now, bounds), why=RECOVERING)
    if not limit.reached:
        return moved
    if moved.since_ms < limit.rest_until_ms:
        return replace(moved, why="holding")
    return replace(moved, per_second=_bounded(now + max(1.0, UP_SHARE * now), bounds), why="reached")


def _faded(limit: Limit, bounds: Bounds, now_ms: int) -> Limit:
    """Forget what trouble taught after a long time without any: the declared rate, or none, is the limit again."""
    if limit.per_second is None or now_ms - limit.pushed_ms < (DOUBTED_MS if limit.held is None else BELIEVED_MS):
        return limit
    if bounds.highest is None:
        return replace(start(bounds, now_ms), best=limit.best)
    return replace(limit, held=bounds.highest)


def _emptied(limit: Limit, now_ms: int) -> Limit:
    """The limit with an empty window that begins now."""
    return replace(limit, since_ms=now_ms, delivered=0, pushed_back=0, timeouts=0)


def _bounded(limit: float, bounds: Bounds) -> float:
    highest = float("inf") if bounds.highest is None else bounds.highest
    return min(highest, max(bounds.lowest, limit))
