"""The state table in memory, as the worker meets DynamoDB."""

import asyncio
from typing import Any

import pytest

from shared.errors import StateThrottled, StateUnavailable
from shared.state import Conflict, Item
from testkit.state import MemoryState


def test_only_who_knows_the_revision_writes() -> None:
    """The second of two that read the same is told what stands there."""
    state = MemoryState()

    async def story() -> Item:
        await state.swap("a", "b", Item(), {"n": 1}, expires_at=None)
        with pytest.raises(Conflict) as raised:
            await state.swap("a", "b", Item(), {"n": 2}, expires_at=None)
        return raised.value.current

    assert asyncio.run(story()) == Item(1, {"n": 1})
    assert state.items == {("a", "b"): Item(1, {"n": 1})}


def test_nobody_shares_an_object_with_anybody() -> None:
    """Neither who wrote nor who read changes by hand what is stored."""
    state = MemoryState()
    value: dict[str, Any] = {"list": [1]}
    written = asyncio.run(state.swap("a", "b", Item(), value, expires_at=None))
    for one in (value, written.value, asyncio.run(state.read("a", "b")).value):
        one["list"].append(2)  # type: ignore[index]
    assert asyncio.run(state.listed("a")) == {"b": Item(1, {"list": [1]})}


def test_what_is_deleted_is_gone() -> None:
    """And what never was there is deleted already."""
    state = MemoryState()
    state.put("a", "b", Item(1, {}))
    for _ in range(2):
        asyncio.run(state.delete("a", "b"))
    assert asyncio.run(state.read("a", "b")) == Item()
    assert state.keys("a") == []


@pytest.mark.parametrize("error", [StateUnavailable, StateThrottled])
def test_a_table_that_is_down_does_nothing(error: type[StateUnavailable]) -> None:
    """Every call fails, as it was told to."""
    state = MemoryState(down=True)
    state.error = error
    for call in (
        state.read("a", "b"),
        state.swap("a", "b", Item(), {}, expires_at=None),
        state.delete("a", "b"),
        state.listed("a"),
    ):
        with pytest.raises(error):
            asyncio.run(call)
    assert state.items == {}
