"""Connections in flight, shared fairly: the next free one goes to the account that has the fewest."""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass


class FairSemaphore:
    """At most `capacity` holders at once; the next is the first that waits of the account that holds the fewest."""

    def __init__(self, capacity: int) -> None:
        self._free = capacity
        self._held: Counter[str | None] = Counter()
        self._waiting: dict[str | None, deque[asyncio.Future[None]]] = {}

    def held(self, account_id: str | None) -> "_Held":
        """Hold one of the connections for as long as an `async with` block lasts."""
        return _Held(self, account_id)

    async def acquire(self, account_id: str | None) -> None:
        """Wait for a connection."""
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
                self.release(account_id)
            raise

    def release(self, account_id: str | None) -> None:
        """Give a connection back."""
        self._held[account_id] -= 1
        self._free += 1
        self._hand_out()

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


@dataclass(slots=True)
class _Held:
    semaphore: FairSemaphore
    account_id: str | None

    async def __aenter__(self) -> None:
        await self.semaphore.acquire(self.account_id)

    async def __aexit__(self, *_: object) -> None:
        self.semaphore.release(self.account_id)
