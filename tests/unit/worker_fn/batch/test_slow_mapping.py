"""Slow mappings: one message may take its share of the time, and answers are read meanwhile."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from partners import Delivery, LeftOut, Partner
from shared.firehose import EventProcessingRequest, Request
from testkit.records import record
from tests.fakes.fanned import Fanned
from worker_fn.batch import mapper, rounds
from worker_fn.batch.context import Worker
from worker_fn.batch.time_budget import SETTLE_RESERVE_S


class Slow(Fanned):
    """Takes as long as an event's name says, by the worker's stopwatch."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def deliveries(self, request: Request) -> Iterator[Delivery | LeftOut]:
        assert isinstance(request, EventProcessingRequest)
        for event in request.events:
            name = str(event.raw["name"])
            self.now_s += float(name.removeprefix("takes ")) if name.startswith("takes") else 0.0
            yield Delivery(
                "https://partner.example/e", json.dumps({**event.raw, "name": "200"}).encode(), event.id or ""
            )


def timed(fleet: Any, partner: Slow) -> Worker:
    worker: Worker = replace(fleet.worker, stopwatch=lambda: partner.now_s)
    return worker


def test_a_mapping_that_takes_too_long_is_its_records_fault(make_fleet: Any) -> None:
    """A mapping over its bound, a fifth of the batch's time for calls, dead-letters its message, and the batch
    goes on.
    """
    partner = Slow()
    fleet = make_fleet(partner)
    worker = timed(fleet, partner)
    late, close = record(2, ["200", "takes 11.5"]), record(3, ["takes 5", "takes 5"])
    report = fleet.run(record(1, ["200"]), late, close, record(4, ["200"]), worker=worker, time_s=SETTLE_RESERVE_S + 55)
    assert report.delivered == 3
    assert fleet.letters() == [("unmappable", "it took longer than 11 s to map")]
    assert sorted(fleet.api.ids) == ["1.0", "3.0", "3.1", "4.0"]


class Unlaned(Slow):
    """A partner without order, whose batches are divided into parts."""

    lane_of = Partner.lane_of


@pytest.mark.parametrize("takes_s", [0.2, 2.5])
def test_answers_are_heard_while_a_slow_mapping_goes_on(takes_s: float, make_fleet: Any) -> None:
    """While a later part is mapped, answers to the first part are read between two messages."""
    partner = Unlaned()
    fleet = make_fleet(partner)
    heard_s: list[float] = []
    real = fleet.api.send

    async def send(*arguments: Any) -> Any:
        begun_s = partner.now_s
        for _ in range(mapper.TURNS + 1):  # it leaves in turns of its part, and is answered in those after a message
            await asyncio.sleep(0)
        heard_s.append(partner.now_s - begun_s)
        return await real(*arguments)

    count = 2 * rounds.MESSAGES_A_PART
    worker = replace(timed(fleet, partner), send=send)
    report = fleet.run(*(record(n, [f"takes {takes_s}"]) for n in range(count)), worker=worker)
    assert report.delivered == count
    assert 0 < max(heard_s) <= 2 * takes_s + 0.001


@pytest.mark.parametrize("left_s", [0.0, 4.0, SETTLE_RESERVE_S])
def test_without_time_nothing_is_mapped_and_all_comes_back(left_s: float, make_fleet: Any) -> None:
    """In a batch that begins when its time is over every record waits, even an unreadable one."""
    partner = Fanned()
    fleet = make_fleet(partner)
    report = fleet.run(record(1, ["200"]), {**record(2, ["200"]), "body": "damaged"}, time_s=left_s)
    assert (report.failures, fleet.queue.dead, partner.asked) == (["m-1", "m-2"], [], [])
    assert set(fleet.queue.hidden.values()) == {1}
