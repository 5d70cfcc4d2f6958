"""The state table on DynamoDB (moto): conditions, conflicts, listing, and a table that does not answer."""

import asyncio
import random
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from shared.errors import StateThrottled, StateUnavailable
from shared.state import Conflict, DynamoState, Item, change

KEYS = [("pk", "HASH"), ("sk", "RANGE")]


@pytest.fixture
def client(moto_url: str) -> Iterator[Any]:
    dynamo = boto3.client("dynamodb", endpoint_url=moto_url, region_name="us-east-1")
    dynamo.create_table(
        TableName="state",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in KEYS],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in KEYS],
    )
    yield dynamo
    dynamo.delete_table(TableName="state")
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


def test_changes_of_many_workers_all_count(client: Any) -> None:
    """Sixteen writers at once: each change is made on what the others wrote, and none is lost."""
    state = DynamoState(client, "state")

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
            client.put_item(**twice[0])

    client.meta.events.register("provide-client-params.dynamodb.PutItem", send_twice)
    written = asyncio.run(state.swap("a", "b", Item(), {"n": 1}, expires_at=None))
    client.meta.events.unregister("provide-client-params.dynamodb.PutItem", send_twice)
    assert twice
    assert written == asyncio.run(state.read("a", "b")) == Item(1, {"n": 1})
    with pytest.raises(Conflict):
        asyncio.run(state.swap("a", "b", Item(), {"n": 1}, expires_at=None))
