"""The adaptive limit, as arithmetic: AIMD on the rate that the whole fleet shares. Pure.

Once a window: down to nine tenths if the partner refused or timed out, up if nothing spoke against it, else as it is.
Up means quickly below the last limit that held, whether all of the present one is used or not; there it rests for a
while before it tries more, and then by a little, and only if it was reached. A partner that refused only a few calls
showed where its limit is: what held is just below.

What was learnt from trouble fades. Time-outs never show where a limit holds, a few refusals do not either where none is
declared: growth stays quick, and after a quiet minute the limit is what it was before. What many refusals showed is
believed for ten minutes after the last of them.

An operator's limit bounds it for a while as a declared one does. Then it grows quickly to what held before; or, where
the partner showed meanwhile that less holds, to that.
"""

from dataclasses import dataclass, replace

STEP_MS = 2_000
QUICK_STEP_MS = 1_000
"""A window of a limit that is on its way back to what held."""
DOWN = 0.9
UP_FAST = 1.5
RESTART = 0.3
"""Share of the limit to begin with after an outage."""
FADING = 0.99
PUSHED_BACK, RECOVERING, BY_HAND = "pushed back", "recovering", "by hand"
SHOWN = 5
"""Push-backs in a window from which on a limit is learnt where none is known. One may have any cause."""
BELIEVED_MS, DOUBTED_MS = 600_000, 60_000
"""How long after the last push-back a limit is kept that the partner's refusals showed, and one that nothing showed."""
FEW_SHARE = 0.05
"""Push-backs of at most this share of a window's calls: the limit was about right."""
JUST_BELOW = 0.97
REST_MS = 30_000
"""How long a limit that held is kept before more is tried: each try that is refused costs a cool-down."""
LOOSE = 4.0
"""A limit that nothing showed, and that is so many times what is delivered, holds nobody back: it is forgotten."""
UP_SHARE = 0.02
"""Share of the limit that a step up adds, at least one call a second."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the partner declared, in calls a second. `highest` None: no limit is known until the partner shows one."""

    highest: float | None = None
    lowest: float = 1.0


@dataclass(frozen=True, slots=True)
class Cap:
    """What an operator set, in calls a second; None: nothing. `held` is what held then."""

    per_second: float | None = None
    until_ms: int = 0
    held: float | None = None

    def is_over(self, now_ms: int) -> bool:
        return self.per_second is not None and self.until_ms <= now_ms


NO_CAP = Cap()


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit in calls a second (None: none known yet), and what was seen since `since_ms`."""

    per_second: float | None = None
    held: float | None = None
    """The last limit at which the partner was content: below it, growth is quick. None: nobody knows one."""
    best: float = 0.0
    """The most deliveries a second that a window saw; it fades, by a hundredth a window."""
    since_ms: int = 0
    delivered: int = 0
    pushed_back: int = 0
    """429s."""
    timeouts: int = 0
    pushed_ms: int = 0
    """When the limit was last lowered."""
    rest_until_ms: int = 0
    reached: bool = False
    """Somebody could have used more than the limit gave."""
    why: str = "start"

    @property
    def calls(self) -> int:
        return self.delivered + self.pushed_back + self.timeouts

    @property
    def rises(self) -> bool:
        """Whether it is below the last one that held: growth is quick."""
        return self.per_second is not None and (self.held is None or self.per_second < self.held)


def start(bounds: Bounds, now_ms: int) -> Limit:
    return Limit(per_second=bounds.highest, held=bounds.highest, since_ms=now_ms)


def add(limit: Limit, *, delivered: int, pushed_back: int, timeouts: int, now_ms: int) -> Limit:
    """Count what calls came to. A window begins with its first call where no limit is known: idle time says nothing."""
    begins = limit.per_second is None and not limit.calls and bool(delivered or pushed_back or timeouts)
    return replace(
        limit,
        since_ms=now_ms if begins else limit.since_ms,
        delivered=limit.delivered + delivered,
        pushed_back=limit.pushed_back + pushed_back,
        timeouts=limit.timeouts + timeouts,
    )


def step(limit: Limit, bounds: Bounds, *, now_ms: int) -> Limit:
    """Move the limit if a window has passed since the last move, else leave it."""
    limit = _faded(limit, bounds, now_ms)
    passed_ms, calls = now_ms - limit.since_ms, limit.calls
    if passed_ms < (QUICK_STEP_MS if limit.why == RECOVERING else STEP_MS) or (limit.per_second is None and not calls):
        return limit
    if not calls and limit.why == RECOVERING and limit.rises:
        return limit  # the way back goes on with the first call that arrives
    timeouts = limit.timeouts if limit.timeouts > max(1, FEW_SHARE * calls) else 0  # one call may always be slow
    best = max(limit.best * FADING, limit.delivered * 1_000 / passed_ms)
    moved = replace(_emptied(limit, now_ms), best=round(best, 3), reached=False, why="steady")
    if limit.pushed_back or timeouts:
        return _lowered(limit, moved, bounds, offered=calls * 1_000 / passed_ms, timeouts=timeouts)
    return _raised(limit, moved, bounds)


def restart(limit: Limit, bounds: Bounds, *, now_ms: int) -> Limit:
    """Begin low after an outage: its backlog must not knock the partner over again. Grow quickly to what held."""
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
    """The limit as an operator's begins."""
    now, held = lower(limit.per_second, cap.per_second), lower(limit.held, cap.per_second)
    moved = replace(_emptied(limit, now_ms), per_second=now, held=held)
    return replace(moved, why=RECOVERING if moved.rises else BY_HAND)


def uncapped(limit: Limit, cap: Cap, *, now_ms: int) -> Limit:
    """The limit as an operator's ends: it rises from where it is."""
    held = cap.held if limit.held == lower(cap.held, cap.per_second) else limit.held
    pushed_ms = now_ms if held is None else limit.pushed_ms  # a limit that nobody showed is doubted from now on
    moved = replace(_emptied(limit, now_ms), held=held, pushed_ms=pushed_ms)
    return replace(moved, why=RECOVERING) if moved.rises else moved


def lower(one: float | None, other: float | None) -> float | None:
    """The lower one of two limits of which there may be none."""
    return other if one is None else one if other is None else min(one, other)


def _lowered(limit: Limit, moved: Limit, bounds: Bounds, *, offered: float, timeouts: int) -> Limit:
    """After a window that spoke against the limit; where none is known, if enough spoke."""
    pushed, now = limit.pushed_back + timeouts, limit.per_second
    if now is None and pushed < SHOWN:
        return replace(moved, pushed_ms=moved.since_ms)
    moved = replace(moved, why=PUSHED_BACK, pushed_ms=moved.since_ms)
    if now is None:
        now = DOWN * (moved.best or offered)
        shown = limit.pushed_back >= SHOWN and limit.delivered > 0
        return replace(moved, per_second=_bounded(now, bounds), held=now if shown else None)
    held = limit.held
    if limit.pushed_back and limit.delivered:
        # Some calls went through: this is about where it holds. Where none did, they say nothing of the rate.
        held = (JUST_BELOW if pushed <= FEW_SHARE * (limit.delivered + pushed) else DOWN) * now
    rest_until_ms = moved.since_ms + REST_MS if limit.pushed_back else moved.rest_until_ms
    return replace(moved, per_second=_bounded(DOWN * now, bounds), held=held, rest_until_ms=rest_until_ms)


def _raised(limit: Limit, moved: Limit, bounds: Bounds) -> Limit:
    """After a window in which the partner was content."""
    now, held = limit.per_second, limit.held
    if now is None:
        return moved
    if limit.rises and limit.delivered:
        if held is None and bounds.highest is None and now > LOOSE * moved.best:
            return replace(start(bounds, moved.since_ms), best=moved.best)
        return replace(moved, per_second=_bounded(lower(UP_FAST * now, held) or now, bounds), why=RECOVERING)
    if not limit.reached:
        return moved
    if moved.since_ms < limit.rest_until_ms:
        return replace(moved, why="holding")
    return replace(moved, per_second=_bounded(now + max(1.0, UP_SHARE * now), bounds), why="reached")


def _faded(limit: Limit, bounds: Bounds, now_ms: int) -> Limit:
    """Forget what trouble taught when there was none for long: the declared rate, or none, is the limit again."""
    if limit.per_second is None or (bounds.highest is not None and limit.held == bounds.highest):
        return limit
    if now_ms - limit.pushed_ms < (DOUBTED_MS if limit.held is None else BELIEVED_MS):
        return limit
    if bounds.highest is None:
        return replace(start(bounds, now_ms), best=limit.best)
    return replace(limit, held=bounds.highest)


def _emptied(limit: Limit, now_ms: int) -> Limit:
    """With a window that begins now."""
    return replace(limit, since_ms=now_ms, delivered=0, pushed_back=0, timeouts=0)


def _bounded(limit: float, bounds: Bounds) -> float:
    highest = float("inf") if bounds.highest is None else bounds.highest
    return min(highest, max(min(bounds.lowest, highest), limit))
