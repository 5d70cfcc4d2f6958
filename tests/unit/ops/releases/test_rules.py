import pytest

from ops.releases.pair import Pair
from ops.releases.rules import Messages, refusal, worker_first

# Release 1 writes 1; release 2 writes 2 and reads what it finds; release 3 has a worker that forgot version 1.
MESSAGES = Messages(writes={1: 1, 2: 2, 3: 2}, reads={1: (1,), 2: (1, 2), 3: (2,)})


def test_the_next_release_may_follow() -> None:
    """Its worker reads what the one before wrote."""
    assert refusal(MESSAGES, Pair(1, 1), Pair(2, 2), [1]) is None


def test_going_back_across_a_new_form_is_refused_and_says_what_may() -> None:
    """The old worker cannot read what is on the queue; the old ingest with the new worker can go."""
    said = refusal(MESSAGES, Pair(2, 2), Pair(1, 1), [2, 1])
    assert said == (
        "worker 1 reads message version 1 alone, and the queue may hold messages of version 2, written by ingest 2:"
        " they would be dead-lettered as undecodable. Take ingest alone: spillway promote --to ingest=1,worker=2"
    )
    assert refusal(MESSAGES, Pair(2, 2), Pair(1, 2), [2, 1]) is None


def test_messages_of_the_past_count() -> None:
    """A worker that cannot read what an earlier ingest wrote is refused as long as that may be on the queue."""
    assert "version 1, written by ingest 1" in (refusal(MESSAGES, Pair(2, 2), Pair(3, 3), [2, 1]) or "")
    assert refusal(MESSAGES, Pair(2, 2), Pair(3, 3), [2]) is None
    assert refusal(MESSAGES, Pair(2, 2), Pair(3, 3), [2, 99]) is None, "a version that was pruned is not known"


def test_two_that_do_not_fit_are_refused() -> None:
    """A worker must read what the ingest beside it will write."""
    said = refusal(MESSAGES, Pair(1, 1), Pair(2, 1), [1])
    assert said is not None
    assert "worker 1 reads message version 1 alone, and ingest 2 would write version 2" in said


@pytest.mark.parametrize(
    ("live", "target", "first"),
    [
        (Pair(1, 1), Pair(2, 2), True),
        (Pair(2, 2), Pair(3, 3), True),
        (Pair(3, 3), Pair(2, 2), False),
        (Pair(2, 2), Pair(1, 2), False),
        # The live worker cannot read what the older ingest writes.
        (Pair(3, 3), Pair(1, 2), True),
    ],
)
def test_the_worker_goes_first_forward_and_last_backward(live: Pair, target: Pair, first: bool) -> None:
    """Between the two moves the worker reads what ingest writes."""
    assert worker_first(MESSAGES, live, target) is first
    assert MESSAGES.fit(Pair(live.ingest, target.worker) if first else Pair(target.ingest, live.worker))
