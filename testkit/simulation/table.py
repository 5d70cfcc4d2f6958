"""The state table: conditional writes with revisions, latency, throttles, hours out of reach. See shared.state.State.

`lost_answers`: the write was made and its answer never came. boto3 then tries again, and the condition fails: on the
caller's own write, which it knows again, or on that of somebody who was faster.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from shared.errors import StateThrottled, StateUnavailable
from shared.state import ANSWER_WITHIN_S, FLOW, PARTNER, Conflict, Item
from testkit.clock import now_s
from testkit.simulation.ledger import Recorded
from testkit.simulation.life import Life, World
from testkit.state import MemoryState

LATENCY_MS = (4.0, 25.0)
GIVES_UP_S = 3.0
"""Two tries of a half second to connect and one to read: what worker_fn/wiring.py asks of boto3."""

LOST_S = (0.5, 3.0)
"""When a caller whose answer was lost hears of it: a connection that broke, and one that stays silent, which the worker
does not wait for.
"""

MOST_WRITES = 1_000
"""DynamoDB: writes a second to one item."""


class Table(MemoryState):
    """What is stored, and how hard the table was worked."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.operations = 0
        self.writes_most = 0
        self._second = 0
        self._writes: Counter[str] = Counter()

    def put_by(self, environment: int, pk: str, sk: str, item: Item) -> None:
        if sk == FLOW:
            self._note_cool_down(pk, item.value, environment)
        self.put(pk, sk, item)

    def is_hot(self, pk: str) -> bool:
        """Count a write, refused ones too; True when an item was written more often than one partition takes."""
        second = int(now_s())
        if second != self._second:
            self._second, self._writes = second, Counter()
        self._writes[pk] += 1
        self.writes_most = max(self.writes_most, self._writes[pk])
        return self._writes[pk] > MOST_WRITES

    def _note_cool_down(self, pk: str, value: Mapping[str, Any], by: int) -> None:
        """The fleet can know from now on; until when, the partner said, whatever the writer's clock shows."""
        before = self.item(pk, FLOW).value
        if value["cool_until_ms"] <= (before["cool_until_ms"] if before else 0):
            return
        account = None if pk == PARTNER else int(pk.split("#")[1])  # whichever endpoint
        ledger = self.world.ledger
        told = [one.until_s for one in ledger.cool_downs if one.environment == by and one.account == account]
        if told:
            ledger.recorded.append(Recorded(now_s(), max(told), account))


class EnvironmentTable:
    """The table as one Lambda environment reaches it."""

    def __init__(
        self, table: Table, life: Life, *, on_date: Callable[[float, float, float], None] = lambda *_: None
    ) -> None:
        self._table = table
        self._on_date = on_date
        self._world = table.world
        self._life = life

    async def read(self, pk: str, sk: str) -> Item:
        began_s = await self._there("read")
        item = self._table.item(pk, sk)
        await self._back(began_s)
        return item

    async def swap(
        self,
        pk: str,
        sk: str,
        item: Item,
        value: Mapping[str, Any],
        *,
        expires_at: int | None,  # noqa: ARG002 - a simulation ends before DynamoDB would remove anything
    ) -> Item:
        began_s = await self._there("swap")
        if self._table.is_hot(pk):
            await asyncio.sleep(0.1)
            self._life.state_failed = True
            raise StateThrottled("the state table is throttled")
        current = self._table.item(pk, sk)
        if current.rev == item.rev:
            self._table.put_by(self._life.number, pk, sk, Item(item.rev + 1, value))
            if self._world.happens("state_loses_answers"):
                late_s = LOST_S[self._table.operations % 2]
                self._life.state_failed |= late_s > ANSWER_WITHIN_S
                await asyncio.sleep(late_s)
                await self._back(began_s)
                if (now := self._table.item(pk, sk)).rev > item.rev + 1:
                    raise Conflict(now)
        await self._back(began_s)
        if current.rev != item.rev:
            raise Conflict(current)
        return Item(item.rev + 1, json.loads(json.dumps(value)))

    async def delete(self, pk: str, sk: str) -> None:
        began_s = await self._there("delete")
        await self._table.delete(pk, sk)
        await self._back(began_s)

    async def listed(self, pk: str) -> dict[str, Item]:
        began_s = await self._there("listed")
        found = await self._table.listed(pk)
        await self._back(began_s)
        return found

    async def _there(self, name: str) -> float:
        self._table.operations += 1
        began_s = now_s()
        kinds = (("state_down", GIVES_UP_S, StateUnavailable), ("state_throttled", 0.15, StateThrottled))
        for kind, seconds, error in kinds:
            if self._world.happens(kind):
                await asyncio.sleep(seconds)
                self._life.step(kind)
                self._life.state_failed = True
                raise error("the state table does not answer, or is throttled")
        await asyncio.sleep(self._world.latency_s(LATENCY_MS) / 2)
        self._life.step(f"{name}, before")
        return began_s

    async def _back(self, began_s: float) -> None:
        answered_s = now_s()  # the answer carries the time at which the table wrote it
        await asyncio.sleep(self._world.latency_s(LATENCY_MS) / 2)
        self._on_date(began_s, now_s(), answered_s)
        self._world.ledger.state_s = max(self._world.ledger.state_s, now_s() - began_s)
        self._life.step("state, after")
