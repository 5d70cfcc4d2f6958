"""What is remembered of a message, for which account, and in how many bytes."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest

from shared.errors import StateRefused, StateThrottled
from shared.idempotency import Places
from shared.message import EVENTS, Message
from shared.state import Conflict, Item, account_key, former_progress_key, of_account, progress_key
from testkit.records import record
from worker_fn.batch.prepare import key_for
from worker_fn.batch.progress import MAX_BYTES, Progress, read_progress, short, write_progress

MESSAGE = Message("r-1", "1/1", EVENTS, "7", 1_700_000_000_000, {})


def keys(count: int, of: str = "done") -> list[str]:
    return [hashlib.sha256(f"{of}{number}".encode()).hexdigest()[:32] for number in range(count)]


def after(done: list[str], refused: dict[str, str], **counts: int) -> Progress:
    """Progress of deliveries that have these keys."""
    return Progress(frozenset(map(short, done)), {short(key): why for key, why in refused.items()}, **counts)


def kept(fleet: Any, progress: Progress) -> tuple[Progress, int]:
    """Progress as it is read back, and the bytes of its item's value."""

    async def story() -> Progress:
        await write_progress(fleet.state, MESSAGE, progress, expires_at=1)
        return await read_progress(fleet.state, MESSAGE)

    found = asyncio.run(story())
    return found, len(json.dumps(found.item.value, separators=(",", ":")))


def test_progress_is_read_as_it_was_written(fleet: Any) -> None:
    """Progress is read as it was written: done calls, refused ones with reasons, and counts."""
    before = after(keys(3), dict.fromkeys(keys(2, "no"), "HTTP 422 é"), attempts=5, failed_attempts=2)
    found, _ = kept(fleet, before)
    assert (found.done, found.refused) == (before.done, before.refused)
    assert (found.attempts, found.failed_attempts) == (5, 2)


@pytest.mark.parametrize("same", [True, False], ids=["one reason", "a reason each"])
def test_twenty_thousand_refusals_fit_into_an_item(fleet: Any, same: bool) -> None:
    """DynamoDB takes items of 400 KB, so each reason is stored once, and refusals only as far as there is room."""
    refused = {key: f"HTTP 422, {'é' * 300}{'' if same else number}" for number, key in enumerate(keys(20_000, "no"))}
    if not same:
        refused = {key: why[-100:] for key, why in refused.items()}
    found, size = kept(fleet, after(keys(10), refused))
    assert size <= MAX_BYTES
    assert found.refused.keys() == {short(key) for key in refused}
    assert found.done == {short(key) for key in keys(10)}


def test_what_has_no_room_goes_in_the_order_of_its_worth(fleet: Any) -> None:
    """Refusals are stored before done calls, and done calls as far as there is room: the rest is repeated."""
    refused = dict.fromkeys(keys(30000, "no"), "HTTP 422")
    found, size = kept(fleet, after(keys(40_000), refused))
    assert size <= MAX_BYTES
    assert (len(found.done), found.refused) == (40_000, {})
    fleet.state.items.clear()
    found, size = kept(fleet, after(keys(60_000), {}))
    assert size <= MAX_BYTES
    assert 49_000 < len(found.done) < 60_000
    assert found.done < {short(key) for key in keys(60_000)}


def test_two_accounts_with_one_request_id_are_two_messages(fleet: Any) -> None:
    """Calls of one account's message are not done for another account's with the same id, and their keys differ."""
    fleet.run(record(1, ["200", "503|200"], account=7))
    fleet.clock.now_s += 60
    report = fleet.run(record(1, ["200", "503|200"], account=8, receives=2))
    assert report.delivered == 1
    fleet.clock.now_s += 60
    assert fleet.run(record(1, ["200", "503|200"], account=7, receives=2)).delivered == 1
    assert fleet.api.ids == ["1.0", "1.1", "1.0", "1.1", "1.1"]
    assert len(set(fleet.api.keys)) == 4


def former_keys(fleet: Any, message: Mapping[str, Any]) -> list[str]:
    """The keys of a record's deliveries as the previous release made them."""
    from shared.message import decode  # the record is a test's own

    decoded = decode(message["body"])
    from shared.firehose import parse_request

    places, mapped = Places(), fleet.partner.deliveries(parse_request(decoded.payload))
    return [key_for(decoded, one, places).former for one in mapped]


def former_item(fleet: Any, message: Mapping[str, Any], done: int, **more: Any) -> None:
    value = {"done": [short(key) for key in former_keys(fleet, message)[:done]], "refused": {}, "attempts": 3, **more}
    fleet.set_item(former_progress_key("r-1"), "1/1", value)


def test_a_message_of_the_release_before_keeps_its_progress(fleet: Any) -> None:
    """Calls that the release before made, under its keys, are not repeated."""
    message = record(1, ["200", "200", "503|200"], receives=2)
    former_item(fleet, message, 2)
    fleet.run(message)
    fleet.clock.now_s += 60
    report = fleet.run(record(1, ["200", "200", "503|200"], receives=3))
    assert report.delivered == 1
    assert fleet.api.ids == ["1.2", "1.2"]


def test_keys_of_the_release_before_are_those_it_made(fleet: Any) -> None:
    """A key of the release before is a digest of request, part, endpoint, item and number, without the account."""
    parts = ("r-1", "1/1", "POST /e", "1.0", "1")
    [key] = former_keys(fleet, record(1, ["200"]))
    assert key == hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def test_an_item_of_the_release_before_is_one_accounts(fleet: Any) -> None:
    """An item of the release before names no account: the first account that asks gets it, and no other account's
    message counts as done.
    """
    mine, other = record(1, ["200"], receives=2), record(1, ["200"], account=8, receives=2)
    former_item(fleet, mine, 1)
    assert fleet.run(mine).delivered == 1
    assert fleet.api.ids == []
    assert fleet.run(other).delivered == 1
    assert fleet.api.ids == ["1.0"]
    assert fleet.run(mine).delivered == 1  # received once more: still known
    assert fleet.api.ids == ["1.0"]


def test_where_two_ask_for_it_at_once_nothing_is_taken_for_done(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one may be another account's message."""
    message, swap = record(1, ["200"], receives=2), fleet.state.swap
    former_item(fleet, message, 1)

    async def contested(pk: str, *rest: Any, **more: Any) -> Item:
        if pk == former_progress_key("r-1"):
            raise Conflict(Item())
        return await swap(pk, *rest, **more)

    monkeypatch.setattr(fleet.state, "swap", contested)
    assert fleet.run(message).delivered == 1
    assert fleet.api.ids == ["1.0"]


def test_nothing_is_written_for_a_message_of_which_nothing_is_known(fleet: Any) -> None:
    """Neither under its key nor under that of the previous release."""
    assert fleet.run(record(1, ["200"], receives=2)).delivered == 1
    assert [pk for pk, sk in fleet.state.items if sk == "1/1"] == []


def test_refusals_of_the_release_before_are_known(fleet: Any) -> None:
    """Refusals of the release before, a key with its reason, are read."""
    message = record(1, ["200", "200"], receives=2)
    first, _ = former_keys(fleet, message)
    former_item(fleet, message, 0, refused={short(first): "HTTP 422"})
    fleet.run(message)
    assert fleet.api.ids == ["1.1"]
    assert fleet.letters() == [("rejected", "HTTP 422 for 1 of 2 deliveries")]


def test_keys_of_the_state_table_cannot_be_mistaken_for_each_other() -> None:
    """Keys cannot collide: an account's id has no blank, and the character that separates an endpoint is escaped in
    ids.
    """
    assert of_account("7", "8 r") != of_account(None, "7 8 r")
    assert progress_key("7", "r") != former_progress_key("7 r")
    assert progress_key(None, "7 r") != progress_key("7", "r")
    assert account_key("7#bulk") != account_key("7", "bulk")
    assert (account_key("7"), account_key("7", "bulk")) == ("account#7", "account#7#bulk")


@pytest.mark.parametrize(
    ("error", "remembered"),
    [(StateRefused, ["1/1"]), (StateThrottled, [])],  # a throttled table is left alone
)
def test_progress_that_the_table_does_not_take_costs_its_message_alone(
    fleet: Any, monkeypatch: pytest.MonkeyPatch, error: type[Exception], remembered: list[str]
) -> None:
    """If the table refuses one message's progress, that message repeats its calls; its neighbours' progress is
    stored.
    """
    swap = fleet.state.swap

    async def refusing(pk: str, *rest: Any, **more: Any) -> Item:
        if pk == progress_key("7", "r-1"):
            raise error("not this one")
        return await swap(pk, *rest, **more)

    monkeypatch.setattr(fleet.state, "swap", refusing)
    report = fleet.run(record(1, ["200", "503"]), record(2, ["200", "503"]), record(3, ["200"]))
    assert sorted(report.failures) == ["m-1", "m-2"]
    assert fleet.state.keys("progress#7 r-2") == remembered
    assert report.delivered == 1
