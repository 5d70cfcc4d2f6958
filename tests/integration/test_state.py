"""The state table on DynamoDB (moto): conditions, conflicts, listing, and a table that does not answer."""

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from shared.errors import StateThrottled, StateUnavailable
from shared.state import Conflict, DynamoState, Item, change
from testkit import updates
from tests.integration.state_table import state_table


@pytest.fixture
def client(moto_url: str) -> Iterator[Any]:
    dynamo = boto3.client("dynamodb", endpoint_url=moto_url, region_name="us-east-1")
    with state_table(dynamo):
        yield dynamo
    dynamo.close()


def test_item_is_read_as_it_was_written(client: Any) -> None:
    """A value comes back as it was written, with its revision; what was never written is empty."""
    state = DynamoState(client, "state")

    async def story() -> tuple[Item, Item]:
        empty = await state.read("partner", "flow")
        await state.swap("partner", "flow", empty, {"a": [1, 2.5, "x"]}, expires_at=None)
        return empty, await state.read("partner", "flow")

    assert asyncio.run(story()) == (Item(), Item(1, {"a": [1, 2.5, "x"]}))


def test_second_writer_gets_what_the_first_wrote(client: Any) -> None:
    """Of two writers that read the same value, one wins; the other gets the new value at once."""
    state = DynamoState(client, "state")

    async def story() -> Item:
        empty = Item()
        await state.swap("a", "b", empty, {"by": "first"}, expires_at=None)
        with pytest.raises(Conflict) as conflict:
            await state.swap("a", "b", empty, {"by": "second"}, expires_at=None)
        return conflict.value.current

    assert asyncio.run(story()) == Item(1, {"by": "first"})


def test_expiry_is_what_dynamodb_reads(client: Any) -> None:
    """The TTL attribute is a number in seconds."""
    asyncio.run(DynamoState(client, "state").swap("a", "b", Item(), {}, expires_at=1_800_000_000))
    row = client.get_item(TableName="state", Key={"pk": {"S": "a"}, "sk": {"S": "b"}})["Item"]
    assert row["expires_at"] == {"N": "1800000000"}


def test_items_are_listed_and_deleted(client: Any) -> None:
    """All items under a key are listed by name; a deleted item is gone, and deleting it again is not an error."""
    state = DynamoState(client, "state")

    async def story() -> tuple[set[str], set[str]]:
        for name in ("7", "8"):
            await state.swap("suspended", name, Item(), {"n": name}, expires_at=None)
        before = set(await state.listed("suspended"))
        await state.delete("suspended", "7")
        await state.delete("suspended", "7")
        return before, set(await state.listed("suspended"))

    assert asyncio.run(story()) == ({"7", "8"}, {"8"})


def test_changes_of_many_workers_all_count(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen writers at once each change what the others wrote, and no change is lost."""
    state, update, one_by_one = DynamoState(client, "state"), client.update_item, threading.Lock()

    def at_once(**given: Any) -> Any:
        """Make condition and write one step, as in DynamoDB: moto's threads can come between the two."""
        with one_by_one:
            return update(**given)

    monkeypatch.setattr(client, "update_item", at_once)

    def one_more(value: Mapping[str, Any]) -> tuple[dict[str, Any], None]:
        return {"count": value.get("count", 0) + 1}, None

    async def story() -> Item:
        rng = random.Random(1)
        await asyncio.gather(*(change(state, "a", "b", one_more, rng=rng, tries=50) for _ in range(16)))
        return await state.read("a", "b")

    assert asyncio.run(story()).value == {"count": 16}


def test_unchanged_value_is_not_written(client: Any) -> None:
    """A change that leaves the value as it is makes no write."""
    state = DynamoState(client, "state")

    async def story() -> Item:
        await state.swap("a", "b", Item(), {"x": 1}, expires_at=None)
        await change(state, "a", "b", lambda value: (value, None), rng=random.Random(1))
        return await state.read("a", "b")

    assert asyncio.run(story()).rev == 1


def test_table_that_is_missing_or_down_is_one_error(client: Any) -> None:
    """Whatever is wrong with the table, callers get one error, which contains nothing of the item."""
    nowhere = boto3.client(
        "dynamodb",
        endpoint_url="http://127.0.0.1:9",
        region_name="us-east-1",
        config=Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1}),
    )
    for state in (DynamoState(client, "no-such-table"), DynamoState(nowhere, "state")):
        with pytest.raises(StateUnavailable) as raised:
            asyncio.run(state.swap("canary", "canary", Item(), {"canary": 1}, expires_at=None))
        assert "canary" not in str(raised.value)
    nowhere.close()


@pytest.mark.parametrize(
    ("code", "is_throttled"),
    [
        ("ThrottlingException", True),
        ("ProvisionedThroughputExceededException", True),
        ("RequestLimitExceeded", True),
        ("InternalServerError", False),
        ("AccessDeniedException", False),
    ],
)
def test_a_throttle_is_told_apart(client: Any, code: str, is_throttled: bool) -> None:
    """A throttle is reported as such: it shows that the table is there, so other workers may reach it."""
    config = Config(retries={"total_max_attempts": 1})
    once = boto3.client("dynamodb", endpoint_url=client.meta.endpoint_url, region_name="us-east-1", config=config)
    with Stubber(once) as stub:
        stub.add_client_error("get_item", service_error_code=code, http_status_code=400)
        with pytest.raises(StateUnavailable) as caught:
            asyncio.run(DynamoState(once, "state").read("a", "b"))
    once.close()
    assert isinstance(caught.value, StateThrottled) is is_throttled


def test_a_write_whose_answer_was_lost_is_known_again(client: Any) -> None:
    """If boto3 repeats a write whose answer was lost, the condition fails on the worker's own write, which is not a
    conflict; another writer's write is one.
    """
    state, twice = DynamoState(client, "state"), []

    def send_twice(params: dict[str, Any], **_: Any) -> None:
        if not twice:
            twice.append(dict(params))
            client.update_item(**twice[0])

    client.meta.events.register("provide-client-params.dynamodb.UpdateItem", send_twice)
    written = asyncio.run(state.swap("a", "b", Item(), {"n": 1}, expires_at=None))
    client.meta.events.unregister("provide-client-params.dynamodb.UpdateItem", send_twice)
    assert twice
    assert written == asyncio.run(state.read("a", "b")) == Item(1, {"n": 1})
    with pytest.raises(Conflict):
        asyncio.run(state.swap("a", "b", Item(), {"n": 1}, expires_at=None))


def test_counts_are_added_to_whoever_else_does(client: Any) -> None:
    """Each of many writers that add at once gets its own range of numbers, without knowing the present count."""
    state = DynamoState(client, "state")

    async def story() -> list[Item]:
        return await asyncio.gather(*(state.add("a", "b", {"w1": 3, "td": 1}, expires_at=7) for _ in range(8)))

    assert sorted(item.counts["w1"] for item in asyncio.run(story())) == list(range(3, 27, 3))
    assert asyncio.run(state.read("a", "b")) == Item(1, {}, {"w1": 24, "td": 8})


def test_a_value_is_changed_beside_its_counts(client: Any) -> None:
    """A swap subtracts the counts that its writer saw, keeps later ones, and drops counts that nobody needs."""
    state = DynamoState(client, "state")

    async def story() -> Item:
        seen = await state.add("a", "b", {"td": 5, "w1": 2, "p0": 1}, expires_at=None)
        await state.add("a", "b", {"td": 2}, drop=["w1"], expires_at=None)
        return await state.swap("a", "b", seen, {"limit": 1}, expires_at=None, counts={"td": -5}, drop=["p0"])

    written = asyncio.run(story())
    assert written == asyncio.run(state.read("a", "b")) == Item(2, {"limit": 1}, {"td": 2})


def test_the_longest_cool_down_stands(client: Any) -> None:
    """A shorter cool-down changes nothing, and its writer gets the present one."""
    state = DynamoState(client, "state")

    async def story() -> tuple[Item, Item]:
        longest = await state.raise_to("a", "b", 900, since_ms=100, counts={"td": 1}, expires_at=None)
        with pytest.raises(Conflict) as conflict:
            await state.raise_to("a", "b", 900, since_ms=200, counts={"td": 1}, expires_at=None)
        return longest, conflict.value.current

    longest, current = asyncio.run(story())
    assert longest == current == Item(1, {}, {"cu": 900, "cf": 100, "td": 1})


def test_an_item_of_counts_can_be_read_by_releases_without_them(client: Any) -> None:
    """Earlier releases read `rev` and `value` of every item, so after a rollback an item that has only counts does not
    crash them.
    """
    state = DynamoState(client, "state")
    asyncio.run(state.add("a", "added", {"w1": 3}, expires_at=7))
    asyncio.run(state.raise_to("a", "raised", 900, since_ms=100, counts={}, expires_at=7))
    for name in ("added", "raised"):
        row = client.get_item(TableName="state", Key={"pk": {"S": "a"}, "sk": {"S": name}})["Item"]
        assert (row["rev"], row["value"]) == ({"N": "1"}, {"S": "{}"})


def test_a_table_in_memory_is_as_dynamodb_is(client: Any) -> None:
    """The same random updates give the same items and the same refusals in the table in memory and in DynamoDB."""
    state, rng = DynamoState(client, "state"), random.Random(5)
    in_memory: dict[str, Item] = {"a": Item(), "b": Item()}

    def at_random(key: str) -> tuple[Callable[[], Item], Coroutine[Any, Any, Item]]:
        counts = {rng.choice(["w1", "w2", "td", "p0"]): rng.randint(-3, 9) for _ in range(2)}
        drop = [name for name in ("w4", "w5") if rng.random() < 0.5]
        current, known = in_memory[key], rng.choice([Item(), in_memory[key]])
        until_ms, value, how = rng.randint(0, 300), {"x": rng.random()}, rng.randrange(3)
        if how == 0:
            adding = state.add(key, "s", counts, drop=drop, expires_at=9)
            return lambda: updates.added(current, counts, drop), adding
        if how == 1:
            swapping = state.swap(key, "s", known, value, expires_at=None, counts=counts, drop=drop)
            return lambda: updates.swapped(current, known, value, counts, drop), swapping
        raising = state.raise_to(key, "s", until_ms, since_ms=5, counts=counts, expires_at=None)
        return lambda: updates.raised(current, until_ms, 5, counts), raising

    for _ in range(120):
        key = rng.choice("ab")
        memory, table = at_random(key)
        try:
            in_memory[key] = memory()
        except Conflict:
            with pytest.raises(Conflict):
                asyncio.run(table)
        else:
            assert asyncio.run(table) == in_memory[key]
