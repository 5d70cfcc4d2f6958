"""The event source mapping's control: a change takes effect tens of seconds after Lambda was asked for it."""

import asyncio
from collections.abc import Callable

from testkit.clock import now_s
from testkit.simulation.life import Life, World
from worker_fn.clients.mapping import MappingStatus, MappingUnavailable

TAKES_S = (10.0, 40.0)
"""How long a change is under way; meanwhile Lambda refuses another (ResourceInUseException)."""
CHANGE_MS = (40.0, 300.0)


class Mapping:
    def __init__(self, world: World, concurrency: int, batch_size: int) -> None:
        self._world = world
        self._batch_size = batch_size
        self._changed = asyncio.Event()
        self._settled_s = 0.0
        self.is_enabled = True
        """Whether batches are fetched now."""
        self.wanted = True
        self.concurrency = concurrency
        self.log: list[tuple[float, str]] = []

    def status(self) -> MappingStatus:
        return MappingStatus(self.wanted, now_s() >= self._settled_s, self.concurrency, self._batch_size)

    def pause(self) -> None:
        self._switch(on=False)

    def resume(self) -> None:
        self._switch(on=True)

    def set_concurrency(self, most: int) -> None:
        def change() -> None:
            self.concurrency = most

        self._later(change, f"concurrency {most}")

    async def changes(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _switch(self, *, on: bool) -> None:
        def change() -> None:
            self.is_enabled = on

        self._later(change, "enabled" if on else "disabled")
        self.wanted = on

    def _later(self, change: Callable[[], None], what: str) -> None:
        if now_s() < self._settled_s:
            raise MappingUnavailable("ResourceInUseException")
        delay_s = self._world.rng.uniform(*TAKES_S)
        self._settled_s = now_s() + delay_s

        def done() -> None:
            change()
            self.log.append((now_s(), what))
            self._changed.set()

        asyncio.get_running_loop().call_later(delay_s, done)


class EnvironmentIntake:
    """The mapping as one Lambda environment reaches it; see worker_fn.clients.mapping.EventSourceMapping."""

    def __init__(self, mapping: Mapping, world: World, life: Life) -> None:
        self._mapping = mapping
        self._world = world
        self._life = life

    async def status(self) -> MappingStatus:
        await self._there()
        return self._mapping.status()

    async def pause(self) -> None:
        await self._there()
        self._mapping.pause()
        await self._back()

    async def resume(self) -> None:
        await self._there()
        self._mapping.resume()
        await self._back()

    async def set_concurrency(self, concurrency: int) -> None:
        await self._there()
        self._mapping.set_concurrency(concurrency)
        await self._back()

    async def is_marked(self) -> bool:
        await self._there()
        return False

    async def _there(self) -> None:
        await asyncio.sleep(self._world.latency_s(CHANGE_MS))
        self._life.step("Lambda, before")
        if self._world.happens("intake_fails"):
            raise MappingUnavailable("TooManyRequestsException")

    async def _back(self) -> None:
        self._life.step("Lambda, after")
        if self._world.happens("intake_loses_answers"):
            raise MappingUnavailable("its answer was lost")
