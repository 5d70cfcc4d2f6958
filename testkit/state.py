"""The state table in memory. See shared.state.State."""

import json
from collections.abc import Mapping
from typing import Any

from shared.errors import StateUnavailable
from shared.state import Conflict, Item


class MemoryState:
    """What is stored, by key. Whoever reads or writes gets a copy: nobody shares an object with anybody.

    `down` makes every call fail, with `error`.
    """

    def __init__(self, *, down: bool = False) -> None:
        self.items: dict[tuple[str, str], Item] = {}
        self.down = down
        self.error: type[StateUnavailable] = StateUnavailable

    def item(self, pk: str, sk: str) -> Item:
        return _copied(self.items.get((pk, sk), Item()))

    def put(self, pk: str, sk: str, item: Item) -> None:
        self.items[pk, sk] = _copied(item)

    def keys(self, pk: str) -> list[str]:
        """The sort keys below all partition keys that begin so."""
        return [key[1] for key in self.items if key[0].startswith(pk)]

    async def read(self, pk: str, sk: str) -> Item:
        self._check()
        return self.item(pk, sk)

    async def swap(
        self,
        pk: str,
        sk: str,
        item: Item,
        value: Mapping[str, Any],
        *,
        expires_at: int | None,  # noqa: ARG002 - nothing lives that long
    ) -> Item:
        self._check()
        current = self.item(pk, sk)
        if current.rev != item.rev:
            raise Conflict(current)
        self.put(pk, sk, Item(item.rev + 1, value))
        return self.item(pk, sk)

    async def delete(self, pk: str, sk: str) -> None:
        self._check()
        self.items.pop((pk, sk), None)

    async def listed(self, pk: str) -> dict[str, Item]:
        self._check()
        return {key[1]: self.item(*key) for key in self.items if key[0] == pk}

    def _check(self) -> None:
        if self.down:
            raise self.error("down")


def _copied(item: Item) -> Item:
    """The item as DynamoDB gives it back: through text."""
    return Item(item.rev, json.loads(json.dumps(item.value)))
