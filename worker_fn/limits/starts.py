"""When the calls that were leased may start: a worker's tokens as moments, used one after the other."""

import heapq
import math
from collections.abc import Iterable
from typing import NamedTuple

from worker_fn.limits.windows import WINDOW_MS, Tokens, moment_ms


class Start(NamedTuple):
    """When a call may start (ms since the epoch), and its number in that second; -1: it has none any more."""

    ms: int
    number: int = -1


class Starts:
    """The moments that are ours. Each method that takes some away says what is free for others."""

    def __init__(self) -> None:
        self._moments: list[Start] = []
        """A heap."""
        self._limit: float | None = None
        """The limit that they were leased under, in calls a second."""

    def lease(self, tokens: Tokens, *, limit: float, phase: float = 0.5, shift: int = 0) -> None:
        """Take up tokens that were leased under `limit`; `phase` and `shift` as `rate.moment_ms` has them."""
        for window, numbers in tokens.items():
            for number in numbers:
                start = Start(moment_ms(window, number, limit, phase=phase, shift=shift), number)
                heapq.heappush(self._moments, start)
        self._limit = limit

    def are_outgrown(self, limit: float | None, *, now_ms: int) -> bool:
        """Whether the limit has risen since they were leased, and the next one is not due yet: there may be an earlier
        one.
        """
        due = bool(self._moments) and self._moments[0].ms <= now_ms
        return limit is not None and self._limit is not None and limit > self._limit and not due

    def count_as_leased_under(self, limit: float) -> None:
        """There was none to be had beyond those that are ours."""
        self._limit = limit

    def take(self, *, now_ms: int, not_before_ms: int) -> Start | None:
        """The next moment, now at the earliest; those whose window is over, or that a cool-down took, are lost."""
        while self._moments:
            start = heapq.heappop(self._moments)
            if start.ms >= not_before_ms and now_ms < (start.ms // WINDOW_MS + 1) * WINDOW_MS:
                return Start(max(start.ms, now_ms), start.number)
        return None

    def put_back(self, start: Start) -> None:
        """Have a moment that was taken used by another call."""
        heapq.heappush(self._moments, start)

    def thin_out(self, limit: float | None, *, now_ms: int) -> Tokens:
        """Give up as much of what was leased as the limit has gone down since: it holds for that, too."""
        before = self._limit
        if limit is None or before is None or limit >= before:
            return {}
        self._limit = limit
        kept, gone = list[Start](), list[Start]()
        for index, one in enumerate(sorted(self._moments)):  # one in ten of them, say, and not the last tenth
            stays = math.floor((index + 1) * limit / before) > math.floor(index * limit / before)
            (kept if stays else gone).append(one)
        self._moments = kept
        return _to_come(gone, now_ms)

    def drop(self, *, now_ms: int) -> Tokens:
        """Give up all of them."""
        gone, self._moments = self._moments, []
        return _to_come(gone, now_ms)


def _to_come(moments: Iterable[Start], now_ms: int) -> Tokens:
    """The tokens whose windows have not begun: the others are gone for everybody."""
    unused: dict[int, list[int]] = {}
    for moment, number in moments:
        if moment // WINDOW_MS * WINDOW_MS > now_ms and number >= 0:
            unused.setdefault(moment // WINDOW_MS, []).append(number)
    return unused
