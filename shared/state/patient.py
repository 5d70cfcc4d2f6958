"""The one back-off over the state table: while it is silent or throttled, nobody asks it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeVar

from shared.errors import StateRefused, StateSilent, StateThrottled, StateUnavailable
from shared.state.items import NO_COUNTS, Item, State

T = TypeVar("T")

ANSWER_WITHIN_S = 1.0
"""DynamoDB answers in milliseconds: a slower answer is not worth a batch's time."""

LONGEST_SILENT_MS = 5_000
"""The longest time for which a table that did not answer is left alone."""


class Patient:
    """A state table that is left alone for a while after it did not answer: its callers' time is worth more than a try.

    One failed call costs a batch its time-out; without this back-off, fifty messages would cost it fifty time-outs.
    """

    def __init__(self, state: State, *, now_ms: Callable[[], int], first_pause_ms: int = 500) -> None:
        self._state = state
        self._now_ms = now_ms
        self._first_pause_ms = first_pause_ms
        self._failures = 0
        self._silent_until_ms = 0
        self._is_throttled = False

    async def read(self, pk: str, sk: str) -> Item:
        return await self._try(self._state.read, pk, sk)

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
        return await self._try(self._state.swap, pk, sk, item, value, expires_at=expires_at, counts=counts, drop=drop)

    async def add(
        self, pk: str, sk: str, counts: Mapping[str, int], *, drop: Collection[str] = (), expires_at: int | None
    ) -> Item:
        return await self._try(self._state.add, pk, sk, counts, drop=drop, expires_at=expires_at)

    async def raise_to(
        self, pk: str, sk: str, until_ms: int, *, since_ms: int, counts: Mapping[str, int], expires_at: int | None
    ) -> Item:
        return await self._try(
            self._state.raise_to, pk, sk, until_ms, since_ms=since_ms, counts=counts, expires_at=expires_at
        )

    async def delete(self, pk: str, sk: str) -> None:
        await self._try(self._state.delete, pk, sk)

    async def listed(self, pk: str) -> dict[str, Item]:
        return await self._try(self._state.listed, pk)

    async def _try(self, operation: Callable[..., Awaitable[T]], *arguments: Any, **named: Any) -> T:
        if (wait_ms := self._silent_until_ms - self._now_ms()) > 0:
            raise StateSilent(wait_ms, is_throttled=self._is_throttled)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                answer = await operation(*arguments, **named)
        except StateRefused:  # an answer: the table is there
            self._failures = 0
            raise
        except (StateUnavailable, TimeoutError) as error:  # no Contended comes from a single call
            pause_ms = min(LONGEST_SILENT_MS, self._first_pause_ms * 2 ** min(self._failures, 10))
            self._failures += 1
            self._silent_until_ms = self._now_ms() + pause_ms
            self._is_throttled = isinstance(error, StateThrottled)
            if self._is_throttled:
                raise
            raise StateUnavailable("the state table does not answer") from None
        self._failures = 0
        return answer
