"""The parts of the intake beside the main queue: the mapping, an operator's pause, the parking queue."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.mapping import FakeMapping
from worker_fn.batch.time_budget import SETTLE_RESERVE_S, TimeBudget
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.flow import Flow
from worker_fn.maintenance.tick import tick
from worker_fn.maintenance.ticker import Ticker, TickReport
from worker_fn.maintenance.unpark import unpark

NOW_S = 1_700_000_000.0


class FakeParking:
    """A parking queue; `failing` are the messages that cannot be moved."""

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
    """The messages that a sweep of a new environment moves back."""
    queue = FakeParking(parked)
    look(fleet, queue)
    return queue.back


def look(fleet: Any, queue: FakeParking) -> TickReport:
    ticker = Ticker(fleet.another(), queue, FakeMapping(), 10)
    asyncio.run(unpark(ticker, TimeBudget(lambda: 55.0, SETTLE_RESERVE_S)))
    return ticker.report


def hold(fleet: Any) -> None:
    """An operator pauses the intake."""
    fleet.set_item("partner", "hold", {"why": "maintenance", "since_ms": 1})


def mapped_fleet(make_fleet: Any, mapping: FakeMapping) -> Any:
    """A fleet with a mapping; each worker has one connection, and a call takes a second."""

    async def reached() -> FakeMapping:
        return mapping

    made = make_fleet(mapping=reached, max_in_flight=1)
    made.api.call_s = 1.0
    return made


class FakeQueues(FakeParking):
    """The parking queue, and a main queue with visible messages."""

    def __init__(self, *, visible: Sequence[dict[str, Any]] = (), parked: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(parked)
        self.visible, self.deleted = list(visible), list[str]()

    async def take(self) -> dict[str, Any] | None:
        return self.visible.pop(0) if self.visible else None

    async def delete(self, record: Mapping[str, Any]) -> None:
        self.deleted.append(record["messageId"])


def run_tick(
    setting: Any,
    mapping: FakeMapping,
    queues: FakeQueues,
    *,
    most: int = 10,
    probe_now: bool = False,
    time_s: float = 25.0,
) -> TickReport:
    """A tick of a worker that has 25 s, as on the stage `local`."""
    ends_s = setting.clock.now_s + time_s
    ticker = Ticker(setting.worker, queues, mapping, most, probe_now)
    return asyncio.run(tick(ticker, lambda: ends_s - setting.clock.now_s))


def set_flow(setting: Any, flow: Flow) -> None:
    setting.set_item("partner", "flow", flow.to_item())


def open_since(seconds: float) -> Flow:
    opened_ms = int((NOW_S - seconds) * 1_000)
    return Flow(breaker=Breaker(opened_ms=opened_ms, probe_at_ms=opened_ms + 5_000))


def flow_of(setting: Any) -> Flow:
    return Flow.of(setting.state.item("partner", "flow"))
