"""The books of a rate that is too hot for one item: branches of the shared item, each with a share of every second.

A branch also gathers what calls came to, so that the shared item is told once a second by each branch and not by each
worker. What a worker that dies takes with it is such a second's counts; cool-downs and probes go to the shared item at
once and never through here.
"""

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self, TypeVar

from shared.errors import StateUnavailable
from shared.state import State, change
from worker_fn.limits import windows as rate
from worker_fn.limits.agreement import NOTHING, Ask, Because, Flow, Leased, Tally, Wait
from worker_fn.limits.breaker import MEMORY_MS
from worker_fn.limits.windows import Book, Books, Share

T = TypeVar("T")

TELL_EVERY_MS = 1_000
TELL_TROUBLE_EVERY_MS = 250
"""How often a branch passes on what it gathered: good news, and push-backs and faults."""
TTL_S = 86_400


@dataclass(frozen=True, slots=True)
class Branch:
    """One of several books: its part of each second, and what was not passed on yet."""

    books: Books = field(default_factory=dict)
    gathered: Tally = NOTHING
    told_ms: int = 0

    def to_item(self) -> dict[str, Any]:
        """As JSON values; `from_item` reads them back."""
        counts = {name: value for name, value in asdict(replace(self.gathered, unused={})).items() if value}
        books = {str(window): book.to_item() for window, book in self.books.items()}
        return {"books": books, "gathered": counts, "told_ms": self.told_ms}

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> Self:
        books = {int(window): Book.from_item(book) for window, book in item.get("books", {}).items()}
        known = {one.name for one in fields(Tally)}
        counts = {name: value for name, value in item.get("gathered", {}).items() if name in known}
        return cls(books, Tally(**counts), item.get("told_ms", 0))


def gather(branch: Branch, tally: Tally, share: Share, *, now_ms: int) -> tuple[Branch, Tally]:
    """Add what calls came to; returns what is to be passed on now, if anything."""
    books = rate.give_back(branch.books, tally.unused, now_ms=now_ms, share=share) if tally.unused else branch.books
    # What was left when traffic stopped says nothing of the partner as it is now.
    before = branch.gathered if now_ms - branch.told_ms <= MEMORY_MS else NOTHING
    gathered = before + replace(tally, unused={})
    every_ms = TELL_TROUBLE_EVERY_MS if gathered.is_urgent else TELL_EVERY_MS
    if gathered == NOTHING or now_ms - branch.told_ms < every_ms:
        return replace(branch, books=books, gathered=gathered), NOTHING
    return Branch(books, told_ms=now_ms), gathered


def lease(branch: Branch, ask: Ask, share: Share, *, limit: float) -> tuple[Branch, Leased | Wait]:
    """Lease from a branch, as `flow.lease` does from the shared item where there is one book."""
    books, tokens = rate.lease(
        branch.books,
        limit=limit,
        now_ms=ask.now_ms,
        until_ms=ask.until_ms,
        wanted=ask.wanted,
        most_a_window=ask.most_a_window,
        share=share,
    )
    first = ask.now_ms // rate.WINDOW_MS + 1  # the present window may be almost over
    reached = rate.free(books, first, limit=limit, now_ms=ask.now_ms, share=share) == 0
    gathered = replace(branch.gathered, reached=True) if reached else branch.gathered
    after = replace(branch, books=books, gathered=gathered)
    if tokens:
        return after, Leased(tokens, limit)
    free_ms = rate.first_free_ms(books, limit=limit, now_ms=ask.now_ms, longest_ms=300_000, share=share)
    return after, Wait(max(free_ms, ask.now_ms + 1), Because.RATE)


class Branches:
    """A worker's way to the branches of one shared item. Every call may raise StateUnavailable, of these Contended."""

    def __init__(self, state: State, key: str, *, rng: random.Random, on_lost: Callable[[], None]) -> None:
        self._state = state
        self._key = key
        self._rng = rng
        self._on_lost = on_lost
        self._turn = rng.randrange(1 << 16)

    async def lease(self, flow: Flow, tally: Tally, ask: Ask) -> tuple[Leased | Wait, Tally]:
        """Lease from the next branch, or from the one behind it; tell it what calls came to. Returns what is to be
        told to the shared item.
        """
        self._turn += 1
        ask = replace(ask, until_ms=flow.sharding.until_ms(ask.until_ms, now_ms=ask.now_ms))
        limit = flow.limit.per_second or 0.0

        def ask_with(news: Tally) -> Callable[[Branch, Share], tuple[Branch, tuple[Leased | Wait, Tally]]]:
            def ask_branch(branch: Branch, share: Share) -> tuple[Branch, tuple[Leased | Wait, Tally]]:
                after, permit = lease(branch, ask, share, limit=limit)
                after, due = gather(after, news, share, now_ms=ask.now_ms)
                return after, (permit, due)

            return ask_branch

        permit, due = await self._change(flow, ask_with(tally), now_ms=ask.now_ms)
        if isinstance(permit, Wait):
            self._turn += 1
            try:
                permit, more = await self._change(flow, ask_with(NOTHING), now_ms=ask.now_ms)
                due += more
            except StateUnavailable:  # the first one was told, and what it said holds
                return permit, due
        return permit, due

    async def tell(self, flow: Flow, tally: Tally, *, now_ms: int) -> Tally:
        """Tell the branch that was leased from last what calls came to, and each one what of it was not used; returns
        what the shared item has to know.
        """

        def telling(news: Tally) -> Callable[[Branch, Share], tuple[Branch, Tally]]:
            return lambda branch, share: gather(branch, news, share, now_ms=now_ms)

        count = flow.sharding.at(now_ms)
        here = self._turn % count
        numbers = {number % count for numbers in tally.unused.values() for number in numbers}
        due = await self._change(flow, telling(tally), now_ms=now_ms)
        for index in sorted(numbers - {here}):
            with suppress(StateUnavailable):  # then its calls lapse
                due += await self._change(flow, telling(Tally(unused=tally.unused)), now_ms=now_ms, index=index)
        return due

    async def _change(
        self,
        flow: Flow,
        function: Callable[[Branch, Share], tuple[Branch, T]],
        *,
        now_ms: int,
        index: int | None = None,
    ) -> T:
        count = flow.sharding.at(now_ms)
        share = Share(count, self._turn % count if index is None else index)
        name = f"lease#{share.of}#{share.index}"

        def on_item(value: Mapping[str, Any]) -> tuple[Mapping[str, Any], T]:
            after, result = function(Branch.from_item(value), share)
            return after.to_item(), result

        _, result = await change(
            self._state,
            self._key,
            name,
            on_item,
            rng=self._rng,
            expires_at=now_ms // 1_000 + TTL_S,
            on_lost=self._on_lost,
        )
        return result
