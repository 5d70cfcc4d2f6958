"""The adaptive limit, as arithmetic: AIMD on the rate that the whole fleet shares. Pure.

Once a window: down to nine tenths if the partner refused or timed out, up if the limit was reached and nothing spoke
against it, else as it is. Up means quickly below the last limit that held, after a recovery; there it rests for a while
before it tries more, and then by a little. A partner that refused only a few calls showed where its limit is: what held
is just below.
"""

from dataclasses import dataclass, replace

STEP_MS = 2_000
DOWN = 0.9
UP_FAST = 1.5
RESTART = 0.3
"""Share of the limit to begin with after an outage."""
FADING = 0.99
ECHO_MS = 1_000
"""How long after a step down push-backs still are about the limit before it."""
PUSHED_BACK = "pushed back"
FEW_SHARE = 0.05
"""Push-backs of at most this share of a window's calls: the limit was about right."""
JUST_BELOW = 0.97
REST_MS = 30_000
"""How long a limit that held is kept before more is tried: each try that is refused costs a cool-down."""
UP_SHARE = 0.02
"""Share of the limit that a step up adds, at least one call a second."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the partner declared, in calls a second. `highest` None: no limit is known until the partner shows one."""

    highest: float | None = None
    lowest: float = 1.0
    books: int = 1
    """How many books of the rate there are at least: worker_fn/sharding.py."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit in calls a second (None: none known yet), and what was seen since `since_ms`."""

    per_second: float | None = None
    held: float | None = None
    """The last limit at which the partner was content: below it, growth is quick."""
    best: float = 0.0
    """The most deliveries a second that a window saw; it fades, by a hundredth a window."""
    since_ms: int = 0
    delivered: int = 0
    pushed_back: int = 0
    """429s and time-outs."""
    rest_until_ms: int = 0
    reached: bool = False
    """Somebody could have used more than the limit gave."""
    why: str = "start"


def start(bounds: Bounds, now_ms: int) -> Limit:
    return Limit(per_second=bounds.highest, held=bounds.highest, since_ms=now_ms)


def add(limit: Limit, *, delivered: int, pushed_back: int, now_ms: int) -> Limit:
    """Count what calls came to. A window begins with its first call where no limit is known: idle time says nothing."""
    idle = limit.per_second is None and not limit.delivered and not limit.pushed_back
    if limit.why == PUSHED_BACK and now_ms - limit.since_ms < ECHO_MS:
        pushed_back = 0  # calls that left before the fleet knew of the step down
    return replace(
        limit,
        since_ms=now_ms if idle and (delivered or pushed_back) else limit.since_ms,
        delivered=limit.delivered + delivered,
        pushed_back=limit.pushed_back + pushed_back,
    )


def step(limit: Limit, bounds: Bounds, *, now_ms: int) -> Limit:
    """Move the limit if a window has passed since the last move, else leave it."""
    passed_ms = now_ms - limit.since_ms
    idle = limit.per_second is None and not limit.delivered and not limit.pushed_back
    if passed_ms < STEP_MS or idle:
        return limit
    best = max(limit.best * FADING, limit.delivered * 1_000 / passed_ms)
    now, held, why, rest_until_ms = limit.per_second, limit.held, "steady", limit.rest_until_ms
    if limit.pushed_back and now is None:
        now = DOWN * (best or limit.pushed_back * 1_000 / passed_ms)
        held, why = now, PUSHED_BACK
    elif limit.pushed_back and now is not None:
        few = limit.pushed_back <= FEW_SHARE * (limit.delivered + limit.pushed_back)
        # Where some calls went through, this is about where it holds; where none did, it says nothing of the rate.
        held = (JUST_BELOW if few else DOWN) * now if limit.delivered else held
        now, why, rest_until_ms = DOWN * now, PUSHED_BACK, now_ms + REST_MS
    elif now is not None and limit.reached:
        quick = held is not None and now < held
        if not quick and now_ms < rest_until_ms:
            return replace(limit, best=round(best, 3), since_ms=now_ms, delivered=0, reached=False, why="holding")
        up = now * (UP_FAST - 1) if quick else max(1.0, UP_SHARE * now)
        now = min(now + up, held) if quick and held is not None else now + up
        why = "recovering" if quick else "reached"
    return Limit(
        per_second=_bounded(now, bounds),
        held=held,
        best=round(best, 3),
        since_ms=now_ms,
        rest_until_ms=rest_until_ms,
        why=why,
    )


def restart(limit: Limit, bounds: Bounds, *, now_ms: int) -> Limit:
    """Begin low after an outage: its backlog must not knock the partner over again. Grow quickly to what held."""
    before = max(limit.per_second or 0.0, limit.held or 0.0) or limit.best
    if not before:
        return replace(limit, since_ms=now_ms, delivered=0, pushed_back=0, why="recovering")
    now = _bounded(RESTART * before, bounds)
    return Limit(per_second=now, held=before, best=limit.best, since_ms=now_ms, why="recovering")


def _bounded(limit: float | None, bounds: Bounds) -> float | None:
    if limit is None:
        return None
    highest = bounds.highest if bounds.highest is not None else float("inf")
    return min(highest, max(min(bounds.lowest, highest), limit))
