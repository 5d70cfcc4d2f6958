"""Reading an item, changing it and writing it while others do the same: whoever is late starts again."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from shared.state.items import Conflict, Contended, Item, State

T = TypeVar("T")


async def change(
    state: State,
    pk: str,
    sk: str,
    function: Callable[[Mapping[str, Any]], tuple[Mapping[str, Any], T]],
    *,
    rng: random.Random,
    known: Item | None = None,
    expires_at: int | None = None,
    tries: int = 10,
) -> tuple[Item, T]:
    """Run `function` on an item's value and write the result; if others wrote first, again on what they wrote.

    `known` saves the read if the item has not changed since. Nothing is written if nothing changes. Raises
    StateUnavailable, and Contended, which is one, if others are first `tries` times in a row.
    """

    def on_item(item: Item) -> tuple[Item, T]:
        value, result = function(item.value)
        return replace(item, value=value), result

    return await change_item(state, pk, sk, on_item, rng=rng, known=known, expires_at=expires_at, tries=tries)


async def change_item(
    state: State,
    pk: str,
    sk: str,
    function: Callable[[Item], tuple[Item, T]],
    *,
    rng: random.Random,
    known: Item | None = None,
    expires_at: int | None = None,
    tries: int = 10,
) -> tuple[Item, T]:
    """Do what `change` does, for an item with counts: what the function added to them or took from them is added or
    taken, and what others added meanwhile stays.
    """
    item = known if known is not None else await state.read(pk, sk)
    for attempt in range(tries):
        after, result = function(item)
        if (after.value, after.counts) == (item.value, item.counts):
            return item, result
        moved = {name: count - item.counts.get(name, 0) for name, count in after.counts.items()}
        counts = {name: count for name, count in moved.items() if count}
        drop = sorted(set(item.counts) - set(after.counts))
        try:
            written = await state.swap(pk, sk, item, after.value, expires_at=expires_at, counts=counts, drop=drop)
        except Conflict as conflict:
            item = conflict.current
            await asyncio.sleep(rng.uniform(0, 0.02 * (attempt + 1)))
        else:
            return written, result
    raise Contended(item)
