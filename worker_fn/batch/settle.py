"""Each record's end, carried out and counted. Every record has exactly one.

The order of the calls keeps a message safe: it leaves the main queue only after it is in the dead-letter or parking
queue. A message that cannot be settled is reported as a batch item failure, and comes back.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from shared.message import ERASURE
from shared.telemetry import Metric
from worker_fn.batch.alone import or_else
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import DeadLetter, Delivered, Parked, Waiting
from worker_fn.batch.job import UNREAD, Job
from worker_fn.batch.time_budget import TimeBudget, in_time
from worker_fn.limits.ruling import Because

CAUSES = frozenset(map(str, Because)) | {"account rate", "suspended", "refused", "of a later release"}
"""Causes of waits that are counted by their name; all others are a failed call."""

REDRIVEN, MAX_HISTORY = ("redriven_ms", "history"), 256
"""Attributes that `spillway dlq redrive` gives a message (when it was last redriven; how often before, and for which
reasons it was dead-lettered), and their greatest length.
"""


@dataclass(slots=True)
class Report:
    """The outcome of a batch. `failures` are the message ids that Lambda must leave in the queue."""

    delivered: int = 0
    waiting: int = 0
    parked: int = 0
    dead_lettered: int = 0
    unsettled: int = 0
    malformed: int = 0
    left_out: int = 0
    state_trouble: int = 0
    failures: list[str] = field(default_factory=list)
    delivered_after_ms: list[int] = field(default_factory=list)
    """For each delivered message, the time since mParticle's request was accepted."""
    waits: Counter[str] = field(default_factory=Counter)
    """By cause."""
    letters: Counter[str] = field(default_factory=Counter)
    """By reason."""
    by_account: dict[str, Counter[Metric]] = field(default_factory=dict)
    """The ends of messages, for accounts with metrics of their own."""
    oldest_waiting_s: float = 0.0
    oldest_erasure_s: float = 0.0
    """Ages of the oldest message, and of the oldest erasure, that wait or are parked."""
    call_ms: list[int] = field(default_factory=list)
    """How long the partner took for each call."""

    def count(self, job: Job, *, now_ms: int, measured: Collection[str]) -> None:
        """Count how a message ended; `measured` are accounts with metrics of their own."""
        account_id, age_ms = job.message.account_id, now_ms - job.message.received_at_ms
        match job.end:
            case Delivered():
                metric = Metric.DELIVERED
                self.delivered += 1
                self.delivered_after_ms.append(max(0, age_ms))
            case Waiting(why=why):
                metric = Metric.WAITING
                self.waiting += 1
                self.waits[why if why in CAUSES else "a failed call"] += 1
            case _ if job.stays:
                metric = Metric.SETTLE_FAILED
                self.unsettled += 1
            case DeadLetter(reason=reason):
                metric = Metric.DEAD_LETTERED
                self.dead_lettered += 1
                self.letters[reason] += 1
            case _:
                metric = Metric.PARKED
                self.parked += 1
        if isinstance(job.end, Waiting | Parked) and job.message is not UNREAD:
            self.oldest_waiting_s = max(self.oldest_waiting_s, age_ms / 1_000)
            if job.message.type == ERASURE:
                self.oldest_erasure_s = max(self.oldest_erasure_s, age_ms / 1_000)
        if account_id is not None and account_id in measured:
            self.by_account.setdefault(account_id, Counter())[metric] += 1


async def settle(jobs: Sequence[Job], worker: Worker, report: Report, budget: TimeBudget) -> None:
    """Carry out the ends while there is time. A settle call that fails or takes too long never costs a message.

    Records that are not moved in time are reported, so that the function ends in time and delivered ones can leave the
    queue.
    """
    await _move([job for job in jobs if isinstance(job.end, DeadLetter | Parked)], worker, budget.for_moving_s())
    waits_s: dict[str, int] = {}
    for job in jobs:
        job.end = job.end or Waiting(1)
        if isinstance(job.end, Waiting):
            job.stays = True
            if handle := job.record.raw.get("receiptHandle"):
                waits_s[handle] = job.end.wait_s
        if job.stays and job.record.message_id:  # SQS gives each an id: an empty name would bring back the whole batch
            report.failures.append(job.record.message_id)
    if waits_s:
        # A message that cannot be hidden is reported too, and comes back when the queue's visibility timeout ends.
        report.unsettled += len(await in_time(worker.queue.hide(waits_s), budget.for_hiding_s(), set(waits_s)))
    now_ms = worker.now_ms()
    for job in jobs:
        report.count(job, now_ms=now_ms, measured=worker.measured_accounts)


async def _move(jobs: Sequence[Job], worker: Worker, time_s: float) -> None:
    """Move records to the queue that their ends name. One that cannot be moved, for whatever reason, stays and comes
    back; in the end SQS itself dead-letters it.
    """

    async def move(job: Job) -> None:
        if isinstance(job.end, DeadLetter):
            await worker.queue.dead_letter(job.record.raw, letter_attributes(job, job.end, worker.partner.name))
        else:
            await worker.queue.park(job.record.raw)
        job.stays = False

    for job in jobs:
        job.stays = True
    if jobs:
        await in_time(asyncio.gather(*(or_else(move(job), lambda _: None) for job in jobs)), time_s, None)


def letter_attributes(job: Job, letter: DeadLetter, partner: str) -> dict[str, str]:
    """What stands in a dead letter beside the message's body: SQS message attributes, the most important first, ten at
    most, none of them empty.
    """
    redriven = {
        name: text for name in REDRIVEN if len(text := job.record.said(name)) <= MAX_HISTORY and text.isprintable()
    }
    full = {
        "reason": str(letter.reason),
        "error": letter.error[:256],
        "status": "" if letter.status is None else str(letter.status),
        "partner": partner,
        "type": job.kind,
        "account_id": job.message.account_id or "",
        "first_received_ms": str(job.record.attribute("ApproximateFirstReceiveTimestamp") or ""),
        **redriven,
        "attempts": str(letter.attempts),
    }
    return {name: value for name, value in full.items() if value}
