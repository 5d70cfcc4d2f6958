from collections import Counter
from itertools import pairwise

import pytest

from worker_fn.limits.windows import (
    HEADROOM,
    LEASE_AHEAD_MS,
    SKEW_MS,
    USABLE_MS,
    WINDOW_MS,
    first_free_ms,
    moment_ms,
    name_of,
    numbers,
    over,
    plan,
    quota,
    share_taken,
)

NOW = 1_700_000_000_000
WINDOW = NOW // WINDOW_MS


def given(**windows: int) -> dict[str, int]:
    """The known counts of the seconds from now on: `w0`, `w1`, ..."""
    return {name_of(WINDOW + int(name[1:])): count for name, count in windows.items()}


@pytest.mark.parametrize("limit", [0.1, 1.0, 2.25, 50.0, 333.3])
def test_quotas_add_up_to_the_rate(limit: float) -> None:
    """Over many seconds the quotas are the limit less the headroom, whole calls each, fractions included."""
    total = sum(quota(window, limit) for window in range(WINDOW, WINDOW + 10_000))
    assert abs(total - 10_000 * limit * HEADROOM) <= 1


@pytest.mark.parametrize("limit", [1.5, 7, 50, 333.3, 5_000])
def test_moments_of_a_window_are_evenly_spread(limit: float) -> None:
    """Neighbouring moments are one step apart within the usable part of the window, whoever holds them."""
    count = quota(WINDOW, limit)
    moments = sorted(moment_ms(WINDOW, number, limit) for number in range(count))
    steps = [later - earlier for earlier, later in pairwise(moments)]
    assert all(abs(step - USABLE_MS / count) <= 1 for step in steps)
    assert moments[0] >= WINDOW * WINDOW_MS
    assert moments[-1] < WINDOW * WINDOW_MS + USABLE_MS


@pytest.mark.parametrize(("first", "least"), [(0, 0.5), (7, 0.4), (30, 0.4)])
def test_what_one_lease_takes_of_a_window_is_spread_over_it(first: int, least: float) -> None:
    """The ten calls of one lease, of fifty, do not start next to each other, whichever numbers they have."""
    moments = sorted(moment_ms(WINDOW, number, 50) for number in range(first, first + 10))
    steps = [later - earlier for earlier, later in pairwise(moments)]
    assert min(steps) >= least * USABLE_MS / 10
    assert max(steps) <= 2 * USABLE_MS / 10


def test_a_plan_spreads_over_windows_by_what_the_worker_can_use() -> None:
    """A worker that can make ten calls a second asks for at most ten of each second."""
    asked = plan({}, limit=50, now_ms=NOW, until_ms=NOW + 10_000, wanted=35, most_a_window=10)
    assert asked == {WINDOW: 10, WINDOW + 1: 10, WINDOW + 2: 10, WINDOW + 3: 5}


def test_a_share_of_a_window_is_asked_for_as_a_whole() -> None:
    """A worker asks for several calls of one second at once, the first of which come soon, and some of which remain for
    later.
    """
    asked = plan({}, limit=50, now_ms=NOW, until_ms=NOW + 9_000, wanted=23, most_a_window=99, least_a_window=20)
    assert asked == {WINDOW: 23}
    asked = plan(
        given(w0=10), limit=50, now_ms=NOW, until_ms=NOW + 9_000, wanted=3, most_a_window=99, least_a_window=20
    )
    assert asked == {WINDOW: 20}
    asked = plan(
        given(w0=40), limit=50, now_ms=NOW, until_ms=NOW + 9_000, wanted=3, most_a_window=99, least_a_window=20
    )
    assert asked == {WINDOW: quota(WINDOW, 50) - 40}


def test_what_is_given_away_is_not_asked_for() -> None:
    """A plan begins with the first second that has calls left, and asks for no more than are left."""
    asked = plan(given(w0=60, w1=47), limit=50, now_ms=NOW, until_ms=NOW + 3_000, wanted=35, most_a_window=99)
    assert WINDOW not in asked
    assert asked[WINDOW + 1] == quota(WINDOW + 1, 50) - 47


def test_late_in_a_window_those_are_asked_for_whose_moment_is_to_come() -> None:
    """Late in a second more numbers are asked for, so that enough of them are still ahead; at its end none is."""
    asked = plan({}, limit=100, now_ms=NOW + 750, until_ms=NOW + 900, wanted=10, most_a_window=100)
    assert asked == {WINDOW: 40}
    assert 9 <= sum(moment_ms(WINDOW, number, 100) >= NOW + 750 for number in range(40)) <= 11
    assert not plan({}, limit=100, now_ms=NOW + 950, until_ms=NOW + 990, wanted=10, most_a_window=100)


def test_nothing_is_asked_for_beyond_the_time_that_is_left() -> None:
    """A worker does not ask for seconds in which it has no time left."""
    asked = plan({}, limit=10, now_ms=NOW, until_ms=NOW + 2_500, wanted=100, most_a_window=100)
    assert max(asked) == WINDOW + 2


def test_what_a_counter_shows_says_whose_the_numbers_are() -> None:
    """The worker that adds to a counter has the numbers up to the new count."""
    assert list(numbers(given(w0=12, w1=2), {WINDOW: 3, WINDOW + 1: 2})) == [
        (WINDOW, 9),
        (WINDOW, 10),
        (WINDOW, 11),
        (WINDOW + 1, 0),
        (WINDOW + 1, 1),
    ]


def test_shares_of_workers_that_are_alone_do_not_fall_together() -> None:
    """Ten workers with 0.7 calls a second each make their whole calls in different seconds."""
    seconds = [
        sum(quota(window + shift, 0.7 / HEADROOM) for shift in range(10)) for window in range(WINDOW, WINDOW + 50)
    ]
    assert max(seconds) <= 8
    assert sum(seconds) == 350


def test_past_windows_are_forgotten() -> None:
    """Counters of past seconds are removed, but not of those that are still present by a slower clock."""
    kept = given(w0=7) | {name_of(WINDOW - SKEW_MS // WINDOW_MS): 5, "td": 3}
    assert over(kept, NOW) == []
    gone = {name_of(1): 5, name_of(WINDOW - SKEW_MS // WINDOW_MS - 1): 5}
    assert sorted(over(kept | gone, NOW)) == sorted(gone)


def test_first_free_window_is_found() -> None:
    """A full line says when the next second with calls left begins; the present one is nearly over."""
    full = given(w0=100, w1=100)
    assert first_free_ms(full, limit=50, now_ms=NOW) == (WINDOW + 2) * WINDOW_MS
    assert first_free_ms({}, limit=50, now_ms=NOW + 600) == (WINDOW + 1) * WINDOW_MS


def test_names_are_short_and_distinct() -> None:
    """The names of all counters in an item are short, because an item of over 1 KB costs two writes."""
    seconds = range(WINDOW - SKEW_MS // WINDOW_MS, WINDOW + LEASE_AHEAD_MS // WINDOW_MS + 1)
    names = Counter(map(name_of, seconds))
    assert set(names.values()) == {1}
    assert sum(map(len, names)) <= 7 * len(seconds)


def test_the_share_that_was_taken_is_of_the_last_whole_seconds() -> None:
    """The share covers the last nine whole seconds; the present second is not over, and calls that were asked for in
    vain do not count.
    """
    limit = 50.0
    lately = range(WINDOW - 9, WINDOW)
    whole = {name_of(window): quota(window, limit) for window in lately}
    assert share_taken(whole, limit=limit, now_ms=NOW + 500) == 1
    assert share_taken({name: count * 3 for name, count in whole.items()}, limit=limit, now_ms=NOW) == 1
    half = {name_of(window): quota(window, limit) // 2 for window in lately}
    assert share_taken(half, limit=limit, now_ms=NOW) == pytest.approx(0.5, abs=0.02)
    around = {name_of(window): 40 for window in (WINDOW - 10, WINDOW, WINDOW + 1)}
    assert share_taken(around, limit=limit, now_ms=NOW) == 0
    assert share_taken({}, limit=limit, now_ms=NOW) == 0


def test_a_rate_below_one_call_in_nine_seconds_has_no_share() -> None:
    """If no call was allowed in that time, there is no share."""
    assert share_taken({}, limit=0.001, now_ms=NOW) == 0
