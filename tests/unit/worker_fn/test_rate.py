import pytest

from worker_fn.rate import HEADROOM, WINDOW_MS, first_free_ms, give_back, lease, quota

NOW = 1_700_000_000_000


@pytest.mark.parametrize("limit", [0.1, 1.0, 2.25, 50.0, 333.3])
def test_quotas_add_up_to_the_rate(limit: float) -> None:
    """Over many seconds the quotas are the limit less the headroom, whole calls each, fractions included."""
    first = NOW // WINDOW_MS
    total = sum(quota(window, limit) for window in range(first, first + 10_000))
    assert abs(total - 10_000 * limit * HEADROOM) <= 1


def test_lease_spreads_over_windows_by_what_the_worker_can_use() -> None:
    """A worker that can make ten calls a second gets no more of any second, and leaves the rest to others."""
    books, tokens = lease({}, limit=50, now_ms=NOW, until_ms=NOW + 10_000, wanted=35, most_a_window=10)
    assert list(tokens.values()) == [10, 10, 10, 5]
    assert books == tokens


def test_no_window_is_leased_beyond_its_quota() -> None:
    """What others hold is not given again."""
    books: dict[int, int] = {}
    for _ in range(20):
        books, _ = lease(books, limit=50, now_ms=NOW, until_ms=NOW + 3_000, wanted=100, most_a_window=7)
    assert all(count <= quota(window, 50) for window, count in books.items())


def test_late_in_a_window_only_its_rest_is_given() -> None:
    """At three quarters of a second a quarter of its calls is left, so that they do not crowd at its end."""
    _, tokens = lease({}, limit=100, now_ms=NOW + 750, until_ms=NOW + 900, wanted=100, most_a_window=100)
    assert tokens == {NOW // WINDOW_MS: 23}


def test_late_in_a_window_its_rest_is_given_once() -> None:
    """Workers that start together late in a second share what is left of it: none brings a rest of its own."""
    books: dict[int, int] = {}
    for late_ms in (600, 620, 650, 700, 900):
        books, _ = lease(books, limit=50, now_ms=NOW + late_ms, until_ms=NOW + 1_000, wanted=100, most_a_window=100)
    assert books == {NOW // WINDOW_MS: 19}


def test_nothing_is_given_beyond_the_time_that_is_left() -> None:
    """Tokens that the worker could not use any more are not taken from the others."""
    _, tokens = lease({}, limit=10, now_ms=NOW, until_ms=NOW + 2_500, wanted=100, most_a_window=100)
    assert max(tokens) == NOW // WINDOW_MS + 2


def test_unused_tokens_go_back_unless_their_window_has_begun() -> None:
    """Tokens of windows to come are free again; those of the present one are gone."""
    window = NOW // WINDOW_MS
    books = give_back(
        {window: 10, window + 1: 10, window + 2: 4}, {window: 5, window + 1: 5, window + 2: 4}, now_ms=NOW
    )
    assert books == {window: 10, window + 1: 5}


def test_past_windows_are_forgotten() -> None:
    """The books do not grow; windows that are over for us but not yet for a slower clock are kept."""
    just_over = NOW // WINDOW_MS - 1
    books, _ = lease({1: 5, 2: 5, just_over: 7}, limit=10, now_ms=NOW, until_ms=NOW + 1_000, wanted=1, most_a_window=5)
    assert set(books) == {just_over, NOW // WINDOW_MS}


def test_first_free_window_is_found() -> None:
    """A full line says when there is room again."""
    window = NOW // WINDOW_MS
    full = {window: 100, window + 1: 100}
    assert first_free_ms(full, limit=50, now_ms=NOW, longest_ms=60_000) == (window + 2) * WINDOW_MS
    assert first_free_ms({}, limit=50, now_ms=NOW, longest_ms=60_000) == NOW


def test_what_is_left_of_a_window_is_not_free_twice() -> None:
    """With the rest of the present second leased, the next one is the first to ask for."""
    window = NOW // WINDOW_MS
    late_ms = NOW + 600
    books, _ = lease({}, limit=50, now_ms=late_ms, until_ms=NOW + 1_000, wanted=100, most_a_window=100)
    assert first_free_ms(books, limit=50, now_ms=late_ms + 1, longest_ms=60_000) == (window + 1) * WINDOW_MS
