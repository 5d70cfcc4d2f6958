"""What stands in a dead letter beside the body."""

import pytest

from shared.message import decode
from testkit.records import record
from worker_fn.batch.dead_letter import letter_attributes, message_attributes
from worker_fn.batch.disposition import DeadLetter, Reason
from worker_fn.batch.job import Job


def job() -> Job:
    came = record(1, ["200"])
    return Job(came, message=decode(came["body"]))


def test_whose_message_it_is_and_since_when() -> None:
    """Its partner, type, account and first receive, as every dead letter has them."""
    assert message_attributes(job(), "acme") == {
        "partner": "acme",
        "type": "event_processing_request",
        "account_id": "7",
        "first_received_ms": "1700000000000",
    }


@pytest.mark.parametrize("status", [None, 422])
def test_a_letter_says_why_and_how_often(status: int | None) -> None:
    """The reason comes first; SQS takes no attribute without a value, so there is none."""
    letter = DeadLetter(Reason.REJECTED, "e" * 300, status=status, attempts=3)
    told = letter_attributes(message_attributes(job(), "acme"), letter)
    assert next(iter(told)) == "reason"
    assert (told["reason"], told["error"], told["attempts"]) == ("rejected", "e" * 256, "3")
    assert told.get("status") == (None if status is None else "422")
    assert len(told) <= 10
