"""The worker's own calls to the state table, on DynamoDB (moto), work on the same table as boto3's."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import boto3
import pytest

from shared.errors import StateUnavailable
from shared.sigv4 import Credentials
from shared.state import COOL_UNTIL, Conflict, DynamoState, Item, State, change
from tests.integration.state_table import state_table
from worker_fn.clients.http import HttpClient
from worker_fn.clients.signed_state import SignedState

Story = Callable[[State], Awaitable[Any]]


@pytest.fixture
def by_boto3(moto_url: str) -> Iterator[DynamoState]:
    dynamo = boto3.client("dynamodb", endpoint_url=moto_url, region_name="us-east-1")
    with state_table(dynamo, "signed"):
        yield DynamoState(dynamo, "signed")
    dynamo.close()


@pytest.fixture
def play(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Play a story with a signed state."""
    monkeypatch.setattr("worker_fn.clients.signed_state.ANSWER_WITHIN_S", 30.0)

    def played(story: Story, table: str = "signed") -> Any:
        async def with_client() -> Any:
            async with HttpClient(max_in_flight=4, connect_timeout_s=30) as client:
                keys = Credentials("key", "secret")
                return await story(
                    SignedState(client.make, table, endpoint=moto_url, region="us-east-1", credentials=lambda: keys)
                )

        return asyncio.run(with_client())

    return played


def test_both_read_what_the_other_wrote(by_boto3: DynamoState, play: Callable[..., Any]) -> None:
    """Both clients read values, revisions and counts that the other wrote, whatever text is in them."""
    value = {"a": [1, 2.5, "Zoë \u2028 \U0001f600"], "b": {"c": None}}

    async def story(state: State) -> tuple[Item, Item]:
        written = await state.swap("a", "b#é", Item(), value, expires_at=1_900_000_000, counts={"n": 2})
        return written, await state.add("a", "b#é", {"n": 3}, expires_at=None)

    written, added = play(story)
    assert (written, added) == (Item(1, value, {"n": 2}), Item(1, value, {"n": 5}))
    assert asyncio.run(by_boto3.read("a", "b#é")) == added


def test_second_writer_gets_what_the_first_wrote(by_boto3: DynamoState, play: Callable[..., Any]) -> None:
    """Of two writers that read the same value, one wins; the other gets the new value at once."""

    async def story(state: State) -> tuple[Item, Item, Item]:
        await state.swap("a", "b", Item(), {"by": "first"}, expires_at=None)
        with pytest.raises(Conflict) as swapped:
            await state.swap("a", "b", Item(), {"by": "second"}, expires_at=None)
        await state.raise_to("a", "b", 2_000, since_ms=1, counts={}, expires_at=None)
        with pytest.raises(Conflict) as raised:
            await state.raise_to("a", "b", 1_000, since_ms=1, counts={}, expires_at=None)
        after, _ = await change(
            state, "a", "b", lambda found: ({**found, "more": 1}, None), rng=random.Random(1), expires_at=None
        )
        return swapped.value.current, raised.value.current, after

    swapped, raised, _ = play(story)
    assert swapped == Item(1, {"by": "first"})
    assert raised.counts[COOL_UNTIL] == 2_000


def test_a_list_of_several_pages_is_whole(by_boto3: DynamoState, play: Callable[..., Any]) -> None:
    """A list of several pages is complete, without items that were deleted."""

    async def story(state: State) -> dict[str, Item]:
        await asyncio.gather(*(state.swap("many", f"{n:02}", Item(), {"n": n}, expires_at=None) for n in range(7)))
        await state.delete("many", "03")
        return await state.listed("many")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.state.dynamo.ITEMS_A_PAGE", 2)
        found = play(story)
    assert [item.value["n"] for _, item in sorted(found.items())] == [0, 1, 2, 4, 5, 6]


def test_a_table_that_is_not_there_is_out_of_reach(by_boto3: DynamoState, play: Callable[..., Any]) -> None:
    """A missing table counts as out of reach, as with boto3."""

    async def story(state: State) -> None:
        await state.read("a", "b")

    with pytest.raises(StateUnavailable):
        play(story, "no-such-table")
