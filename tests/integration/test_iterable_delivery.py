"""Defects of Iterable's Java integration that only the whole path mends (docs/partners/iterable.md): D07, D09, D10."""

import random
from typing import Any

import pytest

from ingest_fn import handler as ingest_entry
from partners import iterable
from shared.errors import QueueUnavailable
from worker_fn import handler as worker_entry


@pytest.fixture
def queues_to_iterable(queues: Any, partner: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Both functions with the partner Iterable, whose host is on loopback."""
    monkeypatch.setenv("PARTNER", "partners.iterable")
    monkeypatch.setenv("ITERABLE_DATA_CENTER", "us")
    monkeypatch.setitem(iterable.HOSTS, "us", partner.url)
    return queues


def batch(request_id: str, *names: str) -> dict[str, Any]:
    """A request of one user's custom events."""
    return {
        "type": "event_processing_request",
        "id": request_id,
        "timestamp_ms": 1_700_000_000_000,
        "account": {"account_id": 7, "account_settings": {"apiKey": "key-1"}},
        "user_identities": [{"type": "email", "encoding": "raw", "value": "ann@example.com"}],
        "events": [
            {"type": "custom_event", "id": f"{request_id}.{name}", "timestamp_ms": 1_700_000_000_000 + n, "name": name}
            for n, name in enumerate(names)
        ],
    }


def said(partner: Any) -> list[tuple[str, str]]:
    """Endpoint and Idempotency-Key of each call."""
    return [(call.path.removeprefix("/api/"), call.headers["Idempotency-Key"]) for call in partner.calls]


def test_d07_a_retry_makes_only_the_calls_that_did_not_arrive(
    queues_to_iterable: Any, partner: Any, lambda_context: Any
) -> None:
    """If the third of four calls fails, only it and the fourth are made when the message comes back, with the same
    keys.
    """
    ingest_entry.handler(batch("r-1", "first", "second", "third"), None)
    partner.answer_with(200, 200, 500)
    records = queues_to_iterable.receive()
    failed = worker_entry.handler({"Records": records}, lambda_context())["batchItemFailures"]
    assert failed == [{"itemIdentifier": records[0]["messageId"]}]
    before = said(partner)
    assert [path for path, _ in before] == ["users/update", "events/track", "events/track"]
    partner.calls.clear()
    records[0]["attributes"]["ApproximateReceiveCount"] = "2"
    assert worker_entry.handler({"Records": records}, lambda_context()) == {"batchItemFailures": []}
    after = said(partner)
    assert [path for path, _ in after] == ["events/track", "events/track"]
    assert after[0] == before[2]
    assert after[1][1] not in {key for _, key in before}


def test_d09_success_is_answered_only_for_what_is_stored(
    queues_to_iterable: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the queue does not take a message, mParticle gets an error; a request too large for one message is stored in
    several before the answer.
    """
    with monkeypatch.context() as gone:
        gone.setenv("QUEUE_URL", f"{queues_to_iterable.url}-that-is-gone")
        with pytest.raises(QueueUnavailable):
            ingest_entry.handler(batch("r-1", "first"), None)
    ingest_entry._queue().close()
    for cache in (ingest_entry._settings, ingest_entry._queue):
        cache.cache_clear()
    names = [f"{number}-{random.Random(number).randbytes(30_000).hex()}" for number in range(60)]
    assert ingest_entry.handler(batch("r-2", *names), None)["id"] == "r-2"
    stored, _ = queues_to_iterable.depth()
    assert stored > 1


def test_d10_every_record_of_a_batch_is_worked_on(queues_to_iterable: Any, partner: Any) -> None:
    """One invocation makes the calls of all three messages of its batch."""
    for request_id in ("r-1", "r-2", "r-3"):
        ingest_entry.handler(batch(request_id, "first"), None)
    while queues_to_iterable.depth() != (0, 0):
        assert queues_to_iterable.drain_once() == {"batchItemFailures": []}
    assert sorted(path for path, _ in said(partner)) == ["events/track"] * 3 + ["users/update"] * 3
    assert len({key for _, key in said(partner)}) == 6
