"""How a batch's results are carried out on the queues."""

import asyncio
from typing import Any

import pytest

from shared.message import ERASURE, EVENTS, Message, decode
from shared.telemetry import Metric
from testkit.records import RECEIVED_MS, raw_record, record
from worker_fn.batch.disposition import DeadLetter, Delivered, End, Parked, Reason, Waiting
from worker_fn.batch.job import Job
from worker_fn.batch.record import Record
from worker_fn.batch.settle import Report, letter_attributes, settle
from worker_fn.batch.time_budget import TimeBudget
from worker_fn.limits.ruling import Because


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
    fleet.queue.hide = hang
    report = fleet.run(record(3, ["503"]), record(4, ["503"]), record(5, ["200"]))
    assert (report.failures, report.delivered, report.unsettled) == (["m-3", "m-4"], 1, 2)


def test_a_record_without_an_end_stays(fleet: Any) -> None:
    """Whatever a step forgot: what nobody decided is not taken for done."""
    job, report = Job(Record(record(1, ["200"]))), Report()
    fleet.clock.run(settle([job], fleet.worker, report, TimeBudget(lambda: 60.0, 8.0)))
    assert (report.failures, list(fleet.queue.hidden)) == (["m-1"], ["h-1"])


def counted(*jobs: Job, measured: frozenset[str] = frozenset()) -> Report:
    report = Report()
    for job in jobs:
        report.count(job, now_ms=RECEIVED_MS, measured=measured)
    return report


def ended(end: End, *, age_s: int = 0, kind: str = EVENTS, account_id: str = "7", stays: bool = False) -> Job:
    message = Message("r-1", "1/1", kind, account_id, RECEIVED_MS - 1_000 * age_s, {})
    return Job(Record(record(1, ["200"])), message=message, end=end, stays=stays)


def test_ages_are_of_what_waits_or_is_parked() -> None:
    """The oldest's, erasures also apart; what nobody could read has no age, and what is delivered is none's burden."""
    report = counted(
        ended(Waiting(1), age_s=30),
        ended(Parked(), age_s=20, kind=ERASURE),
        ended(Waiting(1), age_s=10, kind=ERASURE),
        ended(Delivered(), age_s=50),
        ended(DeadLetter(Reason.REJECTED, ""), age_s=50, kind=ERASURE),
        Job(Record({}), end=Waiting(1)),
    )
    assert (report.oldest_waiting_s, report.oldest_erasure_s) == (30.0, 20.0)


def test_a_delivery_is_never_measured_as_earlier_than_its_request() -> None:
    """The clocks of ingest and worker may differ."""
    assert counted(ended(Delivered(), age_s=-2), ended(Delivered(), age_s=3)).delivered_after_ms == [0, 3_000]


def test_waits_are_counted_by_a_bounded_number_of_causes() -> None:
    """Each is a metric of its own: what a partner answered is one of them."""
    report = counted(*(ended(Waiting(1, why)) for why in ("suspended", "HTTP 503", Because.TIME, "timeout")))
    assert report.waits == {"suspended": 1, "a failed call": 2, "time": 1}


def test_measured_accounts_are_counted_apart() -> None:
    """Each end by its metric; other accounts, and messages without one, only among all."""
    ends = [ended(Delivered()), ended(Delivered()), ended(Parked(), stays=True), ended(Delivered(), account_id="8")]
    report = counted(*ends, Job(Record({}), end=Waiting(1)), measured=frozenset({"7"}))
    assert report.by_account == {"7": {Metric.DELIVERED: 2, Metric.SETTLE_FAILED: 1}}


def told(letter: DeadLetter, **said: Any) -> dict[str, str]:
    came = record(1, ["200"]) | said
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
    assert "first_received_ms" not in told(DeadLetter(Reason.TOO_OLD, ""), attributes={})


@pytest.mark.parametrize("status", [None, 422])
def test_a_letter_says_why_and_how_often(status: int | None) -> None:
    """The reason comes first; SQS accepts no attribute without a value, so empty ones are left out."""
    attributes = told(DeadLetter(Reason.REJECTED, "e" * 300, status=status, attempts=3))
    assert next(iter(attributes)) == "reason"
    assert (attributes["reason"], attributes["error"], attributes["attempts"]) == ("rejected", "e" * 256, "3")
    assert attributes.get("status") == (None if status is None else "422")
    assert len(attributes) <= 10
