from collections import Counter
from itertools import pairwise

import pytest

from worker_fn.limits.windows import (
    HEADROOM,
    USABLE_MS,
    WINDOW_MS,
    Book,
    Books,
    Share,
    first_free_ms,
    free,
    give_back,
    lease,
    moment_ms,
    quota,
)

NOW = 1_700_000_000_000
WINDOW = NOW // WINDOW_MS


@pytest.mark.parametrize("limit", [0.1, 1.0, 2.25, 50.0, 333.3])
def test_quotas_add_up_to_the_rate(limit: float) -> None:
    """Over many seconds the quotas are the limit less the headroom, whole calls each, fractions included."""
    total = sum(quota(window, limit) for window in range(WINDOW, WINDOW + 10_000))
    assert abs(total - 10_000 * limit * HEADROOM) <= 1


def test_lease_spreads_over_windows_by_what_the_worker_can_use() -> None:
    """A worker that can make ten calls a second gets no more of any second, and leaves the rest to others."""
    books, tokens = lease({}, limit=50, now_ms=NOW, until_ms=NOW + 10_000, wanted=35, most_a_window=10)
    assert [len(numbers) for numbers in tokens.values()] == [10, 10, 10, 5]
    assert [book.given for book in books.values()] == [10, 10, 10, 5]


def test_each_number_of_a_window_is_given_once() -> None:
    """What others hold is not given again, and all of it is given in the end."""
    books: Books = {}
    given: Counter[tuple[int, int]] = Counter()
    for _ in range(30):
        books, tokens = lease(books, limit=50, now_ms=NOW, until_ms=NOW + 3_000, wanted=100, most_a_window=7)
        given.update((window, number) for window, numbers in tokens.items() for number in numbers)
    assert set(given.values()) == {1}
    assert len(given) == sum(quota(window, 50) for window in range(WINDOW, WINDOW + 3))


@pytest.mark.parametrize("limit", [1.5, 7, 50, 333.3, 5_000])
def test_moments_of_a_window_are_evenly_spread(limit: float) -> None:
    """Whoever holds them, two neighbours are one step apart, within the usable part of the window."""
    count = quota(WINDOW, limit)
    moments = sorted(moment_ms(WINDOW, number, limit) for number in range(count))
    steps = [later - earlier for earlier, later in pairwise(moments)]
    assert all(abs(step - USABLE_MS / count) <= 1 for step in steps)
    assert moments[0] >= WINDOW * WINDOW_MS
    assert moments[-1] < WINDOW * WINDOW_MS + USABLE_MS


def test_what_one_lease_takes_of_a_window_is_spread_over_it() -> None:
    """Ten calls of fifty do not start next to each other."""
    _, tokens = lease({}, limit=50, now_ms=NOW, until_ms=NOW + 1_000, wanted=10, most_a_window=10)
    moments = sorted(moment_ms(WINDOW, number, 50) for number in tokens[WINDOW])
    steps = [later - earlier for earlier, later in pairwise(moments)]
    assert min(steps) >= 0.5 * USABLE_MS / 10
    assert max(steps) <= 2 * USABLE_MS / 10


def test_late_in_a_window_only_its_rest_is_given() -> None:
    """At three quarters of a second those are left whose moment is still to come."""
    _, tokens = lease({}, limit=100, now_ms=NOW + 750, until_ms=NOW + 900, wanted=100, most_a_window=100)
    assert 22 <= len(tokens[WINDOW]) <= 23
    assert all(moment_ms(WINDOW, number, 100) >= NOW + 750 for number in tokens[WINDOW])


def test_late_in_a_window_its_rest_is_given_once() -> None:
    """Workers that start together late in a second share what is left of it: none brings a rest of its own."""
    books: Books = {}
    given = 0
    for late_ms in (600, 620, 650, 700, 900):
        books, tokens = lease(
            books, limit=50, now_ms=NOW + late_ms, until_ms=NOW + 1_000, wanted=100, most_a_window=100
        )
        given += sum(map(len, tokens.values()))
    assert 18 <= given <= 19


def test_nothing_is_given_beyond_the_time_that_is_left() -> None:
    """Tokens that the worker could not use any more are not taken from the others."""
    _, tokens = lease({}, limit=10, now_ms=NOW, until_ms=NOW + 2_500, wanted=100, most_a_window=100)
    assert max(tokens) == WINDOW + 2


def test_unused_tokens_go_back_unless_their_window_has_begun() -> None:
    """Tokens of windows to come are free again, the same ones; those of the present one are gone."""
    books = {WINDOW: Book(10), WINDOW + 1: Book(10), WINDOW + 2: Book(4)}
    unused = {WINDOW: (1, 2), WINDOW + 1: (3, 4, 9), WINDOW + 2: (0, 1, 2, 3)}
    left = give_back(books, unused, now_ms=NOW)
    assert left == {WINDOW: Book(10), WINDOW + 1: Book(9, (3, 4))}
    _, tokens = lease(left, limit=50, now_ms=NOW + 999, until_ms=NOW + 2_000, wanted=4, most_a_window=4)
    assert tokens[WINDOW + 1] == (3, 4, 9, 10)


def test_what_nobody_holds_does_not_come_back_twice() -> None:
    """A token that is reported unused twice, or was never given, adds nothing."""
    books = {WINDOW + 1: Book(10)}
    once = give_back(books, {WINDOW + 1: (3, 12)}, now_ms=NOW)
    assert give_back(once, {WINDOW + 1: (3,)}, now_ms=NOW) == once == {WINDOW + 1: Book(10, (3,))}


def test_a_lower_limit_counts_what_was_given_under_the_higher_one() -> None:
    """A window of which more is out than the new quota gives nothing, also not what came back."""
    books = {WINDOW + 1: Book(48, (1, 2))}
    assert free(books, WINDOW + 1, limit=40, now_ms=NOW) == 0
    assert free({WINDOW + 1: Book(30, (1, 2))}, WINDOW + 1, limit=40, now_ms=NOW) == quota(WINDOW + 1, 40) - 28


def test_books_survive_the_table() -> None:
    """Runs of what came back are written as their ends."""
    book = Book(48, (1, 2, 3, 9))
    assert book.to_item() == [48, [1, 4], [9, 10]]
    assert Book.from_item(book.to_item()) == book


@pytest.mark.parametrize("limit", [3.0, 50.0])
def test_shares_are_the_whole_and_nothing_twice(limit: float) -> None:
    """Four books that each keep every fourth number give the window once, as one book would."""
    numbers: list[int] = []
    for index in range(4):
        _, tokens = lease(
            {},
            limit=limit,
            now_ms=NOW,
            until_ms=NOW + 1_000,
            wanted=1_000,
            most_a_window=1_000,
            share=Share(4, index),
        )
        numbers += tokens.get(WINDOW, ())
    assert sorted(numbers) == list(range(quota(WINDOW, limit)))


def test_shares_of_workers_that_are_alone_do_not_fall_together() -> None:
    """Ten workers with seven tenths of a call a second each: their whole calls are spread over the seconds."""
    shares = [Share(shift=shift) for shift in range(10)]
    seconds = [
        sum(free({}, window, limit=0.7 / HEADROOM, now_ms=NOW - 1_000, share=share) for share in shares)
        for window in range(WINDOW, WINDOW + 50)
    ]
    assert max(seconds) <= 8
    assert sum(seconds) == 350


def test_past_windows_are_forgotten() -> None:
    """The books do not grow; windows that are over for us but not yet for a slower clock are kept."""
    books = {1: Book(5), 2: Book(5), WINDOW - 1: Book(7)}
    left, _ = lease(books, limit=10, now_ms=NOW, until_ms=NOW + 1_000, wanted=1, most_a_window=5)
    assert set(left) == {WINDOW - 1, WINDOW}


def test_first_free_window_is_found() -> None:
    """A full line says when there is room again."""
    full = {WINDOW: Book(100), WINDOW + 1: Book(100)}
    assert first_free_ms(full, limit=50, now_ms=NOW, longest_ms=60_000) == (WINDOW + 2) * WINDOW_MS
    assert first_free_ms({}, limit=50, now_ms=NOW, longest_ms=60_000) == NOW


def test_what_is_left_of_a_window_is_not_free_twice() -> None:
    """With the rest of the present second leased, the next one is the first to ask for."""
    late_ms = NOW + 600
    books, _ = lease({}, limit=50, now_ms=late_ms, until_ms=NOW + 1_000, wanted=100, most_a_window=100)
    assert first_free_ms(books, limit=50, now_ms=late_ms + 1, longest_ms=60_000) == (WINDOW + 1) * WINDOW_MS
