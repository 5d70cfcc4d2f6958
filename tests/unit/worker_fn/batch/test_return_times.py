"""When messages that wait for their account come back, and what is parked."""

import asyncio
from typing import Any

import pytest

from partners import Bulk, Rate
from shared.message import ERASURE
from tests.unit.worker_fn.acme import Acme, scripted
from worker_fn.batch.disposition import Parked, Waiting, Whose
from worker_fn.batch.return_times import reserve_return_times, room_for
from worker_fn.batch.settle import Settled
from worker_fn.limits.agreement import MOST_IN_LINE


@pytest.fixture
def deliver(make_fleet: Any) -> Any:
    return scripted(make_fleet)


def test_messages_beyond_an_endpoints_rate_come_back_by_the_call(deliver: Any) -> None:
    """As many messages are given one time to come back as one bulk call takes."""
    fleet = deliver(Acme({"bulk": Bulk(4, rate=Rate(1, 10))}, in_order=False), max_in_flight=20)
    report = fleet.run(*(fleet.record(n, ["bulk"]) for n in range(13)))
    waits = sorted(fleet.queue.hidden[f"h-{failure[2:]}"] for failure in report.failures)
    assert report.delivered + len(waits) == 13
    assert len(waits) >= 8
    assert waits[7] - waits[3] == pytest.approx(10, abs=1)
    assert waits[-1] <= 40


def waiting(count: int, whose: Whose = Whose.ACCOUNT_FAILURE, kind: str = "event_processing_request") -> list[Settled]:
    return [Settled({}, Waiting(9, "x", whose), {"account_id": "7", "type": kind})] * count


def reserved(fleet: Any, settled: list[Settled]) -> list[Settled]:
    return asyncio.run(reserve_return_times(settled, fleet.worker))


@pytest.mark.parametrize(("in_groups", "parked"), [(False, 50), (True, 0)])
def test_what_is_too_many_of_an_account_is_parked(in_groups: bool, parked: int, make_fleet: Any) -> None:
    """A thousand may wait by visibility; a FIFO queue parks nothing, for its order has to hold."""
    fleet = make_fleet("echo", in_groups=in_groups)
    ends = [one.end for one in reserved(fleet, waiting(MOST_IN_LINE + 50))]
    assert ends.count(Parked()) == parked
    assert bool(fleet.state.items.get(("partner", "sweep"))) is bool(parked)


def test_erasures_are_not_parked_where_no_time_is_left(fleet: Any) -> None:
    """They are few, and wait no longer than they must."""
    ends = [one.end for one in reserved(fleet, waiting(MOST_IN_LINE) + waiting(5, kind=ERASURE))]
    assert Parked() not in ends


def test_what_nobody_can_be_told_of_is_not_parked(fleet: Any) -> None:
    """With the state table down there is no sweep to expect: messages come back when they would have."""
    fleet.state.down = True
    settled = waiting(3)
    assert reserved(fleet, settled) == settled


def test_what_waits_for_the_whole_fleet_reserves_nothing(fleet: Any) -> None:
    """Only an account's own waiting is counted."""
    settled = waiting(3, Whose.FLEET)
    assert reserved(fleet, settled) == settled
    assert fleet.state.items == {}


def test_room_shrinks_by_what_waits(fleet: Any) -> None:
    """The sweep brings back no more than may wait."""
    before = asyncio.run(room_for("7", fleet.worker))
    reserved(fleet, waiting(100))
    assert asyncio.run(room_for("7", fleet.worker)) == before - 100
