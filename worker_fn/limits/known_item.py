"""What one worker knows of the item that the fleet shares, and how it changes it."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from shared.errors import StateSilent, StateThrottled, StateUnavailable
from shared.state import FLOW, Contended, Item, State, change
from worker_fn.limits import agreement as flows
from worker_fn.limits.agreement import Flow

FRESH_MS = 1_000
"""How old a worker's knowledge of the shared state may be when it starts a call."""

KNOWN_MS = 10_000

FIRST_SILENT_MS, SILENT_MS = 500, 5_000
"""How long a state table that did not answer is left alone, at first and at most: each try costs a batch its time."""

T = TypeVar("T")


class KnownItem:
    """One shared item, as one Lambda environment keeps it between its invocations.

    `on_seen` is called when something new is known, `on_there` when a state table that was out of reach is throttled
    instead, `on_lost_race` when another worker wrote first, `on_trouble` when the state table took no call.
    """

    def __init__(
        self,
        state: State,
        key: str,
        *,
        now_ms: Callable[[], int],
        rng: random.Random,
        ttl_s: int | None,
        on_seen: Callable[[int], None],
        on_there: Callable[[], None],
        on_lost_race: Callable[[], None],
        on_trouble: Callable[[], None],
    ) -> None:
        self._state = state
        self._key = key
        self._now_ms = now_ms
        self._rng = rng
        self._ttl_s = ttl_s
        self._on_seen = on_seen
        self._on_there = on_there
        self._on_lost_race = on_lost_race
        self._on_trouble = on_trouble
        self._item: Item | None = None
        self._seen_ms = 0
        self._failures = 0
        """Calls to the state table that failed in a row."""
        self._is_there = True
        """Whether the state table answered since it was lost, if only to refuse."""
        self._looking = asyncio.Lock()
        self.flow = Flow()
        self.lost_ms = 0
        """When the state table was lost; 0 while it answers."""
        self.silent_until_ms = 0
        """Until when the state table is not asked again."""

    @property
    def is_of_now(self) -> bool:
        """Whether what it knows is of this batch, and the fleet's."""
        return not self.lost_ms and self._now_ms() - self._seen_ms < KNOWN_MS

    def is_fresh(self, now_ms: int) -> bool:
        """Whether it was seen lately, and may be changed without being read first."""
        return self._item is not None and now_ms - self._seen_ms < FRESH_MS

    def begin(self) -> None:
        """Start a batch: forget what one that ended before its time left behind."""
        self._looking = asyncio.Lock()

    def cool_down(self, until_ms: int) -> None:
        """Know of a cool-down before the fleet does."""
        self.flow = replace(self.flow, cool_until_ms=max(self.flow.cool_until_ms, until_ms))

    async def change(self, function: Callable[[Flow], tuple[Flow, T]], *, fresh: bool = False) -> T:
        """Change the item, whoever else does; `fresh`: try with what is known first.

        Raises Contended when others were first too often, StateUnavailable when the table does not answer.
        """

        def on_item(value: Mapping[str, Any]) -> tuple[Mapping[str, Any], T]:
            flow, result = function(Flow.from_item(value) if value else Flow())
            return (flow.to_item() if flow != Flow() else value), result

        now_ms = self._now_ms()
        expires_at = None if self._ttl_s is None else now_ms // 1_000 + self._ttl_s
        known = self._item if fresh else None
        try:
            self._item, result = await change(
                self._state,
                self._key,
                FLOW,
                on_item,
                known=known,
                expires_at=expires_at,
                rng=self._rng,
                on_lost=self._on_lost_race,
            )
        except Contended as contended:
            self._see(contended.current, self._now_ms())
            raise
        except StateUnavailable as error:
            self.lose(now_ms, error)
            raise
        self._see(self._item, self._now_ms())
        return result

    async def look(self, *, by_ms: int) -> None:
        """Read the item if what we know of it will be older than FRESH_MS by then. One look at a time."""
        async with self._looking:
            now_ms = self._now_ms()
            if by_ms - self._seen_ms < FRESH_MS or now_ms < self.silent_until_ms:
                return
            try:
                item = await self._state.read(self._key, FLOW)
                self._see(item, self._now_ms())
            except StateUnavailable as error:
                self.lose(now_ms, error)

    def lose(self, now_ms: int, error: StateUnavailable) -> None:
        """The state table took no call: leave it alone for a while.

        If it was out of reach and is throttled now, it is back, and others may have been luckier: the time in which
        nobody can be asked begins anew, once. So it does where nobody asked for long: what happened meanwhile is not
        known.
        """
        is_throttle = isinstance(error, StateThrottled) or (isinstance(error, StateSilent) and error.is_throttled)
        if not self.lost_ms or now_ms - self.silent_until_ms > 2 * SILENT_MS:
            self.lost_ms, self._is_there = now_ms, is_throttle
        elif is_throttle and not self._is_there:
            self.lost_ms, self._is_there = now_ms, True
            self._on_there()
        self._on_trouble()
        if isinstance(error, StateSilent):
            self.silent_until_ms = self._now_ms() + error.wait_ms
            return
        self._failures += 1
        self.silent_until_ms = now_ms + min(SILENT_MS, FIRST_SILENT_MS * 2 ** min(self._failures - 1, 10))

    def _see(self, item: Item, now_ms: int) -> None:
        told_ms = self.flow.cool_until_ms  # by an answer of our own that is not written yet, or by an earlier look
        self._item, self._seen_ms = item, now_ms
        self.lost_ms = self.silent_until_ms = self._failures = 0
        seen = Flow.from_item(item.value) if item.value else Flow()
        if seen.cool_ends != self.flow.cool_ends:
            told_ms = 0  # an operator ended what was asked for before
        if seen.cool_until_ms > told_ms:
            told_ms = flows.obeyed_until_ms(seen, seen_ms=now_ms)
        self.flow = replace(seen, cool_until_ms=max(seen.cool_until_ms, told_ms))
        self._on_seen(now_ms)
