"""Amplitude through the deployed path: ingest, a queue, the worker, real sockets, an API that judges what it gets."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from ingest_fn import handler as ingest_entry
from partners import amplitude


@dataclass
class FakeAmplitude:
    """Accepts a batch as a whole or not at all, recognises repeats by insert_id, and names the events that it
    refuses.
    """

    taken: dict[str, dict[str, Any]] = field(default_factory=dict)
    throttled: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=lambda: {"key-1"})
    sizes: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def answer(self, handler: Any, call: Any) -> None:
        status, content = self.judge(call)
        self.statuses.append(status)
        body = json.dumps({"code": status, **content}).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def judge(self, call: Any) -> tuple[int, dict[str, Any]]:
        sent = json.loads(call.body)
        if call.path == "/deletions":
            self.deleted += sent["user_ids"]
            return 200, {"day": "2026-12-01", "status": "staging"}
        if sent.pop("api_key", None) not in self.keys:
            return 400, {"error": "Invalid API key: nobody's"}
        events = sent["events"]
        self.sizes.append(len(events))
        wrong = [place for place, event in enumerate(events) if type(event.get("time")) is not int]
        if wrong:
            return 400, {"error": "Invalid field values", "events_with_invalid_fields": {"time": wrong}}
        fast = [place for place, event in enumerate(events) if event["user_id"] in self.throttled]
        if fast:
            users = Counter(event["user_id"] for event in events if event["user_id"] in self.throttled)
            return 429, {"eps_threshold": 1_000, "throttled_users": users, "throttled_events": fast}
        self.taken |= {event["insert_id"]: event for event in events}
        return 200, {"events_ingested": len(events)}


@pytest.fixture
def api(partner: Any, queues: Any, monkeypatch: pytest.MonkeyPatch) -> FakeAmplitude:
    monkeypatch.setitem(amplitude.UPLOADS, "us", f"{partner.url}/batch")
    monkeypatch.setitem(amplitude.DELETIONS, "us", f"{partner.url}/deletions")
    monkeypatch.setenv("PARTNER", "partners.amplitude")
    fake = FakeAmplitude()
    partner.answer = fake.answer
    return fake


def request(number: int, user: str = "ann-1", *, times: tuple[Any, ...] = (1,), key: str = "key-1") -> dict[str, Any]:
    return {
        "type": "event_processing_request",
        "id": f"r-{number}",
        "account": {"account_id": 7, "account_settings": {"apiKey": key, "secretKey": "s-1"}},
        "user_identities": [{"type": "customer", "value": user}],
        "events": [
            {"type": "custom_event", "id": f"{number}.{place}", "name": "Viewed"}
            | ({} if time is None else {"timestamp_ms": time})
            for place, time in enumerate(times)
        ],
    }


def test_poison_event_is_isolated_in_one_extra_call(api: FakeAmplitude, queues: Any) -> None:
    """An event that the API refuses costs the other events one extra call and nothing else."""
    for number in range(8):
        ingest_entry.handler(request(number, times=(1, None, 3) if number == 5 else (1, 2, 3)), None)
    assert queues.drain_once() == {"batchItemFailures": []}
    assert (api.sizes, api.statuses) == ([24, 23], [400, 200])
    assert len(api.taken) == 23
    assert "5.1" not in api.taken
    [letter] = queues.dead_letters()
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "rejected"
    assert letter["MessageAttributes"]["error"]["StringValue"] == "rejected inside HTTP 400 for 1 of 3 deliveries"


def test_throttled_user_waits_alone(api: FakeAmplitude, queues: Any) -> None:
    """Other users' events are sent again at once without those of the throttled user, whose events come back later."""
    api.throttled = {"bot-1"}
    ingest_entry.handler(request(1, "bot-1", times=(1, 2)), None)
    for number in range(2, 6):
        ingest_entry.handler(request(number), None)
    answer = queues.drain_once()
    assert len(answer["batchItemFailures"]) == 1
    assert (api.sizes, api.statuses) == ([6, 4], [429, 200])
    assert sorted(api.taken) == ["2.0", "3.0", "4.0", "5.0"]
    assert queues.dead_letters() == []
    assert queues.depth() == (0, 1)


def test_refused_key_suspends_though_amplitude_says_400(api: FakeAmplitude, queues: Any) -> None:
    """A refused key gets one call; its messages wait, and none is dead-lettered."""
    for number in range(4):
        ingest_entry.handler(request(number, key="revoked"), None)
    assert len(queues.drain_once()["batchItemFailures"]) == 1
    assert (api.statuses, queues.dead_letters()) == ([400], [])


def test_erasure_is_asked_for_with_the_secret_key(api: FakeAmplitude, queues: Any, partner: Any) -> None:
    """An erasure becomes one call for one user, with basic authentication."""
    erasure = {
        "type": "dsr_processing_request",
        "id": "d-1",
        "account": {"account_id": 7, "account_settings": {"apiKey": "key-1", "secretKey": "s-1"}},
        "subject_request_type": "erasure",
        "subject_identities": {"controller_customer_id": {"value": "ann-1", "encoding": "raw"}},
    }
    ingest_entry.handler(erasure, None)
    assert queues.drain_once() == {"batchItemFailures": []}
    assert (api.deleted, api.statuses) == (["ann-1"], [200])
    assert partner.calls[0].headers["Authorization"] == "Basic a2V5LTE6cy0x"
