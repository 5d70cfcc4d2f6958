"""What a batch came to, as facts: a line for each end that is not `delivered`, and one for all that were delivered.

A message is known by its request's id and its part, which stay the same through parking and redrives; SQS gives it a
new id each time it is sent. Written before the function answers: what leaves the queue has its line.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from shared.ledger import WHOLE, has_part
from shared.message import ERASURE, SHORT_TYPES
from shared.telemetry import SHORT_ID, Fact, Metric
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import DeadLetter, Delivered, Parked, Waiting
from worker_fn.batch.job import UNREAD, Job
from worker_fn.batch.settle import Report, Settled
from worker_fn.limits.ruling import Because

MOST_MESSAGES_A_LINE, MOST_CHARS_A_LINE = 200, 20_000
"""Messages in one line, and characters of them: JSON writes one in up to twelve bytes, and CloudWatch takes 256 KB."""

Line = tuple[Fact, dict[str, Any]]


def tell_ends(jobs: Sequence[Job], ends: Sequence[Settled], report: Report, worker: Worker) -> None:
    """Write what became of each message, count it in the report, and tell what is new of the fleet."""
    stays, now_ms = frozenset(report.failures), worker.now_ms()
    for kind, fields in lines(jobs, ends, stays, now_ms):
        worker.facts(kind, **fields)
    for job, one in zip(jobs, ends, strict=True):
        _count(job, one, report, stays, now_ms)
        _count_for_account(job, one, report, stays, worker.measured_accounts)
    tell_fleet(worker)


def tell_fleet(worker: Worker) -> None:
    """Write what is new of the fleet."""
    for kind, fields in worker.fleet_seen.changes(worker.limiters.partner.flow, now_ms=worker.now_ms()):
        worker.facts(kind, **fields)


def lines(jobs: Sequence[Job], ends: Sequence[Settled], stays: frozenset[str], now_ms: int) -> Iterator[Line]:
    """The facts of a batch. `stays`: ids of the messages that the queue keeps."""
    delivered = (entry(job) for job, one in zip(jobs, ends, strict=True) if isinstance(one.end, Delivered))
    for messages in _runs(delivered):
        yield Fact.DELIVERED, {"messages": messages}
    for job, one in zip(jobs, ends, strict=True):
        if job.receives <= 1 or not isinstance(one.end, Waiting):
            for named in _runs(job.event_ids):
                yield Fact.CONTENT, {**ids(job), "events": None, "receive_count": None, "event_ids": named}
    for job, one in zip(jobs, ends, strict=True):
        match one.end:
            case Waiting() as wait:
                yield (
                    Fact.WAIT,
                    {**ids(job), "why": wait.why or None, "wait_s": wait.wait_s, "age_s": _age_s(job, now_ms)},
                )
            case DeadLetter() | Parked() if job.message_id in stays:
                yield Fact.UNSETTLED, ids(job)
            case Parked():
                yield Fact.PARKED, {**ids(job), "age_s": _age_s(job, now_ms)}
            case DeadLetter() as letter:
                said = {"reason": letter.reason, "error": letter.error, "status": letter.status}
                yield Fact.DEAD_LETTER, {**ids(job), **said, "attempts": letter.attempts}


def entry(job: Job) -> str:
    """A delivered message in a batch's line: request, part if there are several, SQS's id, events, and of them how many
    were left out.
    """
    part = _part(job) or (WHOLE if has_part(job.message.id) else None)
    left_out = f"-{job.left_out_events}" if job.left_out_events else ""
    named = f"{job.message.id} {part}" if part else job.message.id
    return f"{named} {job.message_id[:SHORT_ID]} {job.events}{left_out}"


def _runs(entries: Iterable[str]) -> Iterator[list[str]]:
    """Cut messages into what one line may hold."""
    run: list[str] = []
    chars = 0
    for one in entries:
        if run and (len(run) == MOST_MESSAGES_A_LINE or chars + len(one) > MOST_CHARS_A_LINE):
            yield run
            run, chars = [], 0
        run.append(one)
        chars += len(one)
    if run:
        yield run


def ids(job: Job) -> dict[str, Any]:
    """What every line of one message begins with; of what nobody could read, only what SQS says."""
    known = {} if job.message is UNREAD else {"request_id": job.message.id, "account_id": job.message.account_id}
    return {
        **known,
        "part": _part(job),
        "message_id": job.message_id,
        "type": SHORT_TYPES.get(job.message.type),
        "events": job.events or None,
        "receive_count": job.receives,
    }


def _age_s(job: Job, now_ms: int) -> int | None:
    """How long ago its request was accepted."""
    return None if job.message is UNREAD else max(0, (now_ms - job.message.received_at_ms) // 1_000)


def _part(job: Job) -> str | None:
    """The part that a message is, of a request that has several."""
    return None if job.message.part in {WHOLE, ""} else job.message.part


CAUSES = frozenset(map(str, Because)) | {"account rate", "suspended", "refused", "of a later release"}


def _count(job: Job, one: Settled, report: Report, stays: frozenset[str], now_ms: int) -> None:
    age_ms = now_ms - job.message.received_at_ms
    match one.end:
        case Delivered():
            report.delivered_after_ms.append(max(0, age_ms))
        case Waiting(why=why):
            report.waits[why if why in CAUSES else "a failed call"] += 1
        case DeadLetter(reason=reason) if job.message_id not in stays:
            report.letters[reason] += 1
    if isinstance(one.end, Waiting | Parked) and job.message is not UNREAD:
        report.oldest_waiting_s = max(report.oldest_waiting_s, age_ms / 1_000)
        if job.message.type == ERASURE:
            report.oldest_erasure_s = max(report.oldest_erasure_s, age_ms / 1_000)


def _count_for_account(job: Job, one: Settled, report: Report, stays: frozenset[str], measured: frozenset[str]) -> None:
    account_id = job.message.account_id
    if account_id is None or account_id not in measured:
        return
    ends = report.by_account.setdefault(account_id, Counter())
    match one.end:
        case Delivered():
            ends[Metric.DELIVERED] += 1
        case Waiting():
            ends[Metric.WAITING] += 1
        case _ if job.message_id in stays:
            ends[Metric.SETTLE_FAILED] += 1
        case Parked():
            ends[Metric.PARKED] += 1
        case DeadLetter():
            ends[Metric.DEAD_LETTERED] += 1


def tell_attempt(worker: Worker, messages: Iterable[tuple[str, str]], **fields: Any) -> None:
    """Write a call that did not deliver all that was in it; `messages` are request ids and SQS's ids."""
    known = list(dict.fromkeys(messages))
    if len(known) == 1:
        worker.facts(Fact.ATTEMPT, request_id=known[0][0], message_id=known[0][1], **fields)
        return
    for named in _runs(f"{request_id} {message_id[:SHORT_ID]}" for request_id, message_id in known):
        worker.facts(Fact.ATTEMPT, messages=named, **fields)
