"""A record on its way, and what the worker knows about it."""

from dataclasses import replace

import pytest

from partners import Delivery
from shared.errors import UndecodableMessage, Unmappable
from testkit.records import record
from worker_fn.batch.disposition import DeadLetter, Delivered, Reason
from worker_fn.batch.job import MOVED_MS, UNREAD, Job
from worker_fn.batch.record import Record
from worker_fn.dispatch.lanes import Dispatch


def job(**more: object) -> Job:
    made = Job(Record(record(1, ["200"])))
    made.message = replace(UNREAD, id="r-1", type="event_processing_request", account_id="7", received_at_ms=1_000)
    for name, value in more.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("made", "error", "reason"),
    [
        (Job(Record({})), UndecodableMessage("no JSON"), Reason.UNDECODABLE),
        (Job(Record({})), Unmappable("too heavy"), Reason.UNMAPPABLE),
        (job(), KeyError("canary"), Reason.UNMAPPABLE),
        (job(is_mapped=True), KeyError("canary"), Reason.FAILED),
    ],
)
def test_what_a_step_raises_is_the_jobs_end(made: Job, error: Exception, reason: Reason) -> None:
    """An exception ends the job by how far it came, and nothing of the content is logged."""
    made.fail(error)
    assert isinstance(made.end, DeadLetter)
    assert made.end.reason is reason
    assert "canary" not in made.failure + made.end.error


def test_what_was_delivered_stays_delivered() -> None:
    """An exception after the delivery leaves the job delivered, and the log has the error."""
    made = job(end=Delivered())
    made.fail(KeyError("canary"))
    assert made.end == Delivered()
    assert made.failure.startswith("KeyError")


def test_a_call_counts_once_however_many_of_its_items_are_a_messages() -> None:
    """Attempts of a dead letter are calls, not items."""
    items = [
        Dispatch(Delivery("https://p.example", b"", "e"), str(n), calls=calls) for n, calls in enumerate([[1, 2], [2]])
    ]
    assert job(items=items).calls == 2


@pytest.mark.parametrize(
    ("attributes", "seen"),
    [
        ({"ApproximateReceiveCount": "1", "SentTimestamp": str(1_000 + MOVED_MS)}, False),
        ({"ApproximateReceiveCount": "1", "SentTimestamp": str(1_001 + MOVED_MS)}, True),
        ({"ApproximateReceiveCount": "2", "SentTimestamp": "1000"}, True),
        ({}, True),
        ("no mapping", True),
    ],
)
def test_who_may_have_worked_on_it(attributes: object, seen: bool) -> None:
    """A worker may have seen a message before if it was received twice, came from another queue, or nothing is known of
    it.
    """
    made = job(record=Record({"attributes": attributes}))
    assert made.was_seen_before is seen


def test_a_kind_of_the_envelopes_own_is_not_told() -> None:
    """Attributes and logs name only known types of requests."""
    made = job()
    assert made.kind == "event_processing_request"
    made.message = replace(made.message, type="canary")
    assert made.kind == ""
