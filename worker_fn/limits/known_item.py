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
"""How long a call waits at least before it asks again, and how long the table is left alone that does not say itself.
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
    """Change a shared item, whoever else does. Raises StateUnavailable, of these Contended."""

    def on_item(item: Item) -> tuple[Item, T]:
        before = Flow.of(item)
        after, result = function(before)
        return (item if after == before else after.written_to(item)), result

    return await change_item(state, key, FLOW, on_item, rng=rng, known=known, expires_at=expires_at)


@dataclass(slots=True, eq=False)
class KnownItem:
    """One shared item, as one Lambda environment keeps it between its invocations. What asks the table raises
    StateUnavailable; of these Contended, where others were first too often.
    """

    state: State
    key: str
    bounds: Bounds
    """What the partner declared for the calls that it is about."""
    now_ms: Callable[[], int]
    rng: random.Random
    ttl_s: int | None = None
    of_partner: "KnownItem | None" = None
    """What is known of the partner's item, by which the tick says whether the table was in reach; None: this one."""
    on_trouble: Callable[[], None] = lambda: None
    """Called when the table took no call."""
    flow: Flow = field(default_factory=Flow, init=False)
    lost_ms: int = field(default=0, init=False)
    """When the state table was lost; 0 while it answers."""
    silent_until_ms: int = field(default=0, init=False)
    """Until when the state table is not asked again."""
    _item: Item | None = field(default=None, init=False)
    _seen_ms: int = field(default=0, init=False)
    _is_there: bool = field(default=True, init=False)
    """Whether the state table answered since it was lost, if only to refuse."""
    _lowered_ms: int = field(default=0, init=False)
    """When it was seen last that the limit was lowered."""

    @property
    def limit(self) -> float | None:
        """What is known of the limit that is in force for all, in calls a second."""
        return self.flow.rate(self.bounds)

    @property
    def is_of_now(self) -> bool:
        """Whether what it knows is of this batch, and the fleet's."""
        return not self.lost_ms and self.now_ms() - self._seen_ms < KNOWN_MS

    @property
    def table(self) -> "KnownItem":
        return self.of_partner or self

    @property
    def share_until_ms(self) -> int:
        """Until when everybody keeps to its share: the table was out of reach for all its items."""
        return self.table.flow.share_until_ms

    def is_fresh(self, by_ms: int) -> bool:
        """Whether it was seen lately."""
        return self._item is not None and by_ms - self._seen_ms < FRESH_MS

    def is_echo(self, begun_ms: int) -> bool:
        """Whether a call was begun before this worker knew of the limit that is in force."""
        return begun_ms < self._lowered_ms

    def cool_down(self, until_ms: int) -> None:
        """Know of a cool-down before the fleet does."""
        self.flow = replace(self.flow, cool_until_ms=max(self.flow.cool_until_ms, until_ms))

    async def add(self, counts: Mapping[str, int]) -> Mapping[str, int]:
        """Add to the item's counts; gives them as they were then."""
        over = windows.over(self.flow.counts, self.now_ms())
        with self._asked() as before:
            item = await self.state.add(self.key, FLOW, counts, drop=over, expires_at=self._expires_at())
        self._see(item, before)
        return item.counts

    async def raise_to(self, until_ms: int, counts: Mapping[str, int]) -> None:
        """Have a cool-down last until then, and add to the counts. Raises Conflict where a longer one stands."""
        since_ms, expires_at = self.now_ms(), self._expires_at()
        with self._asked() as before:
            raised = self.state.raise_to(
                self.key, FLOW, until_ms, since_ms=since_ms, counts=counts, expires_at=expires_at
            )
            self._see(await raised, before)

    async def change(self, function: Callable[[Flow], tuple[Flow, T]]) -> T:
        """Change the item, whoever else does."""
        known, expires_at = (self._item if self.is_fresh(self.now_ms()) else None), self._expires_at()
        with self._asked() as before:
            changed = change_flow(self.state, self.key, function, rng=self.rng, known=known, expires_at=expires_at)
            item, result = await changed
        self._see(item, before)
        return result

    async def look(self, *, by_ms: int) -> None:
        """Read the item if what we know of it will be older than FRESH_MS by then, and the table is there."""
        if not self.is_fresh(by_ms) and self.now_ms() >= self.silent_until_ms:
            with suppress(StateUnavailable):
                await self.read()

    async def read(self) -> None:
        """Know what stands there now."""
        with self._asked() as before:
            self._see(await self.state.read(self.key, FLOW), before)

    @contextmanager
    def _asked(self) -> Iterator[Item | None]:
        """Learn from a refusal, or that there was no answer. Gives what was known when it was asked."""
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
        """The state table took no call, and says itself for how long it is left alone.

        If the table was out of reach and is throttled now, it is back, and others' calls may have succeeded: the time
        in which it counts as lost begins anew, once. It also begins anew if this environment has not asked for a long
        time, because it does not know what happened meanwhile.
        """
        is_throttle = isinstance(error, StateThrottled) or (isinstance(error, StateSilent) and error.is_throttled)
        is_long_ago = not self.lost_ms or now_ms - self.silent_until_ms > 2 * LONGEST_SILENT_MS
        if is_long_ago or (is_throttle and not self._is_there):
            self.lost_ms, self._is_there = now_ms, is_throttle
        self.on_trouble()
        self.silent_until_ms = self.now_ms() + (error.wait_ms if isinstance(error, StateSilent) else AGAIN_MS)

    def _see(self, item: Item, before: Item | None) -> None:
        """Take an answer to a question that was asked while `before` was known."""
        self.lost_ms = self.silent_until_ms = 0
        if self._item is not None and self._item is not before and item.rev < self._item.rev:
            return  # a later value came meanwhile
        told_ms = self.flow.cool_until_ms  # by an answer of our own that is not written yet, or by an earlier look
        now_ms, seen = self.now_ms(), Flow.of(item)
        self._item, self._seen_ms = item, now_ms
        if seen.cool_ends != self.flow.cool_ends:
            told_ms = 0  # an operator ended what was asked for before
        if seen.cool_until_ms > told_ms:
            told_ms = agreement.obeyed_until_ms(seen, seen_ms=now_ms)
        if seen.generation > self.flow.generation:
            self._lowered_ms = now_ms
        self.flow = replace(seen, cool_until_ms=max(seen.cool_until_ms, told_ms))
