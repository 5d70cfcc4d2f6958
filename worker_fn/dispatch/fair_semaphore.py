"""Connections in flight, shared fairly: the next free one goes to the account that has the fewest."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairSemaphore:
    """At most `capacity` holders at once; of those that wait, the account with the fewest is next, then the one that
    came first.
    """

    def __init__(self, capacity: int) -> None:
        self._free = capacity
        self._held: Counter[str | None] = Counter()
        self._waiting: dict[str | None, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def held(self, account_id: str | None) -> AsyncIterator[None]:
        """Hold one of the connections for as long as the block lasts."""
        await self._acquire(account_id)
        try:
            yield
        finally:
            self._held[account_id] -= 1
            self._free += 1
            self._hand_out()

    async def _acquire(self, account_id: str | None) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            self._held[account_id] += 1
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account_id, deque()).append(future)
        self._hand_out()
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._held[account_id] -= 1
                self._free += 1
                self._hand_out()
            raise

    def _hand_out(self) -> None:
        while self._free and self._waiting:
            account = min(self._waiting, key=self._held.__getitem__)
            future = self._waiting[account].popleft()
            if not self._waiting[account]:
                del self._waiting[account]
            if not future.done():
                self._free -= 1
                self._held[account] += 1
                future.set_result(None)
