"""The shared rate, as arithmetic: which worker may make which calls of each second. Pure.

Time is cut into windows of one second. The calls of a window are numbered, each number has its moment, and the moments
lie evenly over the window. A counter for each window holds how many of its numbers were asked for. A worker that adds
to the counter gets the next numbers: those below the window's quota are calls, those beyond it are not. So however many
workers ask, in whatever order, no second holds more calls than the rate allows, and the calls of all workers are as
evenly spread as those of one.

Neighbouring numbers are far apart in time (steps of the golden ratio), so the numbers that one worker gets are spread
over the whole window.
"""

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache

WINDOW_MS = 1_000
USABLE_MS = WINDOW_MS - 25
"""Calls are planned for this part of a window, so that one that starts a little late still starts within the window."""
HEADROOM = 0.97
"""Share of the partner's rate that is used; the rest allows for calls that take longer than others to arrive."""
SKEW_MS = 10_000
"""How long a window's counter is kept after the window: a worker's clock may be this far behind the others'."""
LEASE_AHEAD_MS = 15_000
"""How far ahead calls are leased; leasing two seconds ahead cost three times the writes."""
LONGEST_LOOK_MS = 300_000
"""How far ahead `first_free_ms` looks for a window with numbers left."""
LEAST_LEFT = 0.1
"""Nothing is asked for in a window when less than this share of its time is left."""
GOLDEN = (math.sqrt(5) - 1) / 2
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def name_of(window: int) -> str:
    """The name of a window's counter in the item: short, because an item of over 1 KB costs two writes."""
    text = ""
    while window:
        window, digit = divmod(window, 36)
        text = DIGITS[digit] + text
    return f"w{text}"


def quota(window: int, limit: float) -> int:
    """Calls that may start in a window at `limit` calls a second; fractions carry over to later windows."""
    used = limit * HEADROOM
    return math.floor((window + 1) * used) - math.floor(window * used)


def moment_ms(window: int, number: int, limit: float) -> int:
    """When a call may start, in ms since the epoch."""
    places = _places(max(1, quota(window, limit)))
    return int(window * WINDOW_MS + (places[number % len(places)] + 0.5) * USABLE_MS / len(places))


def plan(
    given: Mapping[str, int],
    *,
    limit: float,
    now_ms: int,
    until_ms: int,
    wanted: int,
    most_a_window: int,
    least_a_window: int = 1,
) -> dict[int, int]:
    """How many numbers to ask for of each window from now to `until_ms`, if the counters stand at `given`.

    Of each window a worker asks for at least its own share, `least_a_window`, even if fewer are wanted: the calls of
    this batch use the first moments, and the next batch, which begins in the same window, the others. `most_a_window`
    is what the worker can use of one window (its connections over the partner's latency). Some numbers of the present
    window are past their moment, so more are asked for than are wanted.
    """
    asked, missing = dict[int, int](), wanted
    for window in windows(now_ms, until_ms):
        if missing <= 0:
            break
        left = 1 - max(0, now_ms - window * WINDOW_MS) / WINDOW_MS
        room = quota(window, limit) - given.get(name_of(window), 0)
        if room <= 0 or left < LEAST_LEFT:
            continue
        usable = max(1, round(min(most_a_window, room) * left))
        taken = min(max(missing, round(least_a_window * left)), usable)
        asked[window] = min(room, math.ceil(taken / left))
        missing -= taken
    return asked


def numbers(given: Mapping[str, int], asked: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """The numbers that a worker got for what it `asked`, with their windows; `given` are the counters after that."""
    for window, count in asked.items():
        end = given.get(name_of(window), 0)
        yield from ((window, number) for number in range(end - count, end))


def windows(now_ms: int, until_ms: int) -> Iterator[int]:
    """The windows that begin before `until_ms`, the present one first."""
    yield from range(now_ms // WINDOW_MS, max(now_ms // WINDOW_MS + 1, math.ceil(until_ms / WINDOW_MS)))


def first_free_ms(given: Mapping[str, int], *, limit: float, now_ms: int) -> int:
    """When the next window with numbers left begins, at most LONGEST_LOOK_MS from now."""
    for window in windows(now_ms, now_ms + LONGEST_LOOK_MS):
        if window * WINDOW_MS > now_ms and quota(window, limit) > given.get(name_of(window), 0):
            return window * WINDOW_MS
    return now_ms + LONGEST_LOOK_MS


def share_taken(given: Mapping[str, int], *, limit: float, now_ms: int) -> float:
    """The share of numbers that were asked for, over the past windows whose counters are still kept."""
    now = now_ms // WINDOW_MS
    kept = range(now - SKEW_MS // WINDOW_MS + 1, now)
    allowed = {window: quota(window, limit) for window in kept}
    taken = sum(min(given.get(name_of(window), 0), most) for window, most in allowed.items())
    return taken / sum(allowed.values()) if any(allowed.values()) else 0.0


def over(given: Mapping[str, int], now_ms: int) -> list[str]:
    """The counters of windows that are over for every worker, even one whose clock is SKEW_MS behind."""
    oldest = name_of((now_ms - SKEW_MS) // WINDOW_MS)
    return [name for name in given if name[0] == "w" and (len(name), name) < (len(oldest), oldest)]


@lru_cache(maxsize=32)
def _places(count: int) -> tuple[int, ...]:
    """The place in time of each of a window's numbers: the order of the multiples of the golden ratio, modulo 1."""
    order = sorted(range(count), key=lambda number: number * GOLDEN % 1)
    places = [0] * count
    for place, number in enumerate(order):
        places[number] = place
    return tuple(places)
