from dataclasses import replace

import pytest

from worker_fn import flow as flows
from worker_fn.adaptive import Bounds
from worker_fn.flow import Ask, AtShare, Flow, Leased, Tally
from worker_fn.rate import WINDOW_MS

NOW = 1_790_000_000_000


def test_report_before_any_lease_leaves_the_declared_rate_in_force() -> None:
    """A declared rate is known from the first write on, whichever write that is."""
    bounds = Bounds(highest=5.0)
    told = flows.report(Flow(), Tally(refused=1), bounds, now_ms=NOW)
    _, permit = flows.lease(told, Ask(now_ms=NOW, until_ms=NOW + 3_000, wanted=60, most_a_window=60), bounds)
    assert isinstance(permit, Leased)
    assert sum(map(len, permit.tokens.values())) <= 15


def test_messages_are_booked_by_the_call_that_takes_them() -> None:
    """Where a call takes ten messages, ten have the time of one; no more may wait than of single calls."""
    bounds = Bounds(highest=2.0)
    _, times_ms = flows.book(Flow(), bounds, count=30, per_call=10, now_ms=NOW)
    assert [time_ms - NOW for time_ms in times_ms[9::10]] == [500, 1_000, 1_500]
    _, times_ms = flows.book(Flow(), bounds, count=5_000, per_call=100, now_ms=NOW)
    assert len(times_ms) == flows.MOST_IN_LINE


@pytest.mark.parametrize("ahead_ms", [0, 1, 400, 999])
@pytest.mark.parametrize("by_lease", [True, False])
def test_time_of_shares_ends_with_a_window(ahead_ms: int, by_lease: bool) -> None:
    """A worker has its share of a whole window at once: the common books begin with the next one."""
    bounds, now_ms = Bounds(highest=5.0), NOW + flows.SILENCE_MS + ahead_ms
    silent = flows.report(Flow(), Tally(delivered=1), bounds, now_ms=NOW - 1)
    ask = Ask(now_ms=now_ms, until_ms=now_ms + 3_000, wanted=1, most_a_window=1)
    after, permit = flows.lease(silent, ask, bounds)
    if by_lease:
        assert permit == AtShare(5.0)
    else:
        after = flows.report(silent, Tally(delivered=1), bounds, now_ms=now_ms)
    assert after.share_until_ms % WINDOW_MS == 0
    assert now_ms + flows.RETURN_MS <= after.share_until_ms < now_ms + flows.RETURN_MS + WINDOW_MS
    late = replace(ask, now_ms=after.share_until_ms, until_ms=after.share_until_ms + 1_000)
    assert isinstance(flows.lease(replace(after, delivered_ms=now_ms), late, bounds)[1], Leased)
