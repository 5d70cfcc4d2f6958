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
    """Of two writers that read the same, one wins; the other learns at once what stands there."""
    state = DynamoState(client, "state")

    async def story() -> Item:
        empty = Item()
        await state.swap("a", "b", empty, {"by": "first"}, expires_at=None)
        with pytest.raises(Conflict) as conflict:
            await state.swap("a", "b", empty, {"by": "second"}, expires_at=None)
        return conflict.value.current

    assert asyncio.run(story()) == Item(1, {"by": "first"})


def test_expiry_is_what_dynamodb_reads(client: Any) -> None:
    """The TTL attribute is a number of seconds."""
    asyncio.run(DynamoState(client, "state").swap("a", "b", Item(), {}, expires_at=1_800_000_000))
    row = client.get_item(TableName="state", Key={"pk": {"S": "a"}, "sk": {"S": "b"}})["Item"]
    assert row["expires_at"] == {"N": "1800000000"}


def test_items_are_listed_and_deleted(client: Any) -> None:
    """All items under a key are found by their name; a deleted one is gone, and deleting it again is no error."""
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
    """Sixteen writers at once: each change is made on what the others wrote, and none is lost."""
    state, update, one_by_one = DynamoState(client, "state"), client.update_item, threading.Lock()

    def at_once(**given: Any) -> Any:
        """DynamoDB looks at the condition and writes in one step; moto's threads can come in between."""
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
    """A change that changes nothing costs no write."""
    state = DynamoState(client, "state")

    async def story() -> Item:
        await state.swap("a", "b", Item(), {"x": 1}, expires_at=None)
        await change(state, "a", "b", lambda value: (value, None), rng=random.Random(1))
        return await state.read("a", "b")

    assert asyncio.run(story()).rev == 1


def test_table_that_is_missing_or_down_is_one_error(client: Any) -> None:
    """Whatever is wrong with the table, callers see one error that holds nothing of the item."""
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
    """The table is there then, and others may be luckier; everything else says nothing of them."""
    config = Config(retries={"total_max_attempts": 1})
    once = boto3.client("dynamodb", endpoint_url=client.meta.endpoint_url, region_name="us-east-1", config=config)
    with Stubber(once) as stub:
        stub.add_client_error("get_item", service_error_code=code, http_status_code=400)
        with pytest.raises(StateUnavailable) as caught:
            asyncio.run(DynamoState(once, "state").read("a", "b"))
    once.close()
    assert isinstance(caught.value, StateThrottled) is is_throttled


def test_a_write_whose_answer_was_lost_is_known_again(client: Any) -> None:
    """boto3 tries again, and the condition fails on our own write: that is no conflict. One that looks the same is."""
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
    """Each of many who add at once gets numbers of its own, and none of them has to know what stands there."""
    state = DynamoState(client, "state")

    async def story() -> list[Item]:
        return await asyncio.gather(*(state.add("a", "b", {"w1": 3, "td": 1}, expires_at=7) for _ in range(8)))

    assert sorted(item.counts["w1"] for item in asyncio.run(story())) == list(range(3, 27, 3))
    assert asyncio.run(state.read("a", "b")) == Item(1, {}, {"w1": 24, "td": 8})


def test_a_value_is_changed_beside_its_counts(client: Any) -> None:
    """A swap takes from the counts what its writer saw, leaves what came since, and drops what nobody needs."""
    state = DynamoState(client, "state")

    async def story() -> Item:
        seen = await state.add("a", "b", {"td": 5, "w1": 2, "p0": 1}, expires_at=None)
        await state.add("a", "b", {"td": 2}, drop=["w1"], expires_at=None)
        return await state.swap("a", "b", seen, {"limit": 1}, expires_at=None, counts={"td": -5}, drop=["p0"])

    written = asyncio.run(story())
    assert written == asyncio.run(state.read("a", "b")) == Item(2, {"limit": 1}, {"td": 2})


def test_the_longest_cool_down_stands(client: Any) -> None:
    """A shorter one changes nothing, and its writer learns what stands there."""
    state = DynamoState(client, "state")

    async def story() -> tuple[Item, Item]:
        longest = await state.raise_to("a", "b", 900, since_ms=100, counts={"td": 1}, expires_at=None)
        with pytest.raises(Conflict) as conflict:
            await state.raise_to("a", "b", 900, since_ms=200, counts={"td": 1}, expires_at=None)
        return longest, conflict.value.current

    longest, current = asyncio.run(story())
    assert longest == current == Item(1, {}, {"cu": 900, "cf": 100, "td": 1})


def test_an_item_of_counts_can_be_read_by_releases_without_them(client: Any) -> None:
    """They read `rev` and `value` of every item: after a rollback an account whose calls were counted is no crash."""
    state = DynamoState(client, "state")
    asyncio.run(state.add("a", "added", {"w1": 3}, expires_at=7))
    asyncio.run(state.raise_to("a", "raised", 900, since_ms=100, counts={}, expires_at=7))
    for name in ("added", "raised"):
        row = client.get_item(TableName="state", Key={"pk": {"S": "a"}, "sk": {"S": name}})["Item"]
        assert (row["rev"], row["value"]) == ({"N": "1"}, {"S": "{}"})


def test_a_table_in_memory_is_as_dynamodb_is(client: Any) -> None:
    """The same random updates of both come to the same items and the same refusals."""
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
