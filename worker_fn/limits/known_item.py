"""What one worker knows of the item that the fleet shares, and how it changes it."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

from shared.errors import StateSilent, StateThrottled, StateUnavailable
from shared.state import FLOW, Conflict, Contended, Item, State, change_item
from shared.state.patient import LONGEST_SILENT_MS
from worker_fn.limits import agreement, windows
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.flow import Flow
from worker_fn.limits.ruling import Ruling, ruling

FRESH_MS = 1_000
"""How old a worker's knowledge of the shared state may be when it starts a call."""

KNOWN_MS = 10_000

AGAIN_MS = 50
"""When it is asked again whether it is left alone."""

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


class KnownItem:
    """One shared item, as one Lambda environment keeps it between its invocations.

    `bounds` are what the partner declared for the calls that it is about. `table` is what is known of the partner's
    item, which the tick keeps alive: it says whether the table was in reach while nobody wrote here; None: this one.
    `on_trouble` is called when the table took no call.
    """

    def __init__(
        self,
        state: State,
        key: str,
        bounds: Bounds,
        *,
        now_ms: Callable[[], int],
        rng: random.Random,
        ttl_s: int | None = None,
        table: "KnownItem | None" = None,
        on_trouble: Callable[[], None] = lambda: None,
    ) -> None:
        self._state = state
        self._key = key
        self.bounds = bounds
        self.now_ms = now_ms
        self.rng = rng
        self._ttl_s = ttl_s
        self.table = table or self
        self._on_trouble = on_trouble
        self._item: Item | None = None
        self._seen_ms = 0
        self._is_there = True
        """Whether the state table answered since it was lost, if only to refuse."""
        self._lowered_ms = 0
        """When it was seen last that the limit was lowered."""
        self.flow = Flow()
        self.lost_ms = 0
        """When the state table was lost; 0 while it answers."""
        self.silent_until_ms = 0
        """Until when the state table is not asked again."""

    @property
    def limit(self) -> float | None:
        """What is known of the limit that is in force for all, in calls a second."""
        return self.flow.rate(self.bounds)

    @property
    def ruling(self) -> Ruling:
        """What holds for a call now, as far as it is known."""
        return ruling(self.flow, self.bounds, now_ms=self.now_ms())

    @property
    def is_of_now(self) -> bool:
        """Whether what it knows is of this batch, and the fleet's."""
        return not self.lost_ms and self.now_ms() - self._seen_ms < KNOWN_MS

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
        """Add to the item's counts; gives them as they were then. Raises StateUnavailable."""
        over = windows.over(self.flow.counts, self.now_ms())
        with self._asked():
            item = await self._state.add(self._key, FLOW, counts, drop=over, expires_at=self._expires_at())
        return self._see(item).counts

    async def raise_to(self, until_ms: int, counts: Mapping[str, int]) -> None:
        """Have a cool-down last until then, and add to the counts. Raises Conflict where a longer one stands,
        StateUnavailable.
        """
        since_ms, expires_at = self.now_ms(), self._expires_at()
        with self._asked():
            self._see(
                await self._state.raise_to(
                    self._key, FLOW, until_ms, since_ms=since_ms, counts=counts, expires_at=expires_at
                )
            )

    async def change(self, function: Callable[[Flow], tuple[Flow, T]]) -> T:
        """Change the item, whoever else does. Raises Contended when others were first too often, StateUnavailable when
        the table does not answer.
        """
        known = self._item if self.is_fresh(self.now_ms()) else None
        with self._asked():
            item, result = await change_flow(
                self._state, self._key, function, rng=self.rng, known=known, expires_at=self._expires_at()
            )
        self._see(item)
        return result

    async def look(self, *, by_ms: int) -> None:
        """Read the item if what we know of it will be older than FRESH_MS by then."""
        if by_ms - self._seen_ms >= FRESH_MS and self.now_ms() >= self.silent_until_ms:
            with suppress(StateUnavailable):
                await self.read()

    async def read(self) -> None:
        """Know what stands there now. Raises StateUnavailable."""
        with self._asked():
            self._see(await self._state.read(self._key, FLOW))

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Learn from a refusal, or that there was no answer."""
        asked_ms = self.now_ms()
        try:
            yield
        except (Conflict, Contended) as refusal:
            self._see(refusal.current)
            raise
        except StateUnavailable as error:
            self._lose(asked_ms, error)
            raise

    def _expires_at(self) -> int | None:
        kept_from_ms = max(self.now_ms(), self.flow.cap.until_ms)
        return None if self._ttl_s is None else kept_from_ms // 1_000 + self._ttl_s

    def _lose(self, now_ms: int, error: StateUnavailable) -> None:
        """The state table took no call, and says itself for how long it is left alone.

        If the table was out of reach and is throttled now, it is back, and others' calls may have succeeded: the time
        in which it counts as lost begins anew, once. It also begins anew if this environment has not asked for a long
        time, because it does not know what happened meanwhile.
        """
        is_throttle = isinstance(error, StateThrottled) or (isinstance(error, StateSilent) and error.is_throttled)
        if not self.lost_ms or now_ms - self.silent_until_ms > 2 * LONGEST_SILENT_MS:
            self.lost_ms, self._is_there = now_ms, is_throttle
        elif is_throttle and not self._is_there:
            self.lost_ms, self._is_there = now_ms, True
        self._on_trouble()
        wait_ms = error.wait_ms if isinstance(error, StateSilent) else AGAIN_MS
        self.silent_until_ms = self.now_ms() + wait_ms

    def _see(self, item: Item) -> Item:
        told_ms = self.flow.cool_until_ms  # by an answer of our own that is not written yet, or by an earlier look
        now_ms, seen = self.now_ms(), Flow.of(item)
        self._item, self._seen_ms = item, now_ms
        self.lost_ms = self.silent_until_ms = 0
        if seen.cool_ends != self.flow.cool_ends:
            told_ms = 0  # an operator ended what was asked for before
        if seen.cool_until_ms > told_ms:
            told_ms = agreement.obeyed_until_ms(seen, seen_ms=now_ms)
        if seen.generation > self.flow.generation:
            self._lowered_ms = now_ms
        self.flow = replace(seen, cool_until_ms=max(seen.cool_until_ms, told_ms))
        return item
