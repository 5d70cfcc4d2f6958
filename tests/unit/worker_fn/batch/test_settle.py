"""How a batch's results are carried out on the queues."""

import asyncio
from typing import Any

import pytest

from shared.message import decode
from testkit.records import raw_record, record
from worker_fn.batch.disposition import DeadLetter, Reason
from worker_fn.batch.job import Job
from worker_fn.batch.record import Record
from worker_fn.batch.settle import letter_attributes


def test_failing_settle_calls_lose_nothing(fleet: Any) -> None:
    """With SQS down, every message that is not delivered is reported, so Lambda leaves it in the queue."""
    fleet.queue.broken = True
    report = fleet.run(record(1, ["200"]), record(2, ["503"]), record(3, ["400"]), raw_record(4, "poison"))
    assert sorted(report.failures) == ["m-2", "m-3", "m-4"]
    assert report.unsettled == 3


def test_settle_call_that_hangs_does_not_hold_the_batch(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the dead-letter queue does not answer, the message stays in its queue, and the batch ends in time."""
    monkeypatch.setattr("worker_fn.batch.time_budget.LEAST_S", 0.01)
    monkeypatch.setattr("worker_fn.batch.time_budget.ANSWER_S", 1_000.0)  # no time is left when settling begins

    async def hang(*_: object) -> None:
        await asyncio.get_running_loop().create_future()

    fleet.queue.dead_letter = hang
    report = fleet.run(record(1, ["400"]), record(2, ["200"]))
    assert report.failures == ["m-1"]
    assert (report.delivered, report.unsettled) == (1, 1)


def told(letter: DeadLetter) -> dict[str, str]:
    came = record(1, ["200"])
    return letter_attributes(Job(Record(came), message=decode(came["body"])), letter, "acme")


def test_a_letter_says_whose_message_it_is_and_since_when() -> None:
    """Every dead letter has its partner, type, account and first receive."""
    assert told(DeadLetter(Reason.TOO_OLD, "")) == {
        "reason": "too_old",
        "partner": "acme",
        "type": "event_processing_request",
        "account_id": "7",
        "first_received_ms": "1700000000000",
        "attempts": "0",
    }


@pytest.mark.parametrize("status", [None, 422])
def test_a_letter_says_why_and_how_often(status: int | None) -> None:
    """The reason comes first; SQS accepts no attribute without a value, so empty ones are left out."""
    attributes = told(DeadLetter(Reason.REJECTED, "e" * 300, status=status, attempts=3))
    assert next(iter(attributes)) == "reason"
    assert (attributes["reason"], attributes["error"], attributes["attempts"]) == ("rejected", "e" * 256, "3")
    assert attributes.get("status") == (None if status is None else "422")
    assert len(attributes) <= 10
