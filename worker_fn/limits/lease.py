"""The calls that one environment has leased: numbers, each with the moment at which its call may start."""

import heapq
from collections.abc import Iterable
from typing import NamedTuple

from worker_fn.limits.windows import HEADROOM, WINDOW_MS, moment_ms, quota

LATE_MS = round((1 - HEADROOM) * WINDOW_MS)
"""A call that would start later than this after its moment is dropped. While all calls are late by no more than the
headroom's part of a second, no second of true time, wherever it begins, holds more calls than the rate.
"""


class Start(NamedTuple):
    """When a call may start (ms since the epoch), and its number; -1: no counter gave it (fallback, or put back)."""

    ms: int
    number: int = -1

    @property
    def window(self) -> int:
        return self.ms // WINDOW_MS


class Lease:
    """Numbers that were asked for and not used yet. They outlive a batch: the next one uses those still ahead.

    Numbers beyond the limit are kept too: no other worker has them, and each is a call once the limit is above it.
    """

    def __init__(self) -> None:
        self._numbers: set[tuple[int, int]] = set()
        """Window and number."""
        self._starts: list[Start] = []
        """A heap of the moments within the limit."""
        self._limit: float | None = None
        """The limit that the moments were computed for, in calls a second."""

    def __len__(self) -> int:
        return len(self._starts)

    def keep(self, numbers: Iterable[tuple[int, int]], *, limit: float, now_ms: int) -> None:
        """Add the numbers that were asked for under `limit`, possibly none; those whose moment has passed are lost."""
        self._numbers.update(numbers)
        self._lay_out(limit, now_ms)

    def take(self, *, now_ms: int, not_before_ms: int, limit: float | None) -> Start | None:
        """The next moment, now at the earliest. Moments in a cool-down, or missed by over LATE_MS, are lost."""
        if limit is not None and limit != self._limit:
            self._lay_out(limit, now_ms)
        while self._starts:
            start = heapq.heappop(self._starts)
            self._numbers.discard((start.window, start.number))
            if self._starts and self._starts[0].ms <= now_ms:
                continue  # of several late moments only the last is used: together they would be a burst
            if not_before_ms <= start.ms and now_ms <= start.ms + LATE_MS and now_ms // WINDOW_MS <= start.window:
                return Start(max(start.ms, now_ms), start.number)
        return None

    def put_back(self, now_ms: int) -> None:
        """Let another call start in place of one that was to start now."""
        heapq.heappush(self._starts, Start(now_ms))

    def _lay_out(self, limit: float, now_ms: int) -> None:
        """Give each number its moment at `limit`."""
        self._numbers = {one for one in self._numbers if one[0] >= now_ms // WINDOW_MS}
        starts = [Start(moment_ms(*one, limit), one[1]) for one in self._numbers if one[1] < quota(one[0], limit)]
        self._starts = [one for one in starts if one.ms >= now_ms] + [one for one in self._starts if one.number < 0]
        heapq.heapify(self._starts)
        self._limit = limit
