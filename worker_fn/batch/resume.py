"""A message that comes back is resumed: what earlier receives delivered is left out, and this one is remembered."""

from dataclasses import replace

from shared.errors import StateUnavailable
from shared.state import Conflict
from worker_fn.accounts.suspensions import Place
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import DeadLetter, Delivered, End, Parked, Waiting
from worker_fn.batch.failed_attempts import failed_attempts
from worker_fn.batch.job import Job
from worker_fn.batch.progress import Progress, forget_progress, read_progress, short, write_progress
from worker_fn.batch.settle import Report
from worker_fn.dispatch.classify import Verdict

LETTER_KEPT_S = 14 * 86_400
"""For so long a dead letter may lie before it is redriven: what of it arrived is known until then."""
KEPT_LONGER_S = 86_400
"""The progress of a message is kept for a day longer than the message may wait."""


async def resume(job: Job, worker: Worker) -> None:
    """Leave out deliveries that arrived at an earlier receive. With the state table down all are sent again, with the
    same keys.
    """
    if job.place not in {Place.SEND, Place.GIVE_UP} or not job.was_seen_before:
        return
    try:
        job.progress = await read_progress(worker.state, job.message)
    except StateUnavailable:
        worker.limiters.trouble()
        return
    job.items = [item for item in job.items if not job.progress.settles(item.key)]


def progress_after(job: Job, worker: Worker) -> Progress:
    """The job's progress with what this invocation added."""
    done, refused = [], {}
    for item in job.items:
        if item.outcome is not None and item.outcome.verdict is Verdict.DELIVERED:
            done.append(item.key)
        elif item.outcome is not None and item.outcome.verdict not in {Verdict.RETRY, Verdict.UNAUTHORIZED}:
            refused[item.key] = item.outcome.error or ""
    progress = job.progress.with_(
        done=done, refused=refused, attempts=job.calls, failed_attempts=failed_attempts(job, worker)
    )
    progress = replace(progress, failing=_failing(job))
    if any(item.is_refused for item in job.items):
        refusals = progress.auth_failures + job.is_refused_alone
        progress = replace(progress, auth_failures=refusals, auth_failed_ms=worker.now_ms())
    if job.is_mapped:
        progress = replace(progress, noted=None)
    elif job.receives == 1 or job.progress.noted is not None:
        progress = replace(progress, noted=max(job.looked_at, job.progress.noted or 0))
    return replace(progress, failed_attempts=0) if job.has_given_up else progress


def _failing(job: Job) -> dict[str, int]:
    """How often in a row each waiting delivery has failed; those that arrived or were refused do not wait."""
    counts = {} if job.is_mapped else dict(job.progress.failing)
    for item in job.items:
        key, waits = short(item.key), item.outcome is None or item.outcome.verdict is Verdict.RETRY
        counts[key] = job.progress.failing.get(key, 0) + item.attempts if waits else 0
    return {key: count for key, count in counts.items() if count}


async def remember(job: Job, end: End, progress: Progress, worker: Worker, *, also_s: int = 0) -> None:
    """Write progress when something was answered and the message comes back; forget it when it does not."""
    try:
        if isinstance(end, Waiting | Parked) and (progress != job.progress or also_s):
            kept_s = int(worker.budgets.age_s(job.message.type)) + KEPT_LONGER_S + also_s
            await write_progress(worker.state, job.message, progress, expires_at=worker.now_ms() // 1_000 + kept_s)
        elif isinstance(end, Delivered) and job.progress.item.rev:
            await forget_progress(worker.state, job.message)
    except StateUnavailable:
        worker.limiters.trouble()
    except Conflict:
        pass  # SQS delivered it twice at once, and the other worker wrote first


async def remember_letter(job: Job, report: Report, worker: Worker) -> None:
    """Keep a dead letter's deliveries that arrived from being sent again, if its queue does not take it or an operator
    redrives it.

    If its queue does not take it, it comes back as it was; if it is redriven, refused deliveries get another chance.
    """
    if not isinstance(job.end, DeadLetter):
        return
    progress = progress_after(job, worker)
    if not (progress.done or job.progress.item.rev):
        return
    if job.message_id not in report.failures:
        progress = replace(progress, refused={}, failing={}, failed_attempts=0, auth_failures=0, attempts=0)
    await remember(job, Waiting(0), progress, worker, also_s=LETTER_KEPT_S)
