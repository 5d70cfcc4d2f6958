import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest

from shared.state import Contended, Item, change
from testkit.state import MemoryState


class Contested(MemoryState):
    """Somebody else writes first, so many times."""

    def __init__(self, conflicts: int) -> None:
        super().__init__()
        self.conflicts = conflicts

    async def swap(self, pk: str, sk: str, *arguments: Any, **named: Any) -> Item:
        if self.conflicts:
            self.conflicts -= 1
            current = self.item(pk, sk)
            self.put(pk, sk, Item(current.rev + 1, {"n": current.value.get("n", 0) + 100}))
        return await super().swap(pk, sk, *arguments, **named)


def one_more(value: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    return {"n": value.get("n", 0) + 1}, "done"


def test_change_is_made_on_what_others_wrote() -> None:
    """A writer that was first does not lose its change to us, nor we ours to it."""
    table = Contested(3)
    item, result = asyncio.run(change(table, "a", "b", one_more, rng=random.Random(1)))
    assert (item.value, result) == ({"n": 301}, "done")


def test_known_item_saves_the_read() -> None:
    """A change on an item that is still what we know is one call."""
    table = MemoryState()
    asyncio.run(change(table, "a", "b", one_more, rng=random.Random(1), known=Item()))
    assert table.calls == 1


def test_endless_conflicts_end_as_trouble() -> None:
    """An item that everybody writes is given up, not tried for ever."""
    table = Contested(1_000)
    with pytest.raises(Contended):
        asyncio.run(change(table, "a", "b", one_more, rng=random.Random(1), tries=3))
