from worker_fn.limits.flow import FAULTS, GOOD, Flow
from worker_fn.limits.tally import Tally


def test_counts_are_about_the_limit_that_is_known() -> None:
    """Push-backs are counted under its generation; what is nothing is not counted."""
    assert Tally(delivered=2, took_ms=9).counts(Flow()) == {"td": 2, "tm": 9}
    assert Tally(refused=1).counts(Flow(generation=3)) == {"p3": 1}


def test_what_arrives_after_a_fault_is_counted_apart() -> None:
    """A refusal, too: the partner is there."""
    failing = Flow(counts={FAULTS: 1})
    assert Tally(delivered=2, refused=1).counts(failing)[GOOD] == 3
    assert GOOD not in Tally(delivered=2, faults=1).counts(Flow())


def test_what_everybody_should_know_at_once() -> None:
    """A cool-down, and whatever the probe came to."""
    assert [one.is_for_all for one in (Tally(cool_until_ms=1), Tally(probe=False), Tally(faults=1))] == [
        True,
        True,
        False,
    ]
