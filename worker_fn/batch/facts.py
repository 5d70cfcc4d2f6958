"""The ends of a batch, as facts in the log: a line for each that is not `delivered`, and one for all that are.

A message is known by its request's id and its part, which stay the same through parking and redrives; SQS gives it a
new id each time it is sent. Facts are written before the function answers, so what leaves the queue has its line.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from shared.ledger import WHOLE, has_part
from shared.message import SHORT_TYPES
from shared.telemetry import SHORT_ID, Fact
from worker_fn.accounts.suspensions import Place
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import DeadLetter, Delivered, Parked, Waiting
from worker_fn.batch.job import UNREAD, Job
from worker_fn.batch.settle import Report
from worker_fn.dispatch.classify import Outcome, Verdict
from worker_fn.dispatch.lanes import Dispatch

MOST_MESSAGES_A_LINE, MOST_CHARS_A_LINE = 200, 20_000
"""Messages in one line, and characters: JSON may take twelve bytes for a character, and CloudWatch takes 256 KB."""
MOST_KEYS, MOST_OF_ALL = 10, 1_000
"""Idempotency-Keys that are logged of a call, its own first; and with LOG_EVENTS=ids. They are digests, which reveal
nothing of what they are made of.
"""


def tell_ends(jobs: Sequence[Job], worker: Worker) -> None:
    """Log the end of each message, and what is new of the fleet."""
    for messages in _runs(entry(job) for job in jobs if isinstance(job.end, Delivered)):
        worker.facts(Fact.DELIVERED, messages=messages)
    for job in jobs:
        if job.event_ids and (job.record.receives <= 1 or not isinstance(job.end, Waiting)):
            for named in _runs(job.event_ids):
                worker.facts(Fact.CONTENT, **(ids(job) | {"events": None, "receive_count": None}), event_ids=named)
    now_ms = worker.now_ms()
    for job in jobs:
        if not isinstance(job.end, Delivered):
            kind, said = _end(job, now_ms)
            worker.facts(kind, **ids(job), **said)
    tell_fleet(worker)


def _end(job: Job, now_ms: int) -> tuple[Fact, dict[str, Any]]:
    age_s = None if job.message is UNREAD else max(0, (now_ms - job.message.received_at_ms) // 1_000)
    match job.end:
        case Waiting(wait_s=wait_s, why=why):
            return Fact.WAIT, {"why": why or None, "wait_s": wait_s, "age_s": age_s}
        case DeadLetter() as letter if not job.stays:
            said = {"reason": letter.reason, "error": letter.error, "status": letter.status}
            return Fact.DEAD_LETTER, {**said, "attempts": letter.attempts}
        case Parked() if not job.stays:
            return Fact.PARKED, {"age_s": age_s}
    return Fact.UNSETTLED, {}


def tell_fleet(worker: Worker) -> None:
    """Log what is new of the fleet."""
    for kind, fields in worker.fleet_seen.changes(worker.limiters.partner.flow, now_ms=worker.now_ms()):
        worker.facts(kind, **fields)


def entry(job: Job) -> str:
    """A delivered message in a batch's line: request, part if there are several, SQS's id, its events, and how many of
    these were left out. Items beside the events do not count as left out, nor do events that also have a call.
    """
    part = _part(job) or (WHOLE if has_part(job.message.id) else None)
    named = f"{job.message.id} {part}" if part else job.message.id
    left_out = min(max(0, job.events - job.called), len({one.item for _, one in job.left_out}))
    return f"{named} {job.record.message_id[:SHORT_ID]} {job.events}{f'-{left_out}' if left_out else ''}"


def _runs(entries: Iterable[str]) -> Iterator[list[str]]:
    """Divide messages into groups, each of which fits into one line."""
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
    """The fields that begin every line of a message; only SQS's own for a message that could not be read."""
    known = {} if job.message is UNREAD else {"request_id": job.message.id, "account_id": job.message.account_id}
    return {
        **known,
        "part": _part(job),
        "message_id": job.record.message_id,
        "type": SHORT_TYPES.get(job.message.type),
        "events": job.events or None,
        "receive_count": job.record.receives,
    }


def _part(job: Job) -> str | None:
    """The message's part of its request; None if the request has only one."""
    return None if job.message.part in {WHOLE, ""} else job.message.part


async def note_left_out(job: Job, report: Report, worker: Worker) -> None:
    """Count and log the parts of a message that could not be read, and those that the partner makes no call for: a line
    for each kind.

    A message is mapped at every receive, but this is logged only at the first: again after parking or a redrive, which
    make it a new message to SQS; never if the first receive was lost, or held back by an operator's pause.
    """
    if not (job.malformed or job.left_out) or job.place is not Place.SEND:
        return
    before = 0 if job.record.receives == 1 else job.progress.noted
    if before is None:
        return
    malformed = job.malformed if before == 0 else ()
    left_out = [one for place, one in job.left_out if place > before]
    report.malformed += len(malformed)
    report.left_out += len(left_out)
    ids = {"request_id": job.message.id, "account_id": job.message.account_id}
    for problem, where in {problem: where for where, problem in reversed(malformed)}.items():
        worker.log("a part of a request could not be read", where=where, error=problem, **ids)
    for why, item in {one.why: one.item for one in reversed(left_out)}.items():
        worker.log("a part of a request is left out", item=item, reason=why, **ids)


def tell_attempt(worker: Worker, items: Sequence[Dispatch], outcome: Outcome, took_ms: int, key: str) -> None:
    """Log a call that failed, or those of its items that it failed for; with LOG_EVENTS=ids every call."""
    failed = [
        item
        for item, judged in zip(items, outcome.of_each(len(items)), strict=True)
        if judged is None or judged.verdict is not Verdict.DELIVERED
    ]
    told = failed or (items if worker.tells_ids else ())
    if not told:
        return
    keys = dict.fromkeys(str(one) for one in (key, *(item.key for item in told)))
    said = {
        "status": outcome.status,
        "error": outcome.error if failed else None,
        "retry_after_s": outcome.retry_after_s,
        "ms": took_ms,
        "attempt": max(item.attempts for item in told) or None,
        "items": len(told),
        "keys": list(keys)[: MOST_OF_ALL if worker.tells_ids else MOST_KEYS],
    }
    messages = list(dict.fromkeys(item.of for item in told))
    if len(messages) == 1:
        worker.facts(Fact.ATTEMPT, request_id=messages[0][0], message_id=messages[0][1], **said)
        return
    for named in _runs(f"{request_id} {message_id[:SHORT_ID]}" for request_id, message_id in messages):
        worker.facts(Fact.ATTEMPT, messages=named, **said)
