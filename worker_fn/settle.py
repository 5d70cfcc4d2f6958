"""Each record's end: delivered, waiting or dead-lettered. No record has another.

The order of the calls is what keeps a message safe: first it is in the dead-letter queue, only then may it leave this
one. Whatever can not be settled is reported as a batch item failure, and comes back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from worker_fn.classify import Outcome, Verdict


class Reason(StrEnum):
    """Why a message is in the dead-letter queue. docs/flow.md says what to do about each."""

    REJECTED = "rejected"
    UNAUTHORIZED = "unauthorized"
    UNDECODABLE = "undecodable"
    UNMAPPABLE = "unmappable"


@dataclass(frozen=True, slots=True)
class Delivered:
    pass


@dataclass(frozen=True, slots=True)
class Waiting:
    """Come back in `wait_s` whole seconds; the reason is for the log."""

    wait_s: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Never again, unless someone mends the cause and redrives. `error` holds nothing of the payload."""

    reason: Reason
    error: str
    status: int | None = None
    attempts: int = 0


End = Delivered | Waiting | DeadLetter

REASON_OF = {
    Verdict.REJECTED: Reason.REJECTED,
    Verdict.UNAUTHORIZED: Reason.UNAUTHORIZED,
    Verdict.UNSENDABLE: Reason.UNMAPPABLE,
}


@dataclass(frozen=True, slots=True)
class Settled:
    """A record and its end; `attributes` says of the message what a dead letter has to tell."""

    record: Mapping[str, Any]
    end: End
    attributes: Mapping[str, str]


class Queue(Protocol):
    """shared.queue.WorkerQueue, or a fake in tests."""

    def hide(self, waits_s: Mapping[str, int]) -> None: ...
    def dead_letter(self, body: str, attributes: Mapping[str, str]) -> None: ...


@dataclass(slots=True)
class Report:
    """What a batch came to. `failures` are the message ids that Lambda must leave in the queue."""

    delivered: int = 0
    waiting: int = 0
    dead_lettered: int = 0
    unsettled: int = 0
    failures: list[str] = field(default_factory=list)


def settle(settled: Iterable[Settled], queue: Queue) -> Report:
    """Carry out the ends. A settle call that fails costs time, never a message."""
    report = Report()
    waits_s: dict[str, int] = {}
    for one in settled:
        match one.end:
            case Delivered():
                report.delivered += 1
            case Waiting(wait_s=wait_s):
                report.waiting += 1
                report.failures.append(one.record["messageId"])
                waits_s[one.record["receiptHandle"]] = wait_s
            case DeadLetter() as letter:
                if _dead_letter(one, letter, queue):
                    report.dead_lettered += 1
                else:
                    report.unsettled += 1
                    report.failures.append(one.record["messageId"])
    try:
        queue.hide(waits_s)
    except (BotoCoreError, ClientError):
        # They are reported all the same, and come back when the queue's own visibility timeout ends.
        report.unsettled += len(waits_s)
    return report


def _dead_letter(one: Settled, letter: DeadLetter, queue: Queue) -> bool:
    attributes = {
        **one.attributes,
        "reason": str(letter.reason),
        "error": letter.error[:256],
        "status": "" if letter.status is None else str(letter.status),
        "attempts": str(letter.attempts),
    }
    try:
        queue.dead_letter(one.record["body"], attributes)
    except (BotoCoreError, ClientError):
        return False
    return True
