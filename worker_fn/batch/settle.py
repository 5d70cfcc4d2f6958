"""Each record's end, carried out. No record has none, and none has two.

The order of the calls is what keeps a message safe: first it is in the dead-letter or parking queue, only then may it
leave this one. Whatever can not be settled is reported as a batch item failure, and comes back.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.telemetry import Metric
from worker_fn.batch.dead_letter import letter_attributes
from worker_fn.batch.disposition import DeadLetter, Delivered, End, Parked, Waiting
from worker_fn.batch.time_budget import TimeBudget
from worker_fn.clients.or_else import or_else


@dataclass(frozen=True, slots=True)
class Settled:
    """A record and its end; `attributes` are what a dead letter says about its message.

    `deliveries` is the number of calls that the message becomes, done ones included; None if that is not known.
    """

    record: Mapping[str, Any]
    end: End
    attributes: Mapping[str, str]
    deliveries: int | None = None


class Queue(Protocol):
    """shared.queue.WorkerQueue, or a fake in tests. Every call may raise QueueUnavailable."""

    async def hide(self, waits_s: Mapping[str, int]) -> set[str]:
        """Hide messages (receipt handle -> seconds from now); returns the handles for which that failed."""

    async def dead_letter(self, record: Mapping[str, Any], attributes: Mapping[str, str]) -> None:
        """Return when the record's body is in the dead-letter queue."""

    async def park(self, record: Mapping[str, Any]) -> None:
        """Return when the record's body and attributes are in the parking queue."""


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
    """Of each delivered message: since mParticle's request was accepted."""
    waits: Counter[str] = field(default_factory=Counter)
    """By cause."""
    letters: Counter[str] = field(default_factory=Counter)
    """By reason."""
    by_account: dict[str, Counter[Metric]] = field(default_factory=dict)
    """How messages of the accounts ended that are measured by themselves."""
    oldest_waiting_s: float = 0.0
    oldest_erasure_s: float = 0.0
    """Of those that wait or are parked."""
    call_ms: list[int] = field(default_factory=list)
    """How long the partner took for each call."""

    def fail(self, record: Mapping[str, Any]) -> None:
        """Leave a record in the queue. A record without an id, which SQS never sends, cannot be named: an empty name
        would bring back the whole batch, delivered messages included.
        """
        if record.get("messageId"):
            self.failures.append(str(record["messageId"]))


async def settle(settled: Sequence[Settled], queue: Queue, report: Report, budget: TimeBudget) -> Report:
    """Carry out the ends while there is time. A settle call that fails or takes too long never costs a message.

    Records that are not moved in time are reported, so that the function ends in time and delivered ones can leave the
    queue.
    """
    moved = await _moved(settled, queue, budget.for_moving_s())
    waits_s: dict[str, int] = {}
    for one, is_moved in zip(settled, moved, strict=True):
        match one.end:
            case Delivered():
                report.delivered += 1
            case Waiting(wait_s=wait_s):
                report.waiting += 1
                report.fail(one.record)
                if handle := one.record.get("receiptHandle"):
                    waits_s[handle] = wait_s
            case _ if not is_moved:
                report.unsettled += 1
                report.fail(one.record)
            case Parked():
                report.parked += 1
            case DeadLetter():
                report.dead_lettered += 1
    if waits_s:
        # Those that fail are reported all the same, and come back when the queue's own visibility timeout ends.
        try:
            async with asyncio.timeout(budget.for_hiding_s()):
                report.unsettled += len(await queue.hide(waits_s))
        except TimeoutError:
            report.unsettled += len(waits_s)
    return report


async def _moved(settled: Sequence[Settled], queue: Queue, time_s: float) -> list[bool]:
    """For each record, whether it was moved to the place that its end names."""
    moves = {
        index: asyncio.ensure_future(or_else(_move(one, queue), _stays))
        for index, one in enumerate(settled)
        if isinstance(one.end, DeadLetter | Parked)
    }
    if moves:
        _, late = await asyncio.wait(moves.values(), timeout=time_s)
        for move in late:
            move.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    done = {index for index, move in moves.items() if not move.cancelled() and move.result()}
    return [index in done for index in range(len(settled))]


async def _move(one: Settled, queue: Queue) -> bool:
    """Put a record into the place that its end names; True once it is there."""
    match one.end:
        case DeadLetter() as letter:
            await queue.dead_letter(one.record, letter_attributes(one.attributes, letter))
        case Parked():
            await queue.park(one.record)
        case _:
            return False
    return True


def _stays(_: Exception) -> bool:
    """A record that can not be moved, for whatever reason, comes back; in the end SQS itself dead-letters it."""
    return False
