"""A message that comes back is resumed, not repeated."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from partners import Delivery
from shared.errors import StateRefused
from shared.firehose import Request
from testkit.records import record
from tests.fakes.echo import Echo


class Broken(Echo):
    """A release whose code raises."""

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        raise KeyError


def test_refusal_is_remembered_until_the_rest_is_delivered(fleet: Any) -> None:
    """The refused delivery is not sent again when its message comes back, and still decides its end."""
    fleet.run(record(1, ["400", "503|200"]))
    fleet.clock.now_s += 60
    fleet.run(record(1, ["400", "503|200"], receives=2))
    assert fleet.api.ids == ["1.0", "1.1", "1.1"]
    assert fleet.letters() == [("rejected", "HTTP 400 for 1 of 2 deliveries")]


def test_message_is_resumed_where_it_stopped(fleet: Any) -> None:
    """What was delivered before the trouble is not delivered again when the message comes back."""
    fleet.run(record(1, ["200", "200", "503|200", "200"]))
    assert fleet.api.ids == ["1.0", "1.1", "1.2"]
    fleet.clock.now_s += 60
    report = fleet.run(record(1, ["200", "200", "503|200", "200"], receives=2), worker=fleet.another())
    assert fleet.api.ids == ["1.0", "1.1", "1.2", "1.2", "1.3"]
    assert report.delivered == 1
    assert fleet.state.keys("progress#") == []


def test_dead_letter_that_was_not_taken_is_resumed_not_repeated(fleet: Any) -> None:
    """When the dead-letter queue does not take a message, its good deliveries are not made again."""
    fleet.queue.broken = True
    fleet.run(record(1, ["200", "400"]))
    fleet.queue.broken = False
    fleet.clock.now_s += 400
    fleet.run(record(1, ["200", "400"], receives=2))
    assert fleet.api.ids == ["1.0", "1.1"]
    assert fleet.letters() == [("rejected", "HTTP 400 for 1 of 2 deliveries")]


def test_message_from_the_parking_queue_is_resumed(fleet: Any) -> None:
    """A message that was parked half delivered is new to SQS, and is resumed all the same."""
    fleet.run(record(1, ["200", "503|200"]))
    fleet.clock.now_s += 600
    moved = record(1, ["200", "503|200"])
    moved["attributes"]["SentTimestamp"] = str(int(fleet.clock.now_s * 1_000))
    fleet.run(moved)
    assert fleet.api.ids == ["1.0", "1.1", "1.1"]


def test_redriven_message_gets_another_chance_for_what_was_refused(fleet: Any) -> None:
    """After a redrive the refused part is sent again, and the delivered part is not."""
    fleet.run(record(1, ["200", "400|200", "503|200"]))
    fleet.clock.now_s += 60
    fleet.run(record(1, ["200", "400|200", "503|200"], receives=2))
    assert fleet.letters() == [("rejected", "HTTP 400 for 1 of 3 deliveries")]
    fleet.clock.now_s += 3_600
    redriven = record(1, ["200", "400|200", "503|200"])
    redriven["attributes"]["SentTimestamp"] = str(int(fleet.clock.now_s * 1_000))
    assert fleet.run(redriven).delivered == 1
    assert fleet.api.ids == ["1.0", "1.1", "1.2", "1.2", "1.1"]


def test_message_that_alone_fails_again_and_again_is_rejected(make_fleet: Any) -> None:
    """A message on which the partner fails while it takes others is dead-lettered after so many failed attempts."""
    fleet = make_fleet()
    receives = 0
    while not fleet.queue.dead:
        receives += 1
        fleet.clock.now_s += 60
        fleet.run(record(100 + receives, ["200"]), record(1, ["500"], receives=receives))
        assert receives < 60
    [(reason, error)] = fleet.letters()
    assert (reason, receives) == ("rejected", 50)
    assert error.startswith("HTTP 500 50 times")


def test_partner_that_fails_on_everything_costs_no_message_a_failed_attempt(fleet: Any) -> None:
    """While the partner takes nothing, no message is charged a failed attempt."""
    for receives in range(1, 80):
        fleet.clock.now_s += 900
        fleet.run(record(1, ["500"], receives=receives, received_at_ms=int(fleet.clock.now_s * 1_000)))
    assert fleet.queue.dead == []


def test_event_that_always_fails_takes_nothing_with_it(fleet: Any) -> None:
    """Events behind one that failed too often are delivered; the dead letter is about that event only."""
    names = ["200", "500", "500|200", "200"]
    receives = 0
    while not fleet.queue.dead:
        receives += 1
        fleet.clock.now_s += 60
        fleet.run(record(100 + receives, ["200"]), record(1, names, receives=receives))
        assert receives < 80
    [(reason, error)] = fleet.letters()
    assert reason == "rejected"
    assert error.startswith("HTTP 500 50 times")
    assert error.endswith("for 1 of 4 deliveries")
    others = [event_id for event_id in fleet.api.ids if event_id in {"1.0", "1.2", "1.3"}]
    assert others == ["1.0", "1.2", "1.2", "1.3"]  # the next one that fails has as many attempts as that one had


def test_an_accounts_own_trouble_costs_its_messages_no_failed_attempt(fleet: Any) -> None:
    """The partner takes others' calls all the while: that says nothing of this account's messages."""
    for receives in range(1, 80):
        fleet.clock.now_s += 60
        now_ms = int(fleet.clock.now_s * 1_000)
        fleet.run(
            record(100 + receives, ["200"], account=8), record(1, ["500"], receives=receives, received_at_ms=now_ms)
        )
    assert fleet.queue.dead == []


def test_a_partner_that_went_down_a_moment_ago_costs_no_failed_attempt(fleet: Any) -> None:
    """What arrived before the breaker opened says nothing of the messages that fail since."""
    fleet.run(record(1, ["200"]), *(record(n, ["500"] * 3) for n in range(2, 60)))
    assert fleet.worker.limiters.partner.flow.breaker.is_open
    failed = [item.value["strikes"] for (pk, _), item in fleet.state.items.items() if pk.startswith("progress#")]
    assert set(failed) == {0}


def test_progress_out_of_reach_is_counted(fleet: Any) -> None:
    """The message is sent as a whole, and the alarm about the state table hears of it."""
    read = fleet.state.read

    async def but_progress(pk: str, sk: str) -> Any:
        if pk.startswith("progress#"):
            raise StateRefused("this one alone")
        return await read(pk, sk)

    fleet.state.read = but_progress
    report = fleet.run(record(1, ["200"], receives=2))
    assert (report.delivered, report.state_trouble) == (1, 1)


@pytest.mark.parametrize("why", ["too_old", "unmappable"])
def test_a_message_that_ended_before_it_was_resumed_has_another_chance_too(fleet: Any, why: str) -> None:
    """A message that was dead-lettered before it was resumed is resumed after a redrive: delivered calls are known, and
    the rest is open.
    """
    names = ["200", "400|200", "503|200"]
    fleet.run(record(1, names))
    if why == "too_old":
        now_ms = int(fleet.clock.now_s * 1_000)
        probe = {"probe_id": "another", "probe_at_ms": now_ms + 10 * 86_400_000}
        fleet.set_item("suspended", "7", {"status": 401, "since_ms": now_ms, **probe})
        fleet.clock.now_s += 4 * 86_400
        fleet.run(record(1, names, receives=2), worker=fleet.another())
        asyncio.run(fleet.state.delete("suspended", "7"))
    else:
        fleet.clock.now_s += 60
        fleet.run(record(1, names, receives=2), worker=replace(fleet.worker, partner=Broken()))
    assert [reason for reason, _ in fleet.letters()] == [why]
    fleet.clock.now_s += 3_600
    redriven = record(1, names)
    redriven["attributes"]["SentTimestamp"] = str(int(fleet.clock.now_s * 1_000))
    redriven["messageAttributes"] = {"redriven_ms": {"stringValue": redriven["attributes"]["SentTimestamp"]}}
    assert fleet.run(redriven, worker=fleet.another()).delivered == 1
    assert fleet.api.ids == ["1.0", "1.1", "1.2", "1.1", "1.2"]
