"""The shared rate, as arithmetic: which calls of each second have been given away, and to whom more may go. Pure.

Time is cut into windows of one second. The calls of a window are numbered, each number has its moment, and the moments
lie evenly over the window. A lease takes numbers out of the present window and of those to come. So however many
workers lease, in whatever order, no second holds more calls than the rate allows, all of them together are as evenly
spread as those of one worker, and a batch needs one lease.

Neighbouring numbers are far apart in time (steps of the golden ratio): what one lease takes of a window is spread over
all of it.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

WINDOW_MS = 1_000

USABLE_MS = WINDOW_MS - 25
"""Calls are planned for this part of a window: one that starts a little late would else miss it."""

HEADROOM = 0.97
"""Share of the partner's rate that is used: the rest is for calls that are on their way longer than their neighbours.
"""

SKEW_MS = 10_000
"""How far a worker's clock may be behind another's without finding its windows' books forgotten."""

GOLDEN = (math.sqrt(5) - 1) / 2

Tokens = Mapping[int, Sequence[int]]
"""Window (seconds since the epoch) -> numbers of the calls that may start in it."""


@dataclass(frozen=True, slots=True)
class Share:
    """Every `of`-th number of each window, beginning at `index`: what one of several books keeps.

    `shift`: the quotas are those of so many windows later. Whoever keeps books of its own has another shift than the
    others, so that the fractions of their shares do not become whole calls in the same second.
    """

    of: int = 1
    index: int = 0
    shift: int = 0

    def part_of(self, count: int) -> int:
        """How many of a window's first `count` numbers are in it."""
        return max(0, -(-(count - self.index) // self.of))

    def number(self, local: int) -> int:
        """The window's number of what this share counts as `local`."""
        return local * self.of + self.index

    def local(self, number: int) -> int | None:
        """The place of a window's number in this share; None if it is another's."""
        return number // self.of if number % self.of == self.index else None


WHOLE = Share()


@dataclass(frozen=True, slots=True)
class Book:
    """What of a window was given: the first `given` of a share's numbers, but for those that came `back`."""

    given: int = 0
    back: tuple[int, ...] = ()

    def to_item(self) -> list[int | list[int]]:
        """As JSON: `given`, then the runs of what came back, each as its first and the one behind its last."""
        return [self.given, *_runs(self.back)]

    @classmethod
    def from_item(cls, item: Sequence[int | Sequence[int]]) -> "Book":
        given, *runs = item
        back = tuple(number for run in runs if not isinstance(run, int) for number in range(*run))
        return cls(given if isinstance(given, int) else 0, back)


Books = Mapping[int, Book]
"""Window -> what was given of it."""


def quota(window: int, limit: float) -> int:
    """Calls that may start in a window at `limit` calls a second; fractions add up over the windows, never ahead of
    time.
    """
    used = limit * HEADROOM
    return math.floor((window + 1) * used) - math.floor(window * used)


def moment_ms(window: int, number: int, limit: float, *, phase: float = 0.5, shift: int = 0) -> int:
    """When a call may start, in ms since the epoch. `phase` moves all moments alike, within one step."""
    places = _places(max(1, quota(window + shift, limit)))
    return int(window * WINDOW_MS + (places[number % len(places)] + phase) * USABLE_MS / len(places))


def lease(
    books: Books,
    *,
    limit: float,
    now_ms: int,
    until_ms: int,
    wanted: int,
    most_a_window: int,
    share: Share = WHOLE,
) -> tuple[dict[int, Book], dict[int, tuple[int, ...]]]:
    """Give out up to `wanted` tokens of the windows from now to `until_ms`; returns the new books and the tokens.

    `most_a_window` is what the worker can use of one window (its connections over the partner's latency): what it could
    not use would be lost to the others.
    """
    kept, tokens, missing = current(books, now_ms), dict[int, tuple[int, ...]](), wanted
    for window in windows(now_ms, until_ms):
        if missing <= 0:
            break
        book, taken = _take(
            kept.get(window, Book()),
            window,
            limit=limit,
            now_ms=now_ms,
            most=min(missing, max(1, most_a_window)),
            share=share,
        )
        if taken:
            kept[window], tokens[window] = book, taken
            missing -= len(taken)
    return kept, tokens


def free(books: Books, window: int, *, limit: float, now_ms: int, share: Share = WHOLE) -> int:
    """Tokens of a window that are left; of the present one, those whose moment is still to come."""
    most = share.part_of(quota(window + share.shift, limit))
    return len(_take(books.get(window, Book()), window, limit=limit, now_ms=now_ms, most=most, share=share)[1])


def give_back(books: Books, unused: Tokens, *, now_ms: int, share: Share = WHOLE) -> dict[int, Book]:
    """Return tokens of windows that are still to come; the others are gone."""
    kept = current(books, now_ms)
    for window, numbers in unused.items():
        book = kept.get(window)
        if book is None or window * WINDOW_MS <= now_ms:
            continue
        back = {*book.back, *(local for number in numbers if (local := share.local(number)) is not None)}
        given = book.given
        back = {local for local in back if local < given}
        while given and given - 1 in back:
            given -= 1
            back.discard(given)
        kept[window] = Book(given, tuple(sorted(back)))
    return {window: book for window, book in kept.items() if book.given}


def current(books: Books, now_ms: int) -> dict[int, Book]:
    """The books without the windows that are over for everybody: refilling is forgetting them."""
    return {window: book for window, book in books.items() if (window + 1) * WINDOW_MS + SKEW_MS > now_ms}


def windows(now_ms: int, until_ms: int) -> Iterator[int]:
    """The windows that begin before `until_ms`, the present one first."""
    yield from range(now_ms // WINDOW_MS, max(now_ms // WINDOW_MS + 1, math.ceil(until_ms / WINDOW_MS)))


def first_free_ms(books: Books, *, limit: float, now_ms: int, longest_ms: int, share: Share = WHOLE) -> int:
    """When a window with a free token begins, at most `longest_ms` from now."""
    for window in windows(now_ms, now_ms + longest_ms):
        if _take(books.get(window, Book()), window, limit=limit, now_ms=now_ms, most=1, share=share)[1]:
            return max(now_ms, window * WINDOW_MS)
    return now_ms + longest_ms


def _take(
    book: Book, window: int, *, limit: float, now_ms: int, most: int, share: Share
) -> tuple[Book, tuple[int, ...]]:
    """Take up to `most` numbers, those that came back first. What its moment has passed is gone for everybody."""
    end = share.part_of(quota(window + share.shift, limit))
    room = min(most, end - book.given + len(book.back))  # the quota may have gone down since some were given
    if room <= 0:
        return book, ()
    has_begun = now_ms > window * WINDOW_MS
    taken, back, given = list[int](), list[int](), book.given
    for local in (*book.back, *range(book.given, end)):
        if len(taken) == room:
            if local >= book.given:
                break
            back.append(local)
            continue
        given = max(given, local + 1)
        number = share.number(local)
        if local < end and (not has_begun or moment_ms(window, number, limit, shift=share.shift) >= now_ms):
            taken.append(number)
    return Book(given, tuple(back)), tuple(taken)


def _runs(numbers: Iterable[int]) -> list[list[int]]:
    """Ascending numbers as runs: first, and the one behind the last."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number:
            runs[-1][1] += 1
        else:
            runs.append([number, number + 1])
    return runs


@lru_cache(maxsize=32)
def _places(count: int) -> tuple[int, ...]:
    """The place in time of each of a window's numbers: as multiples of the golden ratio are placed within one."""
    order = sorted(range(count), key=lambda number: number * GOLDEN % 1)
    places = [0] * count
    for place, number in enumerate(order):
        places[number] = place
    return tuple(places)
