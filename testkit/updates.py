"""What DynamoDB's UpdateItem makes of an item in memory, for every table that is none: see shared.state.State."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from shared.state import COOL_FROM, COOL_UNTIL, FIRST_REV, Conflict, Item


def copy(item: Item) -> Item:
    """An item as the table gives it: nobody shares an object with anybody."""
    return Item(item.rev, json.loads(json.dumps(item.value)), dict(item.counts))


def swapped(
    current: Item, known: Item, value: Mapping[str, Any], counts: Mapping[str, int], drop: Collection[str]
) -> Item:
    """The item with another value. Raises Conflict where it is no more the one that is known."""
    if current.rev != known.rev:
        raise Conflict(current)
    return Item(known.rev + 1, json.loads(json.dumps(value)), _added(current, counts, drop))


def added(current: Item, counts: Mapping[str, int], drop: Collection[str]) -> Item:
    """The item with more in its counts, and without some."""
    return Item(current.rev or FIRST_REV, current.value, _added(current, counts, drop))


def raised(current: Item, until_ms: int, since_ms: int, counts: Mapping[str, int]) -> Item:
    """The item with a longer cool-down. Raises Conflict where that stands already."""
    if current.counts.get(COOL_UNTIL, -1) >= until_ms:
        raise Conflict(current)
    counted = {**_added(current, counts, ()), COOL_UNTIL: until_ms, COOL_FROM: since_ms}
    return Item(current.rev or FIRST_REV, current.value, counted)


def _added(item: Item, counts: Mapping[str, int], drop: Collection[str]) -> dict[str, int]:
    kept = {name: count for name, count in item.counts.items() if name not in drop}
    return kept | {name: kept.get(name, 0) + count for name, count in counts.items()}
