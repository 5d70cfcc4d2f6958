"""What one worker knows of the item that the fleet shares, and how it changes it."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from shared.errors import StateSilent, StateThrottled, StateUnavailable
from shared.state import FLOW, Conflict, Contended, Item, State, change_item
from shared.state.patient import LONGEST_SILENT_MS
from worker_fn.limits import agreement, windows
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.flow import Flow

FRESH_MS = 1_000
"""How old a worker's knowledge of the shared state may be when it starts a call."""
KNOWN_MS = 10_000
AGAIN_MS = 50
"""The shortest wait before a call asks again, and how long the table is left alone after an error that names no time.
"""
T = TypeVar("T")


async def change_flow(
    state: State,
    key: str,
    function: Callable[[Flow], tuple[Flow, T]],
    *,
    rng: random.Random,
    known: Item | None = None,
    expires_at: int | None = None,
) -> tuple[Item, T]:
    """Change a shared item while other workers do the same. Raises StateUnavailable, and Contended, which is one."""

    def on_item(item: Item) -> tuple[Item, T]:
        before = Flow.of(item)
        after, result = function(before)
        return (item if after == before else after.written_to(item)), result

    return await change_item(state, key, FLOW, on_item, rng=rng, known=known, expires_at=expires_at)


@dataclass(slots=True, eq=False)
class KnownItem:
    """One shared item, as one Lambda environment keeps it between its invocations. Methods that call the table raise
    StateUnavailable; Contended, which is one, if other workers were first too often.
    """

    state: State
    key: str
    bounds: Bounds
    """The rate that the partner declared for the item's calls."""
    now_ms: Callable[[], int]
    rng: random.Random
    ttl_s: int | None = None
    of_partner: "KnownItem | None" = None
    """The partner's item, whose sign of life shows whether the table was in reach; None: this item is the partner's."""
    on_trouble: Callable[[], None] = lambda: None
    """Called when a call to the table failed."""
    flow: Flow = field(default_factory=Flow, init=False)
    lost_ms: int = field(default=0, init=False)
    """Since when the state table is out of reach; 0 while it answers."""
    silent_until_ms: int = field(default=0, init=False)
    """Until when the state table is not asked again."""
    _item: Item | None = field(default=None, init=False)
    _seen_ms: int = field(default=0, init=False)
    _is_there: bool = field(default=True, init=False)
    """Whether the state table has answered since it was lost, even with a refusal."""
    _lowered_ms: int = field(default=0, init=False)
    """When this worker last saw that the limit was lowered."""

    @property
    def limit(self) -> float | None:
        """The limit that is in force for all, as last seen, in calls a second."""
        return self.flow.rate(self.bounds)

    @property
    def is_of_now(self) -> bool:
        """Whether the table is in reach, and the item was seen within KNOWN_MS."""
        return not self.lost_ms and self.now_ms() - self._seen_ms < KNOWN_MS

    @property
    def table(self) -> "KnownItem":
        return self.of_partner or self

    @property
    def share_until_ms(self) -> int:
        """Until when every worker keeps to its share, for all items: the table was out of reach."""
        return self.table.flow.share_until_ms

    def is_fresh(self, by_ms: int) -> bool:
        """Whether the item will have been seen within FRESH_MS at `by_ms`."""
        return by_ms - self._seen_ms < FRESH_MS

    def is_echo(self, begun_ms: int) -> bool:
        """Whether a call began before this worker knew of the present limit."""
        return begun_ms < self._lowered_ms

    def cool_down(self, until_ms: int) -> None:
        """Note a cool-down before it is in the item."""
        self.flow = replace(self.flow, cool_until_ms=max(self.flow.cool_until_ms, until_ms))

    async def add(self, counts: Mapping[str, int]) -> Mapping[str, int]:
        """Add to the item's counts; returns them as they were after that."""
        over = windows.over(self.flow.counts, self.now_ms())
        with self._asked() as before:
            item = await self.state.add(self.key, FLOW, counts, drop=over, expires_at=self._expires_at())
        self._see(item, before)
        return item.counts

    async def raise_to(self, until_ms: int, counts: Mapping[str, int]) -> None:
        """Extend a cool-down to `until_ms`, and add to the counts. Raises Conflict if a longer one is stored."""
        since_ms, expires_at = self.now_ms(), self._expires_at()
        with self._asked() as before:
            raised = self.state.raise_to(
                self.key, FLOW, until_ms, since_ms=since_ms, counts=counts, expires_at=expires_at
            )
            self._see(await raised, before)

    async def change(self, function: Callable[[Flow], tuple[Flow, T]]) -> T:
        """Change the item while other workers do the same."""
        known, expires_at = (self._item if self.is_fresh(self.now_ms()) else None), self._expires_at()
        with self._asked() as before:
            changed = change_flow(self.state, self.key, function, rng=self.rng, known=known, expires_at=expires_at)
            item, result = await changed
        self._see(item, before)
        return result

    async def look(self, *, by_ms: int) -> None:
        """Read the item if the last look will be older than FRESH_MS at `by_ms`, and the table is not left alone."""
        if not self.is_fresh(by_ms) and self.now_ms() >= self.silent_until_ms:
            with suppress(StateUnavailable):
                await self.read()

    async def read(self) -> None:
        """Read the item."""
        with self._asked() as before:
            self._see(await self.state.read(self.key, FLOW), before)

    @contextmanager
    def _asked(self) -> Iterator[Item | None]:
        """Learn from a refusal, or from a missing answer. Yields the item that was known before."""
        asked_ms, before = self.now_ms(), self._item
        try:
            yield before
        except (Conflict, Contended) as refusal:
            self._see(refusal.current, before)
            raise
        except StateUnavailable as error:
            self._lose(asked_ms, error)
            raise

    def _expires_at(self) -> int | None:
        kept_from_ms = max(self.now_ms(), self.flow.cap.until_ms)
        return None if self.ttl_s is None else kept_from_ms // 1_000 + self.ttl_s

    def _lose(self, now_ms: int, error: StateUnavailable) -> None:
        """Note that a call to the state table failed; the error says how long the table is left alone.

        If the table was out of reach and is throttled now, it is back, and others' calls may have succeeded: the time
        in which it counts as lost begins anew, once. It also begins anew if this environment has not asked for a long
        time, because it does not know what happened meanwhile.
        """
        is_throttle = isinstance(error, StateThrottled) or (isinstance(error, StateSilent) and error.is_throttled)
        is_long_ago = now_ms - self.silent_until_ms > 2 * LONGEST_SILENT_MS
        if is_long_ago or (is_throttle and not self._is_there):
            self.lost_ms, self._is_there = now_ms, is_throttle
        self.on_trouble()
        self.silent_until_ms = self.now_ms() + (error.wait_ms if isinstance(error, StateSilent) else AGAIN_MS)

    def _see(self, item: Item, before: Item | None) -> None:
        """Take in the answer to a call that was made while `before` was known."""
        self.lost_ms = self.silent_until_ms = 0
        if self._item is not None and self._item is not before and item.rev < self._item.rev:
            return  # a later revision is known already
        told_ms = self.flow.cool_until_ms  # by an answer of our own that is not written yet, or by an earlier look
        now_ms, seen = self.now_ms(), Flow.of(item)
        self._item, self._seen_ms = item, now_ms
        if seen.cool_ends != self.flow.cool_ends:
            told_ms = 0  # an operator ended the cool-downs before it
        if seen.cool_until_ms > told_ms:
            told_ms = agreement.obeyed_until_ms(seen, seen_ms=now_ms)
        if seen.generation > self.flow.generation:
            self._lowered_ms = now_ms
        self.flow = replace(seen, cool_until_ms=max(seen.cool_until_ms, told_ms))
