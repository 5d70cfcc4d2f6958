import asyncio
import random
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError

from shared.errors import StateRefused, StateSilent, StateThrottled, StateUnavailable
from shared.state import NO_COUNTS, Conflict, DynamoState, Item, Patient, change


class Table:
    """A state table that counts its calls and fails when told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.down = False
        self.error: type[StateUnavailable] = StateUnavailable
        self.item = Item()
        self.conflicts = 0

    async def read(self, pk: str, sk: str) -> Item:
        self.calls += 1
        if self.down:
            raise self.error("down")
        return self.item

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
        self.calls += 1
        if self.down:
            raise self.error("down")
        if self.conflicts:
            self.conflicts -= 1
            self.item = Item(self.item.rev + 1, {"n": self.item.value.get("n", 0) + 100})
        if item.rev != self.item.rev:
            raise Conflict(self.item)
        self.item = Item(item.rev + 1, value)
        return self.item

    async def add(
        self, pk: str, sk: str, counts: Mapping[str, int], *, drop: Collection[str] = (), expires_at: int | None
    ) -> Item:
        return await self.read(pk, sk)

    async def raise_to(
        self, pk: str, sk: str, until_ms: int, *, since_ms: int, counts: Mapping[str, int], expires_at: int | None
    ) -> Item:
        return await self.read(pk, sk)

    async def delete(self, pk: str, sk: str) -> None:
        await self.read(pk, sk)

    async def listed(self, pk: str) -> dict[str, Item]:
        return {"x": await self.read(pk, "x")}


def one_more(value: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    return {"n": value.get("n", 0) + 1}, "done"


def test_change_is_made_on_what_others_wrote() -> None:
    """A writer that was first does not lose its change to us, nor we ours to it."""
    table = Table()
    table.conflicts = 3
    item, result = asyncio.run(change(table, "a", "b", one_more, rng=random.Random(1)))
    assert (item.value, result) == ({"n": 301}, "done")


def test_known_item_saves_the_read() -> None:
    """A change on an item that is still what we know is one call."""
    table = Table()
    asyncio.run(change(table, "a", "b", one_more, rng=random.Random(1), known=Item()))
    assert table.calls == 1


def test_endless_conflicts_end_as_trouble() -> None:
    """An item that everybody writes is given up, not tried for ever."""
    table = Table()
    table.conflicts = 1_000
    with pytest.raises(StateUnavailable):
        asyncio.run(change(table, "a", "b", one_more, rng=random.Random(1), tries=3))


def test_silent_table_is_left_alone_for_a_while() -> None:
    """One call that fails spares the next ones their time; after a while the table is asked again."""
    table, now = Table(), [0]
    state = Patient(table, now_ms=lambda: now[0], first_pause_ms=5_000)
    table.down = True

    async def every_call() -> None:
        for call in (state.read("a", "b"), state.delete("a", "b"), state.listed("a")):
            with pytest.raises(StateUnavailable):
                await call

    asyncio.run(every_call())
    assert table.calls == 1
    table.down, now[0] = False, 5_000
    assert asyncio.run(state.read("a", "b")) == Item()


def test_silent_table_says_when_it_is_asked_again() -> None:
    """And what it said is passed on: a throttle is no silence of the table's."""
    table, now = Table(), [1_000]
    state = Patient(table, now_ms=lambda: now[0], first_pause_ms=5_000)
    table.down, table.error = True, StateThrottled
    with pytest.raises(StateThrottled):
        asyncio.run(state.read("a", "b"))
    now[0] += 1_500
    with pytest.raises(StateSilent) as silent:
        asyncio.run(state.read("a", "b"))
    assert silent.value.wait_ms == 3_500


def test_a_call_that_is_refused_is_no_silence() -> None:
    """The table said no to one key or one item: the next call is made, at once and for everybody."""
    table, now = Table(), [0]
    state = Patient(table, now_ms=lambda: now[0], first_pause_ms=5_000)
    table.down, table.error = True, StateRefused
    for _ in range(30):
        with pytest.raises(StateRefused):
            asyncio.run(state.read("message#" + "7" * 2_100, "1/1"))
    assert table.calls == 30
    table.down = False
    assert asyncio.run(state.read("a", "b")) == Item()


class Client:
    """A boto3 client that fails."""

    class exceptions:  # noqa: N801 - boto3's own name
        class ConditionalCheckFailedException(ClientError): ...

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get_item(self, **_: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ClientError({"Error": {"Code": "ValidationException"}}, "GetItem"), StateRefused),
        (ClientError({"Error": {"Code": "ItemCollectionSizeLimitExceededException"}}, "PutItem"), StateRefused),
        (ClientError({"Error": {"Code": "SerializationException"}}, "PutItem"), StateRefused),
        (ParamValidationError(report="canary"), StateRefused),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "canary"), StateRefused),
        (ClientError({"Error": {"Code": "ThrottlingException"}}, "GetItem"), StateThrottled),
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetItem"), StateUnavailable),
        (ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetItem"), StateUnavailable),
        (ClientError({"Error": {"Code": "InternalServerError"}}, "GetItem"), StateUnavailable),
        (EndpointConnectionError(endpoint_url="canary"), StateUnavailable),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(getattr(value, "response", value))[:60],
)
def test_what_dynamodb_says_of_one_call_is_told_from_an_outage(error: Exception, expected: type[Exception]) -> None:
    """A refusal is this call's own; a table that is gone or closed to us takes none, as one that does not answer."""
    with pytest.raises(StateUnavailable) as raised:
        asyncio.run(DynamoState(Client(error), "t").read("a", "b"))
    assert type(raised.value) is expected
    assert "canary" not in str(raised.value)
