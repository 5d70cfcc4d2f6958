"""The shared rate, as arithmetic: how many calls of each second have been given away, and to whom more may go. Pure.

Time is cut into windows of one second. A lease takes tokens out of the present window and of those to come, each
window's up to its quota; a token is good for starting one call within its window. So however many workers lease, in
whatever order, no second ever holds more calls than the rate allows, and a batch needs one lease.
"""

import math
from collections.abc import Iterator, Mapping

WINDOW_MS = 1_000

USABLE_MS = WINDOW_MS - 25
"""Calls are planned for this part of a window: one that starts a little late would else miss it."""

HEADROOM = 0.96
"""Share of the partner's rate that is used: the rest is for calls that are on their way longer than their neighbours.
"""

SKEW_MS = 10_000
"""How far a worker's clock may be behind another's without finding its windows' books forgotten."""

Tokens = Mapping[int, int]
"""Window (seconds since the epoch) -> number of calls that may start in it."""


def quota(window: int, limit: float) -> int:
    """Calls that may start in a window at `limit` calls a second; fractions add up over the windows, never ahead of
    time.
    """
    used = limit * HEADROOM
    return math.floor((window + 1) * used) - math.floor(window * used)


def lease(
    granted: Tokens,
    *,
    limit: float,
    now_ms: int,
    until_ms: int,
    wanted: int,
    most_a_window: int,
    cautious: bool = False,
) -> tuple[dict[int, int], dict[int, int]]:
    """Give out up to `wanted` tokens of the windows from now to `until_ms`; returns the new books and the tokens.

    `most_a_window` is what the worker can use of one window (its connections over the partner's latency): what it could
    not use would be lost to the others. `cautious`: where nobody keeps common books, no fraction is rounded up.
    """
    books, tokens, missing = current(granted, now_ms), dict[int, int](), wanted
    for window in windows(now_ms, until_ms):
        if missing <= 0:
            break
        left = free(books, window, limit, now_ms, cautious=cautious)
        taken = min(left, missing, max(1, most_a_window))
        if taken > 0:
            books[window] = books.get(window, 0) + taken
            tokens[window] = taken
            missing -= taken
    return books, tokens


def free(granted: Tokens, window: int, limit: float, now_ms: int, *, cautious: bool = False) -> int:
    """Tokens of a window that are left. The end of the present one must not hold all of its calls, whoever asks."""
    begun_ms = max(0, now_ms - window * WINDOW_MS)
    rest = quota(window, limit) * max(0.0, 1 - begun_ms / USABLE_MS)
    usable = math.floor(rest) if cautious else math.ceil(rest)
    return max(0, usable - granted.get(window, 0))


def give_back(granted: Tokens, unused: Tokens, *, now_ms: int) -> dict[int, int]:
    """Return tokens of windows that are still to come; the others are gone."""
    books = current(granted, now_ms)
    for window, count in unused.items():
        if window * WINDOW_MS > now_ms and window in books:
            books[window] = max(0, books[window] - count)
    return {window: count for window, count in books.items() if count}


def current(granted: Tokens, now_ms: int) -> dict[int, int]:
    """The books without the windows that are over for everybody: refilling is forgetting them."""
    return {window: count for window, count in granted.items() if (window + 1) * WINDOW_MS + SKEW_MS > now_ms}


def windows(now_ms: int, until_ms: int) -> Iterator[int]:
    """The windows that begin before `until_ms`, the present one first."""
    yield from range(now_ms // WINDOW_MS, max(now_ms // WINDOW_MS + 1, math.ceil(until_ms / WINDOW_MS)))


def first_free_ms(granted: Tokens, *, limit: float, now_ms: int, longest_ms: int) -> int:
    """When a window with a free token begins, at most `longest_ms` from now."""
    for window in windows(now_ms, now_ms + longest_ms):
        if free(granted, window, limit, now_ms):
            return max(now_ms, window * WINDOW_MS)
    return now_ms + longest_ms
