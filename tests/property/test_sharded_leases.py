"""Several books of one rate, and changes of their number, under workers that know of them late."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from worker_fn.limits import sharding
from worker_fn.limits import windows as rate
from worker_fn.limits.sharding import LEASE_AHEAD_MS, STEP_MS, Sharding
from worker_fn.limits.windows import Books, Share

START_MS = 1_790_000_000_000
STALE_MS = 5_000
"""How old a worker's knowledge can be: it looks once a second, and does not lease when it can not."""

steps = st.lists(
    st.tuples(
        st.integers(50, 6_000),  # ms that pass
        st.integers(0, 15),  # whose turn: which branch
        st.integers(0, STALE_MS),  # how old the worker's knowledge is
        st.integers(1, 120),  # calls that are wanted
        st.sampled_from([0, 0, 120, 600, 2_000]),  # races that were lost
    ),
    min_size=10,
    max_size=120,
)


@settings(max_examples=200, deadline=None)
@given(steps, st.sampled_from([3.0, 50.0, 400.0]), st.sampled_from([1, 4]))
def test_no_moment_is_given_twice(steps: list[tuple[int, int, int, int, int]], limit: float, least: int) -> None:
    """Whatever number of books is in force when, each call of each second is leased once, and none beyond the quota."""
    now_ms = START_MS
    history = [(0, sharding.step(Sharding(), now_ms=now_ms, least=least, nothing_leased=True))]
    books: dict[tuple[int, int], Books] = defaultdict(dict)
    taken: dict[int, set[int]] = defaultdict(set)
    for passed_ms, turn, stale_ms, wanted, lost in steps:
        now_ms += passed_ms
        present = sharding.add(history[-1][1], lost)
        history.append((now_ms, sharding.step(present, now_ms=now_ms, least=least, nothing_leased=False)))
        known = next(one for since_ms, one in reversed(history) if since_ms <= max(0, now_ms - stale_ms))
        count = known.at(now_ms)
        share = Share(count, turn % count)
        books[count, share.index], tokens = rate.lease(
            books[count, share.index],
            limit=limit,
            now_ms=now_ms,
            until_ms=known.until_ms(now_ms + LEASE_AHEAD_MS, now_ms=now_ms),
            wanted=wanted,
            most_a_window=60,
            share=share,
        )
        for window, numbers in tokens.items():
            assert not taken[window] & set(numbers)
            taken[window] |= set(numbers)
            assert len(taken[window]) <= rate.quota(window, limit)


def test_the_changes_are_many() -> None:
    """The property above is about something: such races do change the number of books."""
    hot = sharding.add(Sharding(since_ms=START_MS), 600)
    assert sharding.step(hot, now_ms=START_MS + STEP_MS, least=1, nothing_leased=False).count > 1
