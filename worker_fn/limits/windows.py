"""The shared rate, as arithmetic: which calls of each second are whose. Pure.

Time is cut into windows of one second. The calls of a window are numbered, each number has its moment, and the moments
lie evenly over the window. A counter for each window says how many of its numbers were asked for. Adding to it gives
the next numbers to whoever adds: those below the window's quota are calls, those beyond it are nothing. So however
many workers ask, in whatever order, no second holds more calls than the rate allows, and all of them together are as
evenly spread as those of one worker.

Neighbouring numbers are far apart in time (steps of the golden ratio): what one worker gets of a window is spread over
all of it.
"""

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache

WINDOW_MS = 1_000
USABLE_MS = WINDOW_MS - 25
"""Calls are planned for this part of a window: one that starts a little late would else miss it."""
HEADROOM = 0.97
"""Share of the partner's rate that is used: the rest is for calls that are on their way longer than others."""
SKEW_MS = 10_000
"""How far a worker's clock may be behind another's without finding its windows' counters forgotten."""
LEASE_AHEAD_MS = 15_000
"""How far ahead calls are leased: two seconds ahead cost three times the writes."""
LONGEST_LOOK_MS = 300_000
"""How far ahead a window is looked for of which something is left."""
LEAST_LEFT = 0.1
"""Of a window that is over but for so much nothing is asked for."""
GOLDEN = (math.sqrt(5) - 1) / 2
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def name_of(window: int) -> str:
    """The name of a window's counter in the item: short, as an item of over 1 KB costs two writes."""
    text = ""
    while window:
        window, digit = divmod(window, 36)
        text = DIGITS[digit] + text
    return f"w{text}"


def quota(window: int, limit: float) -> int:
    """Calls that may start in a window at `limit` calls a second; fractions add up, never ahead of time."""
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
    """How many numbers to ask for of each window from now to `until_ms`, by what is known to be `given`.

    Of each at least `least_a_window` are asked for, the worker's own share, even if fewer are wanted: the calls of this
    batch then use the first moments of it, and the next batch, which begins in the same window, the others.
    `most_a_window` is what the worker can use of one (its connections over the partner's latency). What it asks
    for and does not use is lost to the others: so where a window is nearly given away it counts on half of its
    connections. Of the present window those numbers whose moment has passed are asked for in vain.
    """
    asked, missing = dict[int, int](), wanted
    for window in windows(now_ms, until_ms):
        if missing <= 0:
            break
        left = 1 - max(0, now_ms - window * WINDOW_MS) / WINDOW_MS
        room = quota(window, limit) - given.get(name_of(window), 0)
        if room <= 0 or left < LEAST_LEFT:
            continue
        usable = most_a_window if room > 2 * most_a_window else most_a_window / 2
        taken = min(max(missing, round(least_a_window * left)), max(1, round(usable * left)), max(1, int(room * left)))
        asked[window] = min(room, math.ceil(taken / left))
        missing -= taken
    return asked


def numbers(given: Mapping[str, int], asked: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """The numbers that asking came to, with their windows: `given` is what the counters show afterwards."""
    for window, count in asked.items():
        end = given.get(name_of(window), 0)
        yield from ((window, number) for number in range(end - count, end))


def windows(now_ms: int, until_ms: int) -> Iterator[int]:
    """The windows that begin before `until_ms`, the present one first."""
    yield from range(now_ms // WINDOW_MS, max(now_ms // WINDOW_MS + 1, math.ceil(until_ms / WINDOW_MS)))


def first_free_ms(given: Mapping[str, int], *, limit: float, now_ms: int) -> int:
    """When the next window begins of which something is left, at most LONGEST_LOOK_MS from now."""
    for window in windows(now_ms, now_ms + LONGEST_LOOK_MS):
        if window * WINDOW_MS > now_ms and quota(window, limit) > given.get(name_of(window), 0):
            return window * WINDOW_MS
    return now_ms + LONGEST_LOOK_MS


def share_taken(given: Mapping[str, int], *, limit: float, now_ms: int) -> float:
    """The share of the last whole windows' numbers that was asked for: of those whose counters are still kept."""
    now = now_ms // WINDOW_MS
    kept = range(now - SKEW_MS // WINDOW_MS + 1, now)
    allowed = {window: quota(window, limit) for window in kept}
    taken = sum(min(given.get(name_of(window), 0), most) for window, most in allowed.items())
    return taken / sum(allowed.values()) if any(allowed.values()) else 0.0


def over(given: Mapping[str, int], now_ms: int) -> list[str]:
    """The counters of windows that are over for everybody, however late their clocks are."""
    oldest = name_of((now_ms - SKEW_MS) // WINDOW_MS)
    return [name for name in given if name[0] == "w" and (len(name), name) < (len(oldest), oldest)]


@lru_cache(maxsize=32)
def _places(count: int) -> tuple[int, ...]:
    """The place in time of each of a window's numbers: as multiples of the golden ratio are placed within one."""
    order = sorted(range(count), key=lambda number: number * GOLDEN % 1)
    places = [0] * count
    for place, number in enumerate(order):
        places[number] = place
    return tuple(places)
