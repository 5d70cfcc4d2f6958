"""When messages that wait for their account come back, and what is parked."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from partners import Bulk, Rate
from shared.message import ERASURE, EVENTS
from tests.unit.worker_fn.acme import Acme, scripted
from worker_fn.batch.disposition import End, Parked, Waiting, Whose
from worker_fn.batch.job import UNREAD, Job
from worker_fn.batch.record import Record
from worker_fn.batch.return_times import reserve_return_times, room_for
from worker_fn.limits.agreement import MOST_IN_LINE


@pytest.fixture
def deliver(make_fleet: Any) -> Any:
    return scripted(make_fleet)


def test_messages_beyond_an_endpoints_rate_come_back_by_the_call(deliver: Any) -> None:
    """As many messages get one return time as one bulk call takes."""
    fleet = deliver(Acme({"bulk": Bulk(4, rate=Rate(1, 10))}, in_order=False), max_in_flight=20)
    report = fleet.run(*(fleet.record(n, ["bulk"]) for n in range(13)))
    waits = sorted(fleet.queue.hidden[f"h-{failure[2:]}"] for failure in report.failures)
    assert report.delivered + len(waits) == 13
    assert len(waits) >= 8
    assert waits[7] - waits[3] == pytest.approx(10, abs=1)
    assert waits[-1] <= 40


def waiting(count: int, whose: Whose = Whose.ACCOUNT_FAILURE, kind: str = EVENTS) -> list[Job]:
    message = replace(UNREAD, account_id="7", type=kind)
    return [Job(Record({}), message, end=Waiting(9, "x", whose)) for _ in range(count)]


def reserved(fleet: Any, jobs: list[Job]) -> list[End | None]:
    """The messages that got a return time."""
    asyncio.run(reserve_return_times(jobs, fleet.worker))
    return [job.end for job in jobs]


@pytest.mark.parametrize(("in_groups", "parked"), [(False, 50), (True, 0)])
def test_what_is_too_many_of_an_account_is_parked(in_groups: bool, parked: int, make_fleet: Any) -> None:
    """A thousand messages of an account may wait by visibility, and further ones are parked; a FIFO queue parks none,
    to keep the order.
    """
    fleet = make_fleet("echo", in_groups=in_groups)
    ends = reserved(fleet, waiting(MOST_IN_LINE + 50))
    assert ends.count(Parked()) == parked
    assert bool(fleet.state.items.get(("partner", "sweep"))) is bool(parked)


def test_erasures_are_not_parked_where_no_time_is_left(fleet: Any) -> None:
    """Erasures are few, and wait no longer than they must."""
    ends = reserved(fleet, waiting(MOST_IN_LINE) + waiting(5, kind=ERASURE))
    assert Parked() not in ends


def test_what_nobody_can_be_told_of_is_not_parked(fleet: Any) -> None:
    """Without the state table no sweep can be asked for, so messages come back after their usual wait."""
    fleet.state.down = True
    assert reserved(fleet, waiting(3)) == [job.end for job in waiting(3)]


def test_what_waits_for_the_whole_fleet_reserves_nothing(fleet: Any) -> None:
    """Messages that wait for the whole fleet take no return time of an account."""
    assert reserved(fleet, waiting(3, Whose.FLEET)) == [job.end for job in waiting(3, Whose.FLEET)]
    assert fleet.state.items == {}


def test_room_shrinks_by_what_waits(fleet: Any) -> None:
    """The sweep brings back only as many messages as may still wait."""
    before = asyncio.run(room_for("7", fleet.worker))
    reserved(fleet, waiting(100))
    assert asyncio.run(room_for("7", fleet.worker)) == before - 100
