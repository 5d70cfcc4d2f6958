import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from shared.errors import StateUnavailable
from shared.state import PARTNER, Item
from worker_fn.limits.adaptive import Limit
from worker_fn.limits.agreement import NOTHING, Ask, Flow, Leased, Tally, Wait
from worker_fn.limits.branches import TELL_EVERY_MS, TELL_TROUBLE_EVERY_MS, Branch, Branches, gather
from worker_fn.limits.breaker import MEMORY_MS
from worker_fn.limits.sharding import Sharding
from worker_fn.limits.windows import WHOLE, Book

NOW = 1_790_000_000_000
SPLIT = Flow(limit=Limit(per_second=50.0), sharding=Sharding(count=2, before=2))
ASK = Ask(now_ms=NOW, until_ms=NOW + 3_000, wanted=10, most_a_window=10)


def test_good_news_is_gathered_and_passed_on_once_a_second() -> None:
    """What came in between goes along; afterwards nothing is left."""
    branch, due = gather(Branch(told_ms=NOW), Tally(delivered=3), WHOLE, now_ms=NOW + 1)
    assert due == NOTHING
    branch, due = gather(branch, Tally(delivered=4), WHOLE, now_ms=NOW + TELL_EVERY_MS)
    assert due == Tally(delivered=7)
    assert branch.gathered == NOTHING


def test_trouble_is_passed_on_sooner() -> None:
    """Faults and push-backs wait for a quarter of a second at most."""
    _, due = gather(Branch(told_ms=NOW), Tally(faults=2), WHOLE, now_ms=NOW + TELL_TROUBLE_EVERY_MS)
    assert due == Tally(faults=2)


def test_what_was_left_long_ago_says_nothing_of_today() -> None:
    """Traffic stopped with faults that nobody passed on: the first news of the next day are its own."""
    old = Branch(gathered=Tally(faults=9), told_ms=NOW - MEMORY_MS - 1)
    _, due = gather(old, Tally(delivered=1), WHOLE, now_ms=NOW)
    assert due == Tally(delivered=1)


def test_a_branch_survives_the_table() -> None:
    """Books, what was gathered, and when it was told."""
    branch = Branch({NOW // 1_000: Book(5, (1, 2))}, Tally(delivered=2, took_ms=30, reached=True), NOW)
    assert Branch.from_item(branch.to_item()) == branch


class Failing:
    """A state table whose branch of one index does not answer."""

    def __init__(self, state: Any, index: int) -> None:
        self._state = state
        self._sk = f"lease#2#{index}"
        self.written: list[str] = []

    async def read(self, pk: str, sk: str) -> Item:
        if sk == self._sk:
            raise StateUnavailable("no")
        return await self._state.read(pk, sk)  # type: ignore[no-any-return]

    async def swap(self, pk: str, sk: str, item: Item, value: Mapping[str, Any], *, expires_at: int | None) -> Item:
        self.written.append(sk)
        return await self._state.swap(pk, sk, item, value, expires_at=expires_at)  # type: ignore[no-any-return]


@pytest.mark.parametrize("failing", [0, 1])
def test_news_that_one_branch_took_are_not_told_again(fleet: Any, failing: int) -> None:
    """The first branch has no token left and the second one does not answer: the lease is a wait, and no error."""
    state = Failing(fleet.state, failing)
    branches = Branches(state, PARTNER, rng=random.Random(1), on_lost=lambda: None)  # type: ignore[arg-type]

    async def lease() -> tuple[Any, Tally]:
        full = Branch({NOW // 1_000 + ahead: Book(100) for ahead in range(400)}, told_ms=NOW)
        await fleet.state.swap(PARTNER, f"lease#2#{1 - failing}", Item(), full.to_item(), expires_at=None)
        while True:
            try:
                return await branches.lease(SPLIT, Tally(delivered=7), ASK)
            except StateUnavailable:  # the one that fails was asked first: nothing was told
                assert state.written == []

    permit, due = asyncio.run(lease())
    assert isinstance(permit, Wait)
    assert due == NOTHING
    told = asyncio.run(fleet.state.read(PARTNER, f"lease#2#{1 - failing}"))
    assert told.value["gathered"]["delivered"] == 7


@pytest.mark.parametrize("unreachable", [None, 0, 1])
def test_what_is_not_used_goes_back_to_the_branch_that_it_is_of(fleet: Any, unreachable: int | None) -> None:
    """A batch that leased from all of them and ends leaves nothing that only lapses, but where a branch is lost."""
    branches = Branches(fleet.state, PARTNER, rng=random.Random(1), on_lost=lambda: None)

    async def leased_and_given_back() -> dict[str, int]:
        tokens: dict[int, list[int]] = {}
        for _ in range(2):
            permit, _ = await branches.lease(SPLIT, NOTHING, replace(ASK, wanted=40))
            assert isinstance(permit, Leased)
            for window, numbers in permit.tokens.items():
                tokens.setdefault(window, []).extend(numbers)
        unused = {window: numbers for window, numbers in tokens.items() if window * 1_000 > NOW}
        assert {number % 2 for numbers in unused.values() for number in numbers} == {0, 1}
        if unreachable is not None:
            branches._state = Failing(fleet.state, unreachable)  # type: ignore[assignment]
        with suppress(StateUnavailable):  # the one that is told what calls came to
            await branches.tell(SPLIT, Tally(unused=unused), now_ms=NOW)
        left = {}
        for name in ("lease#2#0", "lease#2#1"):
            books = Branch.from_item((await fleet.state.read(PARTNER, name)).value).books
            left[name] = sum(book.given - len(book.back) for window, book in books.items() if window * 1_000 > NOW)
        return left

    left = asyncio.run(leased_and_given_back())
    assert (left == {"lease#2#0": 0, "lease#2#1": 0}) == (unreachable is None)
