"""The state table: counters, conditional writes, latency, throttles, hours out of reach. See shared.state.State.

`lost_answers`: the write was made and its answer never came. boto3 then tries again, and the condition fails: on the
caller's own write, which it knows again, or on that of somebody who was faster.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from shared.errors import StateThrottled, StateUnavailable
from shared.state import ANSWER_WITHIN_S, FLOW, NO_COUNTS, PARTNER, Conflict, Item
from testkit.clock import EPOCH_S, now_s
from testkit.simulation.life import Life, World
from testkit.simulation.truth import Recorded
from testkit.state import MemoryState
from testkit.updates import added, copy, raised, swapped
from worker_fn.limits.flow import Flow

TABLE_MS = (4.0, 25.0)
GIVES_UP_S = 3.0
"""How long a table is silent that is down: longer than anybody waits for it (shared.state.Patient)."""

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
        self.expiries: dict[tuple[str, str], int] = {}
        self.operations = 0
        self.writes_most = 0
        self._second = 0
        self._writes: Counter[str] = Counter()

    def item(self, pk: str, sk: str) -> Item:
        if self.expiries.get((pk, sk), math.inf) < EPOCH_S + now_s():
            del self.expiries[pk, sk]
            self.items.pop((pk, sk), None)
        return super().item(pk, sk)

    def put_by(self, environment: int, pk: str, sk: str, item: Item) -> None:
        if sk == FLOW:
            self._note_cool_down(pk, item, environment)
        self.put(pk, sk, item)

    def expire(self, pk: str, sk: str, expires_at: int | None) -> None:
        """Time to live: the item goes then, whatever it holds. A call that says nothing of it leaves it as it is."""
        if expires_at is not None:
            self.expiries[pk, sk] = expires_at

    def is_hot(self, pk: str) -> bool:
        """Count a write, refused ones too; True when an item was written more often than one partition takes."""
        second = int(now_s())
        if second != self._second:
            self._second, self._writes = second, Counter()
        self._writes[pk] += 1
        self.writes_most = max(self.writes_most, self._writes[pk])
        return self._writes[pk] > MOST_WRITES

    def _note_cool_down(self, pk: str, item: Item, by: int) -> None:
        """The fleet can know from now on; until when, the partner said, whatever the writer's clock shows."""
        if Flow.of(item).cool_until_ms <= Flow.of(self.item(pk, FLOW)).cool_until_ms:
            return
        account = None if pk == PARTNER else int(pk.split("#")[1])  # whichever endpoint
        truth = self.world.truth
        told = [one.until_s for one in truth.cool_downs if one.environment == by and one.account == account]
        if told:
            truth.recorded.append(Recorded(now_s(), max(told), account))


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
        expires_at: int | None,
        counts: Mapping[str, int] = NO_COUNTS,
        drop: Collection[str] = (),
    ) -> Item:
        def know_again(now: Item, made: Item) -> Item:
            if now.rev > made.rev:
                raise Conflict(now)
            return now

        def swap(current: Item) -> Item:
            return swapped(current, item, value, counts, drop)

        return await self._write("swap", pk, sk, swap, expires_at, again=know_again)

    async def add(
        self, pk: str, sk: str, counts: Mapping[str, int], *, drop: Collection[str] = (), expires_at: int | None
    ) -> Item:
        def add(current: Item) -> Item:
            return added(current, counts, drop)

        def add_again(now: Item, made: Item) -> Item:  # noqa: ARG001 - it was made, and is made twice
            return add(now)

        return await self._write("add", pk, sk, add, expires_at, again=add_again)

    async def raise_to(
        self, pk: str, sk: str, until_ms: int, *, since_ms: int, counts: Mapping[str, int], expires_at: int | None
    ) -> Item:
        def rise(current: Item) -> Item:
            return raised(current, until_ms, since_ms, counts)

        def rise_again(now: Item, made: Item) -> Item:  # noqa: ARG001 - it stands already
            return rise(now)

        return await self._write("raise_to", pk, sk, rise, expires_at, again=rise_again)

    async def _write(
        self,
        name: str,
        pk: str,
        sk: str,
        change: Callable[[Item], Item],
        expires_at: int | None,
        *,
        again: Callable[[Item, Item], Item],
    ) -> Item:
        """`again`: what becomes of it when its answer was lost and boto3 sends it once more."""
        began_s = await self._there(name)
        if self._table.is_hot(pk):
            await asyncio.sleep(0.1)
            self._life.state_failed = True
            raise StateThrottled("the state table is throttled")
        try:
            made = change(self._table.item(pk, sk))
        except Conflict:
            await self._back(began_s)
            raise
        self._table.put_by(self._life.number, pk, sk, made)
        self._table.expire(pk, sk, expires_at)
        if self._world.happens("state_loses_answers"):
            late_s = LOST_S[self._table.operations % 2]
            self._life.state_failed |= late_s > ANSWER_WITHIN_S
            await asyncio.sleep(late_s)
            made = again(self._table.item(pk, sk), made)
            self._table.put_by(self._life.number, pk, sk, made)
        await self._back(began_s)
        return copy(made)

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
        await asyncio.sleep(self._world.latency_s(TABLE_MS) / 2)
        self._life.step(f"{name}, before")
        return began_s

    async def _back(self, began_s: float) -> None:
        answered_s = now_s()  # the answer carries the time at which the table wrote it
        await asyncio.sleep(self._world.latency_s(TABLE_MS) / 2)
        self._on_date(began_s, now_s(), answered_s)
        self._world.truth.state_s = max(self._world.truth.state_s, now_s() - began_s)
        self._life.step("state, after")
