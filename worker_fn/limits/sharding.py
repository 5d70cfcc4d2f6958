"""How many books the fleet keeps of its rate: one while it is written by few, more when writers lose too many races.
Pure.

Each of several books keeps every n-th call of each second, so that together they are as even as one. Another number of
books holds from a window on that nobody can have leased from yet.
"""

import math
from dataclasses import dataclass, replace

from worker_fn.limits.windows import SKEW_MS, WINDOW_MS

MOST = 16
"""A table takes about 1,000 writes a second of one item, and sixteen times that of sixteen."""
WORKERS_A_BOOK = 25
"""Each writes once or twice a second."""
STEP_MS = 2_000
HOT_PER_S = 50.0
"""Races lost in a second, by all workers together, from which on there are twice as many books."""
CALM_PER_S = 1.0
CALM_MS = 600_000
"""With fewer lost races for so long there are half as many."""
LEASE_AHEAD_MS = 15_000
"""How far ahead calls are leased."""


@dataclass(frozen=True, slots=True)
class Sharding:
    """There are `count` books from `from_window` (seconds since the epoch) on, and `before` books before that."""

    count: int = 1
    before: int = 1
    from_window: int = 0
    lost: int = 0
    """Races lost since `since_ms`."""
    since_ms: int = 0
    calm_ms: int = 0
    """Since when it has been calm; 0 while it is not."""

    def at(self, now_ms: int) -> int:
        """How many books are in force."""
        return self.count if now_ms // WINDOW_MS >= self.from_window else self.before

    def until_ms(self, until_ms: int, *, now_ms: int) -> int:
        """How far ahead may be leased from the books that are in force now."""
        begins_ms = self.from_window * WINDOW_MS
        return until_ms if now_ms >= begins_ms else min(until_ms, begins_ms)


def add(sharding: Sharding, lost: int) -> Sharding:
    """Count races that a worker lost."""
    return replace(sharding, lost=sharding.lost + lost) if lost else sharding


def step(sharding: Sharding, *, now_ms: int, least: int, nothing_leased: bool) -> Sharding:
    """Change the number of books if it is time to. `least` is what the deployment's size asks for; `nothing_leased`:
    no book of the present or the coming seconds holds anything.
    """
    if nothing_leased and sharding.since_ms == 0 and sharding.count < least:
        return replace(sharding, count=least, since_ms=now_ms)
    passed_ms = now_ms - sharding.since_ms
    if passed_ms < STEP_MS or (sharding.count == least and not sharding.lost):
        return sharding
    settled = replace(sharding, lost=0, since_ms=now_ms)
    if now_ms // WINDOW_MS < sharding.from_window:
        return settled  # one change at a time
    lost_per_s = sharding.lost * 1_000 / min(passed_ms, 2 * STEP_MS)
    calm = lost_per_s < CALM_PER_S and sharding.count > least
    settled = replace(settled, calm_ms=(sharding.calm_ms or now_ms) if calm else 0)
    count = sharding.count
    if lost_per_s >= HOT_PER_S:
        # As many as would have met few races: a change takes half a minute to come into force.
        count *= int(2 ** math.ceil(math.log2(max(2.0, lost_per_s / HOT_PER_S))))
    elif calm and now_ms - settled.calm_ms >= CALM_MS:
        count //= 2
    count = max(least, min(MOST, count))
    if count == sharding.count:
        return settled
    begins_ms = now_ms + LEASE_AHEAD_MS + SKEW_MS
    return replace(settled, count=count, before=sharding.count, from_window=begins_ms // WINDOW_MS + 1, calm_ms=0)


def books_for(workers: int) -> int:
    """How many books a fleet of at most so many workers begins with."""
    return min(MOST, int(2 ** math.ceil(math.log2(max(1.0, workers / WORKERS_A_BOOK)))))
