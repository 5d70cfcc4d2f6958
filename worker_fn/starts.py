"""When the calls that were leased may start: a worker's tokens as moments, used one after the other."""

import heapq
import math
from collections.abc import Iterable

from worker_fn.rate import WINDOW_MS, Tokens, moment_ms


class Starts:
    """The moments (ms since the epoch) that are ours. Each method that takes some away says what is free for others."""

    def __init__(self) -> None:
        self._moments: list[tuple[int, int]] = []
        """Moment and number, a heap."""
        self._limit: float | None = None
        """The limit that they were leased under, in calls a second."""

    def lease(self, tokens: Tokens, *, limit: float, phase: float = 0.5, shift: int = 0) -> None:
        """Take up tokens that were leased under `limit`; `phase` and `shift` as `rate.moment_ms` has them."""
        for window, numbers in tokens.items():
            for number in numbers:
                heapq.heappush(self._moments, (moment_ms(window, number, limit, phase=phase, shift=shift), number))
        self._limit = limit

    def take(self, *, now_ms: int, not_before_ms: int) -> int | None:
        """The next moment, now at the earliest; those whose window is over, or that a cool-down took, are lost."""
        while self._moments:
            moment, _ = heapq.heappop(self._moments)
            if moment >= not_before_ms and now_ms < (moment // WINDOW_MS + 1) * WINDOW_MS:
                return max(moment, now_ms)
        return None

    def put_back(self, moment: int) -> None:
        """Have a moment that was taken used by another call. It is the present window's: nobody else could use it."""
        heapq.heappush(self._moments, (moment, -1))

    def thin_out(self, limit: float | None, *, now_ms: int) -> Tokens:
        """Give up as much of what was leased as the limit has gone down since: it holds for that, too."""
        before = self._limit
        if limit is None or before is None or limit >= before:
            return {}
        self._limit = limit
        kept, gone = list[tuple[int, int]](), list[tuple[int, int]]()
        for index, one in enumerate(sorted(self._moments)):  # one in ten of them, say, and not the last tenth
            stays = math.floor((index + 1) * limit / before) > math.floor(index * limit / before)
            (kept if stays else gone).append(one)
        self._moments = kept
        return _to_come(gone, now_ms)

    def drop(self, *, now_ms: int) -> Tokens:
        """Give up all of them."""
        gone, self._moments = self._moments, []
        return _to_come(gone, now_ms)


def _to_come(moments: Iterable[tuple[int, int]], now_ms: int) -> Tokens:
    """The tokens whose windows have not begun: the others are gone for everybody."""
    unused: dict[int, list[int]] = {}
    for moment, number in moments:
        if moment // WINDOW_MS * WINDOW_MS > now_ms and number >= 0:
            unused.setdefault(moment // WINDOW_MS, []).append(number)
    return unused
