"""What the intake consists of beside the main queue: the mapping, an operator's pause, the parking queue."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.mapping import FakeMapping
from worker_fn.batch.time_budget import TimeBudget
from worker_fn.maintenance.unpark import Swept, sweep


class FakeParking:
    """A parking queue; `failing` are messages that do not move."""

    def __init__(self, rows: Sequence[dict[str, Any]] = ()) -> None:
        self.waiting, self.back, self.batches = list(rows), list[str](), list[int]()
        self.failing: set[str] = set()

    async def parked(self, sight_s: int) -> Sequence[dict[str, Any]]:
        batch, self.waiting = self.waiting[:10], self.waiting[10:]
        await asyncio.sleep(0)
        return batch

    async def unpark(self, records: Sequence[Mapping[str, Any]]) -> set[str]:
        await asyncio.sleep(0)
        self.batches.append(len(records))
        self.back += [one["messageId"] for one in records if one["messageId"] not in self.failing]
        return {one["receiptHandle"] for one in records if one["messageId"] in self.failing}


def swept(fleet: Any, *parked: dict[str, Any]) -> list[str]:
    """What a sweep of an environment that knows nothing yet moves back of these."""
    queue = FakeParking(parked)
    look(fleet, queue)
    return queue.back


def look(fleet: Any, queue: FakeParking) -> Swept:
    return asyncio.run(sweep(fleet.another(), queue, TimeBudget(lambda: 55.0, 5.0)))


def hold(fleet: Any) -> None:
    """An operator pauses the intake."""
    fleet.set_item("partner", "hold", {"why": "maintenance", "since_ms": 1})


def mapped_fleet(make_fleet: Any, mapping: FakeMapping) -> Any:
    """A fleet that reaches its mapping, with one connection a worker and calls of a second."""

    async def reached() -> FakeMapping:
        return mapping

    made = make_fleet(mapping=reached, max_in_flight=1)
    made.api.call_s = 1.0
    return made
