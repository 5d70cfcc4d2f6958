from worker_fn import flow as flows
from worker_fn.adaptive import Bounds
from worker_fn.flow import Ask, Flow, Tally

NOW = 1_790_000_000_000


def test_report_before_any_lease_leaves_the_declared_rate_in_force() -> None:
    """A declared rate is known from the first write on, whichever write that is."""
    bounds = Bounds(highest=5.0)
    told = flows.report(Flow(), Tally(refused=1), bounds, now_ms=NOW)
    _, permit = flows.lease(told, Ask(now_ms=NOW, until_ms=NOW + 3_000, wanted=60, most_a_window=60), bounds)
    assert permit.tokens is not None
    assert sum(map(len, permit.tokens.values())) <= 15


def test_messages_are_booked_by_the_call_that_takes_them() -> None:
    """Where a call takes ten messages, ten have the time of one; no more may wait than of single calls."""
    bounds = Bounds(highest=2.0)
    _, times_ms = flows.book(Flow(), bounds, count=30, per_call=10, now_ms=NOW)
    assert [time_ms - NOW for time_ms in times_ms[9::10]] == [500, 1_000, 1_500]
    _, times_ms = flows.book(Flow(), bounds, count=5_000, per_call=100, now_ms=NOW)
    assert len(times_ms) == flows.MOST_IN_LINE
