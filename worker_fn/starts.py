"""When the calls that were leased may start: a worker's tokens as moments, used one after the other."""

import math
import random
from collections import Counter
from collections.abc import Iterable

from worker_fn.rate import USABLE_MS, WINDOW_MS, Tokens


class Starts:
    """The moments (ms since the epoch) that are ours. Each method that takes some away says what is free for others."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._moments_ms: list[int] = []
        """The latest first."""
        self._limit: float | None = None
        """The limit that they were leased under, in calls a second."""

    def lease(self, tokens: Tokens, *, limit: float | None, now_ms: int) -> None:
        """Spread tokens evenly over their windows, beginning at a place that differs between workers.

        It is the same place in each window, so that a second between two windows holds no more than either.
        """
        moments, phase = list[int](), self._rng.random()
        for window, count in tokens.items():
            begins_ms = max(now_ms, window * WINDOW_MS)
            width_ms = max(0, window * WINDOW_MS + USABLE_MS - begins_ms) / count
            moments += [int(begins_ms + (index + phase) * width_ms) for index in range(count)]
        self._moments_ms = sorted(moments, reverse=True)
        self._limit = limit

    def take(self, *, now_ms: int, not_before_ms: int) -> int | None:
        """The next moment, now at the earliest; those whose window is over, or that a cool-down took, are lost."""
        while self._moments_ms:
            moment_ms = self._moments_ms.pop()
            if moment_ms >= not_before_ms and now_ms < (moment_ms // WINDOW_MS + 1) * WINDOW_MS:
                return max(moment_ms, now_ms)
        return None

    def put_back(self, moment_ms: int) -> None:
        """Have a moment that was taken used by another call."""
        self._moments_ms.append(moment_ms)

    def thin_out(self, limit: float | None, *, now_ms: int) -> Tokens:
        """Give up as much of what was leased as the limit has gone down since: it holds for that, too."""
        before = self._limit
        if limit is None or before is None or limit >= before:
            return {}
        self._limit = limit
        kept, gone = list[int](), list[int]()
        for index, moment_ms in enumerate(self._moments_ms):  # one in ten of them, say, and not the last tenth
            stays = math.floor((index + 1) * limit / before) > math.floor(index * limit / before)
            (kept if stays else gone).append(moment_ms)
        self._moments_ms = kept
        return _to_come(gone, now_ms)

    def drop(self, *, now_ms: int) -> Tokens:
        """Give up all of them."""
        gone, self._moments_ms = self._moments_ms, []
        return _to_come(gone, now_ms)


def _to_come(moments_ms: Iterable[int], now_ms: int) -> Tokens:
    """The tokens whose windows have not begun: the others are gone for everybody."""
    unused = Counter(moment_ms // WINDOW_MS for moment_ms in moments_ms)
    return {window: count for window, count in unused.items() if window * WINDOW_MS > now_ms}
