"""ingest -> SQS -> worker -> partner, in one process, over real sockets."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import simplejson

from ingest_fn import handler as ingest_entry
from ingest_fn.payload import Request
from testkit.requests import ENVIRONMENTS, EVENT_TYPES, make_request
from worker_fn import handler as worker_entry

SHARED = Path(__file__).parents[3] / "shared" / "firehose"
RECORDED = SHARED / "requests.ndjson"
OWN = Path(__file__).parents[1] / "fixtures" / "firehose" / "requests.ndjson"
"""A request a line, each with something that is unusual or new."""
QUEUED = ("event_processing_request", "audience_membership_change_request", "dsr_processing_request")


def reply(handler: Any, status: int, body: bytes = b"{}", **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def read_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().split(b"\n") if line.strip()]


def sources() -> Iterator[Any]:
    """Requests of every kind: made ones, odd ones, and mParticle's samples if they are available."""
    for seed in range(40):
        kind = QUEUED[seed % 3]
        yield pytest.param(make_request(kind, seed=seed), id=f"generated-{seed}")
    for request in read_lines(OWN):
        yield pytest.param(request, id=request["id"])
    for sample in sorted(SHARED.glob("samples/*Request*.json")):
        request = json.loads(sample.read_bytes())
        if request["type"] in QUEUED:
            yield pytest.param(request, id=sample.stem)


def own_requests() -> list[dict[str, Any]]:
    """Requests as mParticle sends them, from every environment and with every event, and odd ones that it might
    send.
    """
    made = [
        make_request(QUEUED[0], seed=seed, environment=environment, events=len(EVENT_TYPES))
        for seed, environment in enumerate(ENVIRONMENTS)
    ]
    made += [make_request(kind, seed=seed) for kind in QUEUED[1:] for seed in range(12)]
    return made + read_lines(OWN)


def corpora() -> Iterator[Any]:
    """Made requests; and the recorded ones beside the repository, if they are available."""
    yield pytest.param(own_requests(), id="ours")
    if RECORDED.exists():
        yield pytest.param(read_lines(RECORDED), id="recorded")


def items(request: dict[str, Any]) -> list[tuple[str, Any]]:
    """What the webhook must receive for a request, in order."""
    if request["type"] == "dsr_processing_request":
        account = {key: value for key, value in (request.get("account") or {}).items() if key != "account_settings"}
        return [("erasure", {**request, "account": account} if "account" in request else request)]
    lists = (("system_notification", "system_notifications"), ("event", "events"), ("user_profile", "user_profiles"))
    return [(kind, item) for kind, name in lists for item in request.get(name) or []]


@pytest.mark.parametrize("request_", list(sources()))
def test_every_event_arrives_exactly_as_sent(request_: dict[str, Any], queues: Any, partner: Any) -> None:
    """For every kind of request, each event, profile or erasure reaches the partner once and unchanged."""
    answer = ingest_entry.handler(request_, None)
    assert answer["id"] == request_["id"]
    assert queues.drain_once() == {"batchItemFailures": []}
    arrived = [json.loads(call.body) for call in partner.calls]
    assert [(body["kind"], body[body["kind"]]) for body in arrived] == items(request_)
    assert queues.depth() == (0, 0)
    assert queues.dead_letters() == []


def test_own_requests_cover_the_protocol() -> None:
    """The made requests have each kind that is queued, each event type and environment, and unknown ones."""
    requests = own_requests()
    assert {request["type"] for request in requests} == set(QUEUED)
    types = {event["type"] for request in requests for event in request.get("events") or []}
    assert types > set(EVENT_TYPES)
    environments = {(request.get("runtime_environment") or {}).get("type") for request in requests}
    assert environments > set(ENVIRONMENTS)


@pytest.mark.parametrize("requests", list(corpora()))
def test_every_request_of_a_corpus_arrives_exactly_as_sent(
    requests: list[dict[str, Any]], queues: Any, partner: Any
) -> None:
    """Of many messages at once each arrives once and unchanged."""
    sent: list[str] = []
    for request in requests:
        if request["type"] in QUEUED:
            ingest_entry.handler(request, None)
            sent += [json.dumps([kind, item], sort_keys=True) for kind, item in items(request)]
    assert len(sent) > 200
    while queues.depth() != (0, 0):
        assert queues.drain_once() == {"batchItemFailures": []}
    arrived = [json.loads(call.body) for call in partner.calls]
    assert sorted(json.dumps([body["kind"], body[body["kind"]]], sort_keys=True) for body in arrived) == sorted(sent)


def test_oversized_request_arrives_whole(queues: Any, partner: Any) -> None:
    """A request of 6 MB travels in parts; the partner gets each event once, with the user it belongs to."""
    events = [{"type": "custom_event", "id": f"e-{n}", "name": "n" * 60_000} for n in range(100)]
    request = {"type": QUEUED[0], "id": "r-1", "mpid": "-5", "account": {"account_id": 7}, "events": events}
    for event in events[::2]:
        event["name"] = "".join(chr(0x4E00 + (i * 7919 + int(str(event["id"])[2:])) % 20_000) for i in range(20_000))
    assert len(json.dumps(request, ensure_ascii=False).encode()) > 5_500_000
    ingest_entry.handler(request, None)
    while queues.depth() != (0, 0):
        assert queues.drain_once() == {"batchItemFailures": []}
    arrived = [json.loads(call.body) for call in partner.calls]
    assert sorted(body["event"]["id"] for body in arrived) == sorted(event["id"] for event in events)
    assert {body["context"]["mpid"] for body in arrived} == {"-5"}


def test_request_in_several_messages_keeps_each_event_once(queues: Any, partner: Any) -> None:
    """A request that is too large even when compressed is split into several messages, and no event is sent twice."""

    rng = random.Random(5)
    events = [{"type": "custom_event", "id": f"e-{n}", "name": rng.randbytes(30_000).hex()} for n in range(80)]
    request = {"type": QUEUED[0], "id": "r-1", "account": {"account_id": 7}, "events": events}
    ingest_entry.handler(request, None)
    assert queues.depth()[0] > 1
    while queues.depth() != (0, 0):
        assert queues.drain_once() == {"batchItemFailures": []}
    assert sorted(json.loads(call.body)["event"]["id"] for call in partner.calls) == sorted(e["id"] for e in events)


def test_same_request_twice_has_the_same_idempotency_keys(queues: Any, partner: Any) -> None:
    """A request that mParticle sends again is recognisable at the partner."""
    request = make_request(QUEUED[0], seed=1, events=3)
    for _ in range(2):
        ingest_entry.handler(request, None)
        queues.drain_once()
    keys = [call.headers["Idempotency-Key"] for call in partner.calls]
    half = len(keys) // 2
    assert keys[:half] == keys[half:]
    assert len(set(keys)) == half


def test_partner_that_is_down_costs_nothing_but_time(queues: Any, partner: Any) -> None:
    """During an outage the message stays on the queue, hidden; afterwards it is delivered."""
    partner.answer = lambda handler, call: reply(handler, 503)
    ingest_entry.handler(make_request(QUEUED[2], seed=1), None)
    assert len(queues.drain_once()["batchItemFailures"]) == 1
    assert queues.depth() == (0, 1)
    assert queues.dead_letters() == []


def test_refused_message_is_in_the_dead_letter_queue_with_its_reason(queues: Any, partner: Any) -> None:
    """A message that the partner will never take is found in the DLQ: body as it was, reason as attribute."""
    partner.answer = lambda handler, call: reply(handler, 400, b"canary")
    ingest_entry.handler(make_request(QUEUED[2], seed=1), None)
    [record] = queues.receive()
    queues.sqs.change_message_visibility(
        QueueUrl=queues.url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=0
    )
    queues.drain_once()
    [letter] = queues.dead_letters()
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert letter["Body"] == record["body"]
    assert (attributes["reason"], attributes["status"], attributes["partner"]) == ("rejected", "400", "webhook")
    assert "canary" not in json.dumps(attributes)
    assert queues.depth() == (0, 0)


def test_poison_message_is_dead_lettered_as_undecodable(queues: Any, partner: Any) -> None:
    """A message that somebody else put on the queue is dead-lettered and does not stop the others."""
    queues.sqs.send_message(QueueUrl=queues.url, MessageBody="poison")
    queues.drain_once()
    [letter] = queues.dead_letters()
    assert letter["Body"] == "poison"
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "undecodable"


@pytest.mark.parametrize("status", [200, 400, 401, 503])
def test_nothing_personal_is_logged(status: int, queues: Any, partner: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Identities, attributes, credentials and answers that were planted as canaries appear in no log, metric or dead
    letter.
    """
    partner.answer = lambda handler, call: reply(handler, status, b'{"echo": "canary"}')
    request = {
        "type": QUEUED[0],
        "id": "r-1",
        "account": {"account_id": 7, "account_settings": {"apiKey": "canary"}},
        "user_identities": [{"type": "email", "encoding": "raw", "value": "canary@example.com"}],
        "user_attributes": {"canary": "canary"},
        "events": [{"type": "custom_event", "id": "e-1", "name": "canary", "attributes": {"canary": "canary"}}],
    }
    ingest_entry.handler(request, None)
    queues.drain_once()
    printed = capsys.readouterr()
    attributes = [letter["MessageAttributes"] for letter in queues.dead_letters()]
    assert "Bearer canary" in partner.calls[0].headers["Authorization"]
    assert "canary" not in printed.out + printed.err + json.dumps(attributes)


def test_settings_that_are_bad_keep_the_batch(queues: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with bad settings raises, so Lambda leaves the whole batch in the queue."""
    ingest_entry.handler(make_request(QUEUED[2], seed=1), None)
    monkeypatch.setenv("PARTNER", "partners.nobody")
    worker_entry._worker.cache_clear()
    with pytest.raises(Exception, match="PARTNER"):
        queues.drain_once()
    assert sum(queues.depth()) == 1


def test_numbers_survive_where_the_handler_gets_text(queues: Any, partner: Any) -> None:
    """Decimals that a float cannot hold pass through queue and worker exactly."""

    text = b'{"type":"event_processing_request","id":"r","events":[{"type":"x","n":12345678901234567890.10}]}'
    request = Request(json.loads(text))
    request.text = text
    ingest_entry.handler(request, None)
    queues.drain_once()
    event = simplejson.loads(partner.calls[0].body, use_decimal=True)["event"]
    assert str(event["n"]) == "12345678901234567890.10"
