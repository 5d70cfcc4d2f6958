"""What refused credentials mean for the messages of a batch."""

from typing import Any

import pytest

from tests.unit.worker_fn.keyed import (
    Keyed,
    keyed_fleet,
    later,
    request,
    suspend_old,
)
from worker_fn.batch.memory import MIB, Room


@pytest.fixture
def fleet(make_fleet: Any) -> Any:
    return keyed_fleet(make_fleet)


def test_key_is_looked_up_in_the_round_that_maps_its_message(fleet: Any) -> None:
    """However little room there is, no message with the old key is called, and all with the new key are delivered."""
    suspend_old(fleet)
    later(fleet, 10)
    fleet.run(request(19, "401", "old"), worker=fleet.another())  # the second look
    calls = len(fleet.api.calls)
    mixed = [request(n, "200" if n % 2 else "401", "new" if n % 2 else "old") for n in range(30, 40)]
    report = fleet.run(*mixed, worker=fleet.another(room=Room(batch=2_000, message=MIB)))
    assert (report.delivered, report.parked) == (5, 5)
    assert len(fleet.api.calls) == calls + 5


def test_message_that_is_parked_in_a_later_round_makes_room(fleet: Any) -> None:
    """After a round of which nothing was sent, further rounds follow."""
    suspend_old(fleet)
    later(fleet, 10)
    fleet.run(request(19, "401", "old"), worker=fleet.another())
    batch = [request(20, "200", "new"), *(request(n, "401", "old") for n in range(21, 25)), request(25, "200", "new")]
    report = fleet.run(*batch, worker=fleet.another(room=Room(batch=2_000, message=MIB)))
    assert (report.delivered, report.parked, report.waiting) == (2, 4, 0)


def test_fifo_queue_lets_nothing_pass_a_probe_of_its_group(make_fleet: Any) -> None:
    """A probe that waits for its turn holds up all later messages of its user, whatever their credentials, in this
    round and the next.
    """
    fleet = make_fleet(Keyed(), in_groups=True)
    fleet.run(request(1, "401", "old", group="7/1"))
    later(fleet, 10)
    for room in (fleet.worker.room, Room(batch=2_000, message=MIB)):
        old = request(1, "401", "old", receives=2, group="7/1")
        behind = request(2, "200", "new", group="7/1")
        beside = request(3, "200", "new", group="7/2")
        report = fleet.run(old, behind, beside, worker=fleet.another(room=room))
        assert (report.delivered, report.failures) == (1, ["m-1", "m-2"])


def test_a_probe_that_waits_holds_up_nobody_on_a_standard_queue(fleet: Any) -> None:
    """What is behind it in the batch, of another account or with another key, is sent."""
    fleet.run(request(1, "401", "old"))
    later(fleet, 10)
    behind = [request(2, "200", "new"), request(3, "200", "old", account=8)]
    report = fleet.run(request(1, "401", "old", receives=2), *behind, worker=fleet.another())
    assert (report.delivered, report.failures) == (2, ["m-1"])


def test_fifo_queue_parks_what_is_behind_a_probe_and_carries_the_same(make_fleet: Any) -> None:
    """It passes nobody there, and takes no place among what is in flight."""
    fleet = make_fleet(Keyed(), in_groups=True)
    fleet.run(request(1, "401", "old", group="7/1"))
    later(fleet, 10)
    both = [request(n, "401", "old", receives=2, group="7/1") for n in (1, 2)]
    report = fleet.run(*both, worker=fleet.another())
    assert (report.failures, fleet.queue.parked) == (["m-1"], ["m-2"])


def test_fifo_queue_lets_the_new_key_pass(make_fleet: Any) -> None:
    """The order holds for messages of one user; another user's new key does not wait for an old one."""
    fleet = make_fleet(Keyed(), in_groups=True)
    fleet.run(*(request(n, "401", "old", group=f"7/{n % 2}") for n in range(4)))
    report = fleet.run(request(10, "200", "new", group="7/5"), worker=fleet.another())
    assert report.delivered == 1
