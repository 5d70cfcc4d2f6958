"""The state table in memory. See shared.state.State."""

from collections.abc import Collection, Mapping
from typing import Any

from shared.errors import StateUnavailable
from shared.state import NO_COUNTS, Item
from testkit.updates import added, copy, raised, swapped


class MemoryState:
    """What is stored, by key. Whoever reads or writes gets a copy: nobody shares an object with anybody.

    `down` makes every call fail, with `error`; `calls` counts all, those that fail too.
    """

    def __init__(self, *, down: bool = False) -> None:
        self.items: dict[tuple[str, str], Item] = {}
        self.calls = 0
        self.down = down
        self.error: type[StateUnavailable] = StateUnavailable

    def item(self, pk: str, sk: str) -> Item:
        return copy(self.items.get((pk, sk), Item()))

    def put(self, pk: str, sk: str, item: Item) -> None:
        self.items[pk, sk] = copy(item)

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
        counts: Mapping[str, int] = NO_COUNTS,
        drop: Collection[str] = (),
    ) -> Item:
        self._check()
        self.put(pk, sk, swapped(self.item(pk, sk), item, value, counts, drop))
        return self.item(pk, sk)

    async def add(
        self,
        pk: str,
        sk: str,
        counts: Mapping[str, int],
        *,
        drop: Collection[str] = (),
        expires_at: int | None,  # noqa: ARG002 - nothing lives that long
    ) -> Item:
        self._check()
        self.put(pk, sk, added(self.item(pk, sk), counts, drop))
        return self.item(pk, sk)

    async def raise_to(
        self,
        pk: str,
        sk: str,
        until_ms: int,
        *,
        since_ms: int,
        counts: Mapping[str, int],
        expires_at: int | None,  # noqa: ARG002 - nothing lives that long
    ) -> Item:
        self._check()
        self.put(pk, sk, raised(self.item(pk, sk), until_ms, since_ms, counts))
        return self.item(pk, sk)

    async def delete(self, pk: str, sk: str) -> None:
        self._check()
        self.items.pop((pk, sk), None)

    async def listed(self, pk: str) -> dict[str, Item]:
        self._check()
        return {key[1]: self.item(*key) for key in self.items if key[0] == pk}

    def _check(self) -> None:
        self.calls += 1
        if self.down:
            raise self.error("down")
