import json
import random
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from partners import Delivery, Partner
from shared.firehose import EventProcessingRequest, Registration, Request
from shared.message import Head, encode, to_json
from worker_fn.drain import Worker, drain
from worker_fn.http_client import Answer


class Echo(Partner):
    """One delivery for each event; `wrong` and `boom` in an event's name raise where a partner's code might."""

    name = "echo"

    def registration(self) -> Registration:
        return Registration(name="Echo", version="1")

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        assert isinstance(request, EventProcessingRequest)
        for event in request.events:
            if "boom" in json.dumps(event.raw):
                raise KeyError("canary@example.com")
            yield Delivery(url="https://partner.example/e", body=to_json(event.raw), item=event.id or "")


class Unordered(Echo):
    in_order = False


class FakeQueue:
    def __init__(self, *, broken: bool = False) -> None:
        self.hidden: dict[str, int] = {}
        self.dead: list[tuple[str, Mapping[str, str]]] = []
        self.broken = broken

    def hide(self, waits_s: Mapping[str, int]) -> None:
        if self.broken:
            raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, "ChangeMessageVisibilityBatch")
        self.hidden.update(waits_s)

    def dead_letter(self, body: str, attributes: Mapping[str, str]) -> None:
        if self.broken:
            raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, "SendMessage")
        self.dead.append((body, attributes))


class FakePartnerApi:
    """Answers by what an event's name says: a status, or `timeout`; remembers what it got."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.timeouts_s: list[float] = []
        self.now, self.call_s = 0.0, 0.0
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()

    def send(self, delivery: Delivery, key: str, timeout_s: float) -> Answer:
        event = json.loads(delivery.body)
        with self.lock:
            self.calls.append((event["id"], key))
            self.timeouts_s.append(timeout_s)
            self.now += self.call_s
        name = event.get("name", "200")
        if name == "bad header":
            raise ValueError("canary@example.com")
        if name == "timeout":
            return Answer(fault="timeout")
        status, _, retry_after = name.partition(" ")
        return Answer(int(status), retry_after=retry_after or None, body=b"canary@example.com")

    @property
    def ids(self) -> list[str]:
        return [event_id for event_id, _ in self.calls]


def record(number: int, names: list[str], *, receives: int = 1, message_id: str | None = None) -> dict[str, Any]:
    """An SQS record of a request whose events are named as given."""
    events = [{"type": "custom_event", "id": f"{number}.{i}", "name": name} for i, name in enumerate(names)]
    request_id = message_id or f"r-{number}"
    request = {"type": "event_processing_request", "id": request_id, "account": {"account_id": 7}, "events": events}
    [body] = encode(Head(request_id, "event_processing_request", "7", 1), to_json(request))
    return raw_record(number, body, receives=receives)


def raw_record(number: int, body: str, *, receives: int = 1) -> dict[str, Any]:
    return {
        "messageId": f"m-{number}",
        "receiptHandle": f"h-{number}",
        "body": body,
        "attributes": {"ApproximateReceiveCount": str(receives), "ApproximateFirstReceiveTimestamp": "1700000000000"},
    }


def worker(
    api: FakePartnerApi, queue: FakeQueue, partner: Partner | None = None, *, max_in_flight: int = 4, attempts: int = 1
) -> Worker:
    return Worker(
        partner=partner or Echo(),
        send=api.send,
        queue=queue,
        max_in_flight=max_in_flight,
        attempts=attempts,
        settle_reserve_s=5.0,
        call_timeout_s=13.0,
        wall_clock=lambda: 1_700_000_000.0,
        sleep=lambda _: None,
        rng=random.Random(1),
    )


def run(records: list[dict[str, Any]], **options: Any) -> tuple[FakePartnerApi, FakeQueue, Any]:
    api, queue = FakePartnerApi(), options.pop("queue", None) or FakeQueue()
    report = drain(records, worker(api, queue, **options), lambda: 60.0)
    return api, queue, report


def test_delivered_messages_leave_the_queue() -> None:
    """Everything arrived: nothing is reported, nothing is dead-lettered."""
    api, queue, report = run([record(1, ["200", "204"]), record(2, ["201"])])
    assert sorted(api.ids) == ["1.0", "1.1", "2.0"]
    assert (report.failures, queue.dead, queue.hidden) == ([], [], {})
    assert report.delivered == 2


def test_message_that_must_wait_is_hidden_and_reported() -> None:
    """A partner that is down sends the message back to the queue for a while; its neighbours are delivered."""
    _, queue, report = run([record(1, ["503"]), record(2, ["200"]), record(3, ["timeout"])])
    assert report.failures == ["m-1", "m-3"]
    assert set(queue.hidden) == {"h-1", "h-3"}
    assert all(wait >= 1 for wait in queue.hidden.values())
    assert queue.dead == []


def test_retry_after_is_the_least_that_a_message_waits() -> None:
    """The partner's own wish decides when the message comes back."""
    _, queue, _ = run([record(1, ["429 120"])])
    assert queue.hidden["h-1"] >= 120


def test_refused_message_is_dead_lettered_with_a_reason() -> None:
    """A 4xx goes to the dead-letter queue, body unchanged, with what an operator needs to know."""
    refused = record(1, ["200", "422", "200"])
    api, queue, report = run([refused])
    [(body, attributes)] = queue.dead
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
    assert api.ids == ["1.0", "1.1", "1.2"]


def test_unauthorized_has_its_own_reason() -> None:
    """401 and 403 speak of the customer's credentials, not of the message."""
    _, queue, _ = run([record(1, ["401"]), record(2, ["403"]), record(3, ["400", "401"])])
    assert [attributes["reason"] for _, attributes in queue.dead] == ["unauthorized"] * 3


def test_undecodable_message_is_dead_lettered_and_its_neighbours_delivered() -> None:
    """A body that is not ours does not stop a batch."""
    api, queue, report = run([raw_record(1, "poison"), record(2, ["200"])])
    [(body, attributes)] = queue.dead
    assert (body, attributes["reason"]) == ("poison", "undecodable")
    assert (api.ids, report.failures) == (["2.0"], [])


def test_unmappable_message_tells_where_but_not_what() -> None:
    """When the partner's code raises, the dead letter names the place in the code and nothing of the payload."""
    _, queue, report = run([record(1, ["boom"]), record(2, ["200"])])
    [(_, attributes)] = queue.dead
    assert attributes["reason"] == "unmappable"
    assert attributes["error"].startswith("KeyError in test_drain.py:")
    assert "canary" not in json.dumps(attributes)
    assert report.delivered == 1


def test_request_that_is_none_is_unmappable() -> None:
    """A message whose payload is no request of mParticle's is dead-lettered by its field."""
    [body] = encode(Head("r", "event_processing_request", None, 1), b'{"type":"new_request"}')
    _, queue, _ = run([raw_record(1, body)])
    assert (queue.dead[0][1]["reason"], queue.dead[0][1]["error"].split(":")[0]) == ("unmappable", "type")


def test_call_that_http_has_no_form_for_is_unmappable() -> None:
    """A header that can not be sent is the mapping's fault and never leaves."""
    _, queue, _ = run([record(1, ["bad header"])])
    assert queue.dead[0][1]["reason"] == "unmappable"
    assert "canary" not in json.dumps(queue.dead[0][1])


def test_order_within_a_message_is_kept() -> None:
    """What must wait holds back what is behind it in the same message."""
    api, _, report = run([record(1, ["200", "503", "200"])])
    assert api.ids == ["1.0", "1.1"]
    assert report.failures == ["m-1"]


def test_unordered_partner_sends_past_a_wait() -> None:
    """Where order does not matter, one wait does not hold back the others."""
    api, _, report = run([record(1, ["200", "503", "200"])], partner=Unordered())
    assert sorted(api.ids) == ["1.0", "1.1", "1.2"]
    assert report.failures == ["m-1"]


def test_waiting_comes_before_refusal() -> None:
    """A message with a refused and a waiting delivery waits: it is judged when all of it was answered."""
    _, queue, report = run([record(1, ["400", "503"])])
    assert (report.failures, queue.dead) == (["m-1"], [])


def test_failing_settle_calls_lose_nothing() -> None:
    """With SQS down, every message that is not delivered is reported, so Lambda leaves it in the queue."""
    records = [record(1, ["200"]), record(2, ["503"]), record(3, ["400"]), raw_record(4, "poison")]
    _, _, report = run(records, queue=FakeQueue(broken=True))
    assert sorted(report.failures) == ["m-2", "m-3", "m-4"]
    assert report.unsettled == 3


def test_keys_are_stable_and_distinct() -> None:
    """The same message sent again has the same Idempotency-Keys; every delivery has its own."""
    api, _, _ = run([record(1, ["200", "200"]), record(2, ["200"])], max_in_flight=1)
    again, _, _ = run([record(1, ["200", "200"]), record(2, ["200"])], max_in_flight=1)
    assert api.calls == again.calls
    assert len({key for _, key in api.calls}) == 3


def test_repeated_item_gets_a_key_of_its_own() -> None:
    """Two events with one id in a request are two deliveries, not a duplicate."""
    duplicated = record(1, ["200", "200"])
    envelope = json.loads(duplicated["body"])
    for event in envelope["payload"]["events"]:
        event["id"] = "same"
    api, _, _ = run([{**duplicated, "body": json.dumps(envelope)}])
    assert len({key for _, key in api.calls}) == 2


def test_sending_stops_in_time_to_settle() -> None:
    """Calls stop when the time left is what settling needs; what was not sent comes back soon and unharmed."""
    api, queue = FakePartnerApi(), FakeQueue()
    api.call_s = 4.0
    report = drain([record(n, ["200"]) for n in range(10)], worker(api, queue, max_in_flight=1), lambda: 20.0 - api.now)
    assert api.now <= 20.0 - 5.0 + 4.0
    assert 0 < report.delivered < 10
    assert report.waiting == 10 - report.delivered
    assert set(queue.hidden.values()) == {1}
    assert queue.dead == []


def test_call_gets_no_more_time_than_there_is() -> None:
    """The time-out of a call ends before the time that is kept back for settling."""
    api, queue = FakePartnerApi(), FakeQueue()
    drain([record(1, ["200"])], worker(api, queue), lambda: 9.0)
    assert api.timeouts_s == [4.0]


def test_calls_in_flight_are_bounded() -> None:
    """Never more calls at once than MAX_IN_FLIGHT, and as many where there is work for them."""
    api, queue = FakePartnerApi(), FakeQueue()
    full = threading.Barrier(3, timeout=10)

    def send(delivery: Delivery, key: str, timeout_s: float) -> Answer:
        with api.lock:
            api.in_flight += 1
            api.most_in_flight = max(api.most_in_flight, api.in_flight)
        full.wait()  # passes only when three calls are in flight at once
        with api.lock:
            api.in_flight -= 1
        return Answer(200)

    three = replace(worker(api, queue, max_in_flight=3), send=send)
    report = drain([record(n, ["200"]) for n in range(9)], three, lambda: 60.0)
    assert report.delivered == 9
    assert api.most_in_flight == 3
