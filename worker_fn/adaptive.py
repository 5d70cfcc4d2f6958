"""The adaptive limit, as arithmetic: AIMD on the rate that the whole fleet shares. Pure.

Once a window: down to nine tenths if the partner refused or timed out, up if the limit was reached and nothing spoke
against it, else as it is. Up means by a little near the last limit that held, and quickly below it, after a recovery.
"""

from dataclasses import dataclass, replace

STEP_MS = 2_000
DOWN = 0.9
UP_FAST = 1.5
RESTART = 0.3
"""Share of the limit to begin with after an outage: its backlog must not knock the partner over again."""
UP_SHARE = 0.02
"""Share of the limit that a step up adds, at least one call a second."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the partner declared, in calls a second. `highest` None: no limit is known until the partner shows one."""

    highest: float | None = None
    lowest: float = 1.0


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit in calls a second (None: none known yet), and what was seen since `since_ms`."""

    per_second: float | None = None
    held: float | None = None
    """The last limit that the partner held: below it, growth is quick."""
    since_ms: int = 0
    delivered: int = 0
    pushed_back: int = 0
    """429s and time-outs."""
    reached: bool = False
    """Somebody wanted more than the limit gave."""
    why: str = "start"


def start(bounds: Bounds, now_ms: int) -> Limit:
    return Limit(per_second=bounds.highest, held=bounds.highest, since_ms=now_ms)


def step(limit: Limit, bounds: Bounds, *, now_ms: int) -> Limit:
    """Move the limit if a window has passed since the last move, else leave it."""
    passed_ms = now_ms - limit.since_ms
    quiet = limit.per_second is None and not limit.delivered and not limit.pushed_back
    if passed_ms < STEP_MS or quiet:
        return limit
    lowest = min(bounds.lowest, bounds.highest or bounds.lowest)
    highest = bounds.highest or float("inf")
    now, held, why = limit.per_second, limit.held, "steady"
    if limit.pushed_back:
        seen = (limit.delivered + limit.pushed_back) / (passed_ms / 1000)
        now = DOWN * (seen if now is None else now)
        held, why = now, "pushed back"
    elif now is not None and limit.reached and now < highest:
        quick = held is not None and now < held
        up = now * (UP_FAST - 1) if quick else max(1.0, UP_SHARE * now)
        now = min(now + up, held) if quick and held is not None else now + up
        why = "recovering" if quick else "reached"
    if now is not None:
        now = min(highest, max(lowest, now))
    return Limit(per_second=now, held=held, since_ms=now_ms, why=why)


def restart(limit: Limit, bounds: Bounds, *, now_ms: int) -> Limit:
    """Begin low after an outage, and grow quickly to what held before it."""
    if limit.per_second is None:
        return replace(Limit(), since_ms=now_ms, why="recovering")
    lowest = min(bounds.lowest, bounds.highest or bounds.lowest)
    before = limit.per_second if limit.held is None else max(limit.per_second, limit.held)
    return Limit(max(lowest, RESTART * before), held=before, since_ms=now_ms, why="recovering")
