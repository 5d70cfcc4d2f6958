"""An item of the state table, and what a worker may do with one. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from types import MappingProxyType, NoneType
from typing import Any, Protocol, get_args

from shared.errors import StateUnavailable

COOL_UNTIL, COOL_FROM = "cu", "cf"
"""The counts of a cool-down: when it ends, and when the partner asked for it (ms since the epoch)."""


@dataclass(frozen=True, slots=True)
class Item:
    """What is stored under a key: JSON values, and the revision that the next writer has to name; 0: nothing yet.

    `counts` are numbers beside the value, by short names. Workers add to them at the same time, without naming a
    revision.
    """

    rev: int = 0
    value: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


FIRST_REV = 1
"""The revision of an item that has only counts so far."""


class Conflict(Exception):  # no failure: somebody else was first, and `current` is what they wrote
    """Another writer was first."""

    def __init__(self, current: Item) -> None:
        super().__init__("another writer was first")
        self.current = current


class Contended(StateUnavailable):
    """Other writers were first too often. The table is well; `current` is what it holds."""

    def __init__(self, current: Item) -> None:
        super().__init__("others were first too often")
        self.current = current


NO_COUNTS: Mapping[str, int] = MappingProxyType({})

MOST_BITS = 63
"""Numbers with more bits are not Spillway's."""


def fields_in(value: object, of: type) -> dict[str, Any]:
    """The fields of a dataclass in a value: texts, numbers from 0 on, and flags. A field of another type counts as
    missing.
    """
    if not isinstance(value, Mapping):
        return {}
    return {name: value[name] for name, kinds in _kinds(of).items() if name in value and _is_one(value[name], kinds)}


def whole_in(value: Mapping[str, Any], name: str) -> int:
    """A whole number in a value; 0 if there is none."""
    found: Any = value.get(name)
    return found if _is_one(found, {int}) else 0


@cache
def _kinds(of: type) -> Mapping[str, Collection[object]]:
    """The fields that hold one value each, with the types that JSON has for them."""
    kinds = {one.name: {*(get_args(one.type) or (one.type,))} for one in fields(of)}
    plain = {name: each for name, each in kinds.items() if each <= {str, int, float, bool, NoneType}}
    return {name: each | {int} if float in each else each for name, each in plain.items()}


def _is_one(value: Any, kinds: Collection[object]) -> bool:
    return type(value) in kinds and (not isinstance(value, int | float) or 0 <= value < 1 << MOST_BITS)


class State(Protocol):
    """The table as the worker uses it: DynamoDB, or a dictionary in tests. Every call may raise StateUnavailable."""

    async def read(self, pk: str, sk: str) -> Item:
        """Read one item, consistently."""

    async def swap(
        self,
        pk: str,
        sk: str,
        item: Item,
        value: Mapping[str, Any],
        *,
        expires_at: int | None,
        counts: Mapping[str, int] = NO_COUNTS,
        drop: Collection[str] = (),
    ) -> Item:
        """Replace the value of `item`, as it was read, by a new one; add to its counts and drop some of them, which may
        have changed since. Raises Conflict, with the present item, if another writer was first.
        """

    async def add(
        self, pk: str, sk: str, counts: Mapping[str, int], *, drop: Collection[str] = (), expires_at: int | None
    ) -> Item:
        """Add to counts, while others may do so, too, and drop some others; returns the item after that."""

    async def raise_to(
        self, pk: str, sk: str, until_ms: int, *, since_ms: int, counts: Mapping[str, int], expires_at: int | None
    ) -> Item:
        """Extend a cool-down to `until_ms`, and add to counts. Raises Conflict if a longer one is stored."""

    async def delete(self, pk: str, sk: str) -> None:
        """Remove an item, if it is there."""

    async def listed(self, pk: str) -> dict[str, Item]:
        """Read all items under a key, by their `sk`."""
