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
