"""A batch from its records to their ends."""

import asyncio
import json
from typing import Any

import pytest

from shared.message import Head, encode
from tests.unit.worker_fn.records import raw_record, record


def test_delivered_messages_leave_the_queue(fleet: Any) -> None:
    """Everything arrived: nothing is reported, nothing is dead-lettered, nothing is remembered."""
    report = fleet.run(record(1, ["200", "204"]), record(2, ["201"]))
    assert sorted(fleet.api.ids) == ["1.0", "1.1", "2.0"]
    assert (report.failures, fleet.queue.dead, fleet.queue.hidden) == ([], [], {})
    assert report.delivered == 2
    assert fleet.state.keys("progress#") == []


def test_message_that_must_wait_is_hidden_and_reported(fleet: Any) -> None:
    """A partner that is down sends the message back to the queue for a while; its neighbours are delivered."""
    report = fleet.run(record(1, ["503"]), record(2, ["200"]), record(3, ["timeout"]))
    assert report.failures == ["m-1", "m-3"]
    assert set(fleet.queue.hidden) == {"h-1", "h-3"}
    assert all(wait >= 1 for wait in fleet.queue.hidden.values())
    assert fleet.queue.dead == []


def test_retry_after_is_the_least_that_a_message_waits(fleet: Any) -> None:
    """The partner's own wish decides when the message comes back."""
    fleet.run(record(1, ["429 120"]))
    assert fleet.queue.hidden["h-1"] >= 120


def test_refused_message_is_dead_lettered_with_a_reason(fleet: Any) -> None:
    """A 4xx goes to the dead-letter queue, body unchanged, with what an operator needs to know."""
    refused = record(1, ["200", "422", "200"])
    report = fleet.run(refused)
    [(body, attributes)] = fleet.queue.dead
    assert body == refused["body"]
    assert attributes == {
        "reason": "rejected",
        "error": "HTTP 422 for 1 of 3 deliveries",
        "status": "422",
        "attempts": "3",
        "first_received_ms": "1700000000000",
        "partner": "echo",
        "account_id": "7",
        "type": "event_processing_request",
    }
    assert report.failures == []
    assert fleet.api.ids == ["1.0", "1.1", "1.2"]


def test_undecodable_message_is_dead_lettered_and_its_neighbours_delivered(fleet: Any) -> None:
    """A body that is not ours does not stop a batch."""
    report = fleet.run(raw_record(1, "poison"), record(2, ["200"]))
    [(body, attributes)] = fleet.queue.dead
    assert (body, attributes["reason"]) == ("poison", "undecodable")
    assert (fleet.api.ids, report.failures) == (["2.0"], [])


def test_message_of_a_later_release_waits_for_its_worker(fleet: Any) -> None:
    """Hidden for a minute at a time, and its neighbours are not; an hour after its first receive it is given up."""
    newer = raw_record(1, '{"v": 2, "id": "r-1"}')
    report = fleet.run(newer, record(2, ["200"]))
    assert (report.failures, report.delivered, fleet.queue.hidden) == (["m-1"], 1, {"h-1": 60})
    fleet.clock.now_s += 3_599
    fleet.run(newer)
    assert fleet.letters() == []
    fleet.clock.now_s += 1
    fleet.run(newer)
    assert fleet.letters() == [("undecodable", "its version is not 1: deploy a worker that reads it, then redrive")]


def test_fifo_group_waits_behind_a_message_of_a_later_release(make_fleet: Any) -> None:
    """What is behind it in its group is not sent before it; what is before it, and other groups, are."""
    fleet = make_fleet(in_groups=True)
    newer = raw_record(2, '{"v": 2, "id": "r-2"}', group="ann")
    before, behind = record(1, ["200"], group="ann"), record(3, ["200"], group="ann")
    report = fleet.run(before, newer, behind, record(4, ["200"], group="bob"))
    assert report.failures == ["m-2", "m-3"]
    assert sorted(fleet.api.ids) == ["1.0", "4.0"]


def test_unmappable_message_tells_where_but_not_what(fleet: Any) -> None:
    """When the partner's code raises, the dead letter names the place in the code and nothing of the payload."""
    report = fleet.run(record(1, ["boom"]), record(2, ["200"]))
    [(_, attributes)] = fleet.queue.dead
    assert attributes["reason"] == "unmappable"
    assert attributes["error"].startswith("KeyError in conftest.py:")
    assert "canary" not in json.dumps(attributes)
    assert report.delivered == 1


def test_request_that_is_none_is_unmappable(fleet: Any) -> None:
    """A message whose payload is no request of mParticle's is dead-lettered by its field."""
    [body] = encode(Head("r", "event_processing_request", None, 1), b'{"type":"new_request"}')
    fleet.run(raw_record(1, body))
    [(reason, error)] = fleet.letters()
    assert (reason, error.split(":")[0]) == ("unmappable", "type")


def test_call_that_http_has_no_form_for_is_unmappable(fleet: Any) -> None:
    """A header that can not be sent is the mapping's fault and never leaves."""
    fleet.run(record(1, ["bad header"]))
    assert fleet.queue.dead[0][1]["reason"] == "unmappable"
    assert "canary" not in json.dumps(fleet.queue.dead[0][1])


def test_order_within_a_message_is_kept(fleet: Any) -> None:
    """What must wait holds back what is behind it in the same message."""
    report = fleet.run(record(1, ["200", "503", "200"]))
    assert fleet.api.ids == ["1.0", "1.1"]
    assert report.failures == ["m-1"]


def test_unordered_partner_sends_past_a_wait(make_fleet: Any) -> None:
    """Where order does not matter, one wait does not hold back the others."""
    fleet = make_fleet("unordered")
    report = fleet.run(record(1, ["200", "503", "200"]))
    assert sorted(fleet.api.ids) == ["1.0", "1.1", "1.2"]
    assert report.failures == ["m-1"]


def test_waiting_comes_before_refusal(fleet: Any) -> None:
    """A message with a refused and a waiting delivery waits: it is judged when all of it was answered."""
    report = fleet.run(record(1, ["400", "503"]))
    assert (report.failures, fleet.queue.dead) == (["m-1"], [])


def test_refusal_is_remembered_until_the_rest_is_delivered(fleet: Any) -> None:
    """The refused delivery is not sent again when its message comes back, and still decides its end."""
    fleet.run(record(1, ["400", "503|200"]))
    fleet.clock.now_s += 60
    fleet.run(record(1, ["400", "503|200"], receives=2))
    assert fleet.api.ids == ["1.0", "1.1", "1.1"]
    assert fleet.letters() == [("rejected", "HTTP 400 for 1 of 2 deliveries")]


def test_failing_settle_calls_lose_nothing(fleet: Any) -> None:
    """With SQS down, every message that is not delivered is reported, so Lambda leaves it in the queue."""
    fleet.queue.broken = True
    report = fleet.run(record(1, ["200"]), record(2, ["503"]), record(3, ["400"]), raw_record(4, "poison"))
    assert sorted(report.failures) == ["m-2", "m-3", "m-4"]
    assert report.unsettled == 3


def test_keys_are_stable_and_distinct(make_fleet: Any) -> None:
    """The same message sent again has the same Idempotency-Keys; every delivery has its own."""
    first, second = make_fleet(max_in_flight=1), make_fleet(max_in_flight=1)
    for fleet in (first, second):
        fleet.run(record(1, ["200", "200"]), record(2, ["200"]))
    assert first.api.calls == second.api.calls
    assert len({key for _, key in first.api.calls}) == 3


def test_repeated_item_gets_a_key_of_its_own(fleet: Any) -> None:
    """Two events with one id in a request are two deliveries, not a duplicate."""
    duplicated = record(1, ["200", "200"])
    envelope = json.loads(duplicated["body"])
    for event in envelope["payload"]["events"]:
        event["id"] = "same"
    fleet.run({**duplicated, "body": json.dumps(envelope)})
    assert len({key for _, key in fleet.api.calls}) == 2


def test_sending_stops_in_time_to_settle(make_fleet: Any) -> None:
    """Calls stop when the time left is what settling needs; what was not sent comes back soon and unharmed."""
    fleet = make_fleet(max_in_flight=1)
    fleet.api.call_s = 4.0
    started_s = fleet.clock.now_s
    report = fleet.run(*(record(n, ["200"]) for n in range(10)), time_s=20.0)
    assert fleet.clock.now_s - started_s <= 20.0 - 5.0 + 4.0
    assert 0 < report.delivered < 10
    assert report.waiting == 10 - report.delivered
    assert set(fleet.queue.hidden.values()) == {1}
    assert fleet.queue.dead == []


def test_call_gets_no_more_time_than_there_is(fleet: Any) -> None:
    """The time-out of a call ends before the time that is kept back for settling."""
    fleet.run(record(1, ["200"]), time_s=9.0)
    assert fleet.api.timeouts_s == [4.0]


def test_calls_in_flight_are_bounded(make_fleet: Any) -> None:
    """Never more calls at once than MAX_IN_FLIGHT, and as many where there is work for them."""
    fleet = make_fleet(max_in_flight=3)
    report = fleet.run(*(record(n, ["200"]) for n in range(9)))
    assert report.delivered == 9
    assert fleet.api.most_in_flight == 3


def test_message_is_resumed_where_it_stopped(fleet: Any) -> None:
    """What was delivered before the trouble is not delivered again when the message comes back."""
    fleet.run(record(1, ["200", "200", "503|200", "200"]))
    assert fleet.api.ids == ["1.0", "1.1", "1.2"]
    fleet.clock.now_s += 60
    report = fleet.run(record(1, ["200", "200", "503|200", "200"], receives=2), worker=fleet.another())
    assert fleet.api.ids == ["1.0", "1.1", "1.2", "1.2", "1.3"]
    assert report.delivered == 1
    assert fleet.state.keys("progress#") == []


def test_without_the_state_table_messages_are_delivered_all_the_same(fleet: Any) -> None:
    """The state table can be out of reach: deliveries go on, at least once, and the trouble is counted."""
    fleet.state.down = True
    report = fleet.run(record(1, ["200"]), record(2, ["200", "503"]), record(3, ["200"], receives=4))
    assert sorted(fleet.api.ids) == ["1.0", "2.0", "2.1", "3.0"]
    assert report.delivered == 2
    assert report.state_trouble > 0


def test_waiting_is_no_attempt(fleet: Any) -> None:
    """A cool-down sends nothing and uses up nothing but time: the message may wait as often as it has to."""
    fleet.run(record(1, ["429 59"]))
    for receives in range(2, 60):
        fleet.clock.now_s += 0.5
        report = fleet.run(record(1, ["429 59"], receives=receives), record(2, ["200"]))
        assert sorted(report.failures) == ["m-1", "m-2"]
    assert fleet.api.ids == ["1.0"]
    assert fleet.queue.dead == []


def test_message_that_is_too_old_is_dead_lettered(fleet: Any) -> None:
    """A message that would have to wait beyond its age goes to the dead-letter queue, after a last try."""
    old_ms = 1_700_000_000_000 - 73 * 3_600_000
    fleet.run(record(1, ["503"], received_at_ms=old_ms), record(2, ["200"], received_at_ms=old_ms))
    assert fleet.letters() == [("too_old", "HTTP 503 after 73 hours")]
    assert sorted(fleet.api.ids) == ["1.0", "2.0"]


def test_message_that_alone_fails_again_and_again_is_rejected(make_fleet: Any) -> None:
    """A message on which the partner fails while it takes others is dead-lettered when its strikes are used up."""
    fleet = make_fleet()
    receives = 0
    while not fleet.queue.dead:
        receives += 1
        fleet.clock.now_s += 60
        fleet.run(record(100 + receives, ["200"]), record(1, ["500"], receives=receives))
        assert receives < 60
    [(reason, error)] = fleet.letters()
    assert reason == "rejected"
    assert error.startswith("HTTP 500 50 times")


def test_partner_that_fails_on_everything_costs_no_message_its_strikes(fleet: Any) -> None:
    """While the partner takes nothing, no message is to blame."""
    for receives in range(1, 80):
        fleet.clock.now_s += 900
        fleet.run(record(1, ["500"], receives=receives, received_at_ms=int(fleet.clock.now_s * 1_000)))
    assert fleet.queue.dead == []


def test_fifo_group_waits_behind_its_failure(make_fleet: Any) -> None:
    """In a FIFO queue a failure holds back its own group, in order; other groups go on."""
    fleet = make_fleet(in_groups=True)
    report = fleet.run(record(1, ["503"], group="a"), record(2, ["200"], group="a"), record(3, ["200"], group="b"))
    assert sorted(fleet.api.ids) == ["1.0", "3.0"]
    assert report.failures == ["m-1", "m-2"]


def test_fifo_refusal_lets_its_group_go_on(make_fleet: Any) -> None:
    """A message that will never be taken does not block its group."""
    fleet = make_fleet(in_groups=True)
    report = fleet.run(record(1, ["400"], group="a"), record(2, ["200"], group="a"))
    assert fleet.api.ids == ["1.0", "2.0"]
    assert (report.delivered, report.failures) == (1, [])


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
    """A message that was parked half way is a new one to SQS; it is resumed all the same."""
    fleet.run(record(1, ["200", "503|200"]))
    fleet.clock.now_s += 600
    moved = record(1, ["200", "503|200"])
    moved["attributes"]["SentTimestamp"] = str(int(fleet.clock.now_s * 1_000))
    fleet.run(moved)
    assert fleet.api.ids == ["1.0", "1.1", "1.1"]


def test_settle_call_that_hangs_does_not_hold_the_batch(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead-letter queue that does not answer keeps one message in the queue; the batch ends in time."""
    monkeypatch.setattr("worker_fn.batch.time_budget.LEAST_S", 0.01)
    monkeypatch.setattr("worker_fn.batch.time_budget.ANSWER_S", 1_000.0)  # no time is left when settling begins

    async def hang(*_: object) -> None:
        await asyncio.get_running_loop().create_future()

    fleet.queue.dead_letter = hang
    report = fleet.run(record(1, ["400"]), record(2, ["200"]))
    assert report.failures == ["m-1"]
    assert (report.delivered, report.unsettled) == (1, 1)


@pytest.mark.parametrize("fault", ["url", "item", "none", "secret"])
def test_delivery_that_makes_no_sense_costs_only_its_message(fault: str, make_fleet: Any) -> None:
    """A bad URL, an item that is no text, None for a delivery: the message is unmappable, its neighbours arrive."""
    fleet = make_fleet("faulty", fault=fault)
    report = fleet.run(record(1, ["200"]), record(2, ["fault"]), record(3, ["200"]))
    assert report.delivered == 2
    assert [reason for reason, _ in fleet.letters()] == ["unmappable"]


def test_redriven_message_gets_another_chance_for_what_was_refused(fleet: Any) -> None:
    """Whoever redrives a dead letter has mended something: the refused part is sent, what arrived is not."""
    fleet.run(record(1, ["200", "400|200", "503|200"]))
    fleet.clock.now_s += 60
    fleet.run(record(1, ["200", "400|200", "503|200"], receives=2))
    assert fleet.letters() == [("rejected", "HTTP 400 for 1 of 3 deliveries")]
    fleet.clock.now_s += 3_600
    redriven = record(1, ["200", "400|200", "503|200"])
    redriven["attributes"]["SentTimestamp"] = str(int(fleet.clock.now_s * 1_000))
    assert fleet.run(redriven).delivered == 1
    assert fleet.api.ids == ["1.0", "1.1", "1.2", "1.2", "1.1"]


def test_message_that_was_received_often_saves_its_receives(fleet: Any) -> None:
    """A partner that says 'in ten seconds' for hours does not use up the thousand receives that SQS grants."""
    fleet.run(record(1, ["429 10"], receives=400))
    assert fleet.queue.hidden["h-1"] >= 72 * 3_600 / 900
    fleet.clock.now_s += 60
    fleet.run(record(2, ["429 10"], receives=3))
    assert fleet.queue.hidden["h-2"] < 60


def test_event_that_always_fails_takes_nothing_with_it(fleet: Any) -> None:
    """What is behind an event that used up its strikes is delivered; the dead letter speaks of that event alone."""
    names = ["200", "500", "200", "200"]
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
    assert [event_id for event_id in fleet.api.ids if event_id in {"1.0", "1.2", "1.3"}] == ["1.0", "1.2", "1.3"]
