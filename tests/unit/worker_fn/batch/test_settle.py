"""The ends of a batch, carried out."""

import asyncio
from typing import Any

import pytest

from testkit.records import raw_record, record


def test_failing_settle_calls_lose_nothing(fleet: Any) -> None:
    """With SQS down, every message that is not delivered is reported, so Lambda leaves it in the queue."""
    fleet.queue.broken = True
    report = fleet.run(record(1, ["200"]), record(2, ["503"]), record(3, ["400"]), raw_record(4, "poison"))
    assert sorted(report.failures) == ["m-2", "m-3", "m-4"]
    assert report.unsettled == 3


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
