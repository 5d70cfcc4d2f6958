"""A record's way to deliveries: decoded, mapped, each with its idempotency key."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from partners import Bulk, Delivery, Partner, Secret
from shared.firehose import EventProcessingRequest, Registration, Request
from shared.message import Head, encode, to_json
from testkit.records import raw_record, record
from tests.unit.worker_fn.acme import Acme, scripted
from tests.unit.worker_fn.intake import swept
from tests.unit.worker_fn.keyed import later, request
from worker_fn.batch.prepare import FIRST


class LateKey(Partner):
    """Sends the first hundred events without credentials; where there are fewer, the last one has some."""

    name = "late"
    mapped = 0

    def registration(self) -> Registration:
        return Registration(name="Late", version="1")

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        assert isinstance(request, EventProcessingRequest)
        for place, event in enumerate(request.events):
            self.mapped += 1
            is_last = place in {len(request.events) - 1, FIRST}
            secrets = {"X-Key": Secret("old")} if is_last else {}
            yield Delivery("https://partner.example/e", to_json(event.raw), event.id or "", secret_headers=secrets)


def test_credentials_are_told_by_the_first_deliveries(make_fleet: Any) -> None:
    """Worker and sweep look at the same first deliveries; credentials of a later one are noticed by their refusal, and
    delivered calls are not repeated.
    """
    fleet = make_fleet(LateKey(), max_in_flight=1)
    fleet.run(request(1, "401", "old"), request(2, "401", "old"))
    later(fleet, 10)
    mapped = fleet.partner.mapped
    long = record(5, ["200"] * FIRST + ["401"] * 2)
    assert swept(fleet, {**long, "messageAttributes": request(5, "200", "old")["messageAttributes"]}) == ["m-5"]
    assert fleet.partner.mapped == mapped + FIRST
    report = fleet.run(long, worker=fleet.another())
    assert (report.parked, report.dead_lettered) == (1, 0)
    calls = len(fleet.api.calls)
    fleet.run({**long, "attributes": {**long["attributes"], "ApproximateReceiveCount": "2"}}, worker=fleet.another())
    assert len(fleet.api.calls) <= calls + 1


@pytest.fixture
def deliver(make_fleet: Any) -> Any:
    return scripted(make_fleet)


def test_undeclared_endpoint_is_named_as_the_partners_mistake(deliver: Any) -> None:
    """A merge name without limits dead-letters its message with the names that are declared; its neighbours are
    delivered.
    """
    fleet = deliver(Acme({"users": Bulk(2), "events": Bulk(2)}))
    report = fleet.run(fleet.record(1, ["userz"]), fleet.record(2, ["users"]))
    assert report.delivered == 1
    problem = "a delivery's `merge` is not declared: `limits.bulk` of acme holds events, users"
    assert fleet.letters() == [("unmappable", problem)]


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


def test_unmappable_message_tells_where_but_not_what(fleet: Any) -> None:
    """When the partner's code raises, the dead letter names the place in the code and nothing of the payload."""
    report = fleet.run(record(1, ["boom"]), record(2, ["200"]))
    [(_, attributes)] = fleet.queue.dead
    assert attributes["reason"] == "unmappable"
    assert attributes["error"].startswith("KeyError in echo.py:")
    assert "canary" not in json.dumps(attributes)
    assert report.delivered == 1


def test_request_that_is_none_is_unmappable(fleet: Any) -> None:
    """A message whose payload is not a request of mParticle's is dead-lettered with the field's name."""
    [body] = encode(Head("r", "event_processing_request", None, 1), b'{"type":"new_request"}')
    fleet.run(raw_record(1, body))
    [(reason, error)] = fleet.letters()
    assert (reason, error.split(":")[0]) == ("unmappable", "type")


def test_keys_are_stable_and_distinct(make_fleet: Any) -> None:
    """The same message sent again has the same Idempotency-Keys; every delivery has its own."""
    first, second = make_fleet(max_in_flight=1), make_fleet(max_in_flight=1)
    for fleet in (first, second):
        fleet.run(record(1, ["200", "200"]), record(2, ["200"]))
    assert first.api.singles == second.api.singles
    assert len(set(first.api.keys)) == 3


def test_repeated_item_gets_a_key_of_its_own(fleet: Any) -> None:
    """Two events with one id in a request are two deliveries, not a duplicate."""
    duplicated = record(1, ["200", "200"])
    envelope = json.loads(duplicated["body"])
    for event in envelope["payload"]["events"]:
        event["id"] = "same"
    fleet.run({**duplicated, "body": json.dumps(envelope)})
    assert len(set(fleet.api.keys)) == 2


@pytest.mark.parametrize("fault", ["url", "item", "none", "secret"])
def test_delivery_that_makes_no_sense_costs_only_its_message(fault: str, make_fleet: Any) -> None:
    """A bad URL, an item that is no text, None for a delivery: the message is unmappable, its neighbours arrive."""
    fleet = make_fleet("faulty", fault=fault)
    report = fleet.run(record(1, ["200"]), record(2, ["fault"]), record(3, ["200"]))
    assert report.delivered == 2
    assert [reason for reason, _ in fleet.letters()] == ["unmappable"]
