"""Resuming a message that comes back, and STAGE 3's end: what the outcomes of its deliveries mean for the message, its
credentials and its progress.
"""

from dataclasses import replace

from shared.errors import StateUnavailable
from shared.message import ERASURE
from shared.state import Conflict
from worker_fn.accounts.suspensions import Place
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import Delivered, Parked, Story, Waiting, end_of
from worker_fn.batch.job import UNREAD, Job
from worker_fn.batch.progress import Progress, forget_progress, read_progress, short, write_progress
from worker_fn.batch.refusals import end_by_credentials, held_up
from worker_fn.dispatch.classify import Outcome, Verdict
from worker_fn.dispatch.lanes import Dispatch
from worker_fn.limits import agreement
from worker_fn.limits.ruling import Because

LETTER_KEPT_S = 14 * 86_400
"""How long a dead letter may lie before it is redriven: until then it is known which of its deliveries arrived."""
KEPT_LONGER_S = 86_400
"""The progress of a message is kept for a day longer than the message may wait."""


async def resume(job: Job, worker: Worker) -> None:
    """Leave out deliveries that an earlier receive of the message settled. Without the state table all are sent again,
    with the same keys.
    """
    await _recall(job, worker)
    job.items = [item for item in job.items if not job.progress.settles(item.key)]


async def _recall(job: Job, worker: Worker) -> None:
    try:
        job.progress = await read_progress(worker.state, job.message)
    except StateUnavailable:
        worker.limiters.trouble()


async def conclude(job: Job, worker: Worker) -> None:
    """Decide a job's end, and remember what the message needs when it comes back."""
    if job.message is UNREAD:
        job.end = Waiting(1, Because.TIME)
    elif job.place is not Place.SEND:
        job.end = held_up(job, worker)
    elif job.arrived_at_once:
        job.end = await end_by_credentials(job, Delivered(), job.progress, worker)
    else:
        give_up_failing(job, worker)
        progress = progress_after(job, worker)
        outcomes = [item.outcome for item in job.items] + ([] if job.is_mapped else [None])
        end = end_of(outcomes, _story(job, progress, worker), worker.budgets, worker.rng)
        job.end = await end_by_credentials(job, end, progress, worker)
        if isinstance(job.end, Delivered) and job.progress.item.rev:
            await _write(job, None, worker)
        elif isinstance(job.end, Waiting | Parked) and progress != job.progress:
            await _write(job, progress, worker)


def _story(job: Job, progress: Progress, worker: Worker) -> Story:
    waiting = [short(item.key) for item in job.items if item.calls and item.waits]
    return Story(
        kind=job.message.type,
        received_at_ms=job.begun_ms,
        now_ms=worker.now_ms(),
        attempts=progress.attempts,
        total=job.total,
        receives=job.record.receives,
        refused=job.progress.refused,
        failures=max((progress.failing.get(key, 0) for key in waiting), default=0),
    )


def give_up_failing(job: Job, worker: Worker) -> None:
    """Reject a delivery on which the partner failed too often while it took others, so that those behind it go on.

    An erasure is not rejected, only its age ends it: the API for erasures may be down while the API for data works.
    """
    if job.message.type == ERASURE:
        return
    takes_others = _takes_others(job, worker)
    for item in job.items:
        failed = job.progress.failed_attempts + (item.attempts if takes_others else 0)
        if (outcome := _failure(item)) is not None and failed >= worker.budgets.max_failed_attempts:
            error = f"{outcome.error} {failed} times, while other calls succeed"
            item.outcome = replace(outcome, verdict=Verdict.REJECTED, error=error)
            job.has_given_up = True


def _failure(item: Dispatch) -> Outcome | None:
    """The outcome of a delivery whose attempts failed, and were not merely pushed back."""
    outcome = item.outcome if item.attempts else None
    return outcome if outcome and outcome.verdict is Verdict.RETRY and outcome.status != 429 else None


def _takes_others(job: Job, worker: Worker) -> bool:
    """Whether the partner takes other calls, also for this account: then the message itself is at fault."""
    served = worker.limiters.is_served(job.message.account_id)
    return served and agreement.is_healthy(worker.limiters.partner.flow, now_ms=worker.now_ms())


def progress_after(job: Job, worker: Worker) -> Progress:
    """The job's progress with what this invocation added."""
    before, done, refused = job.progress, set[str](), dict(job.progress.refused)
    failing = dict(before.failing)
    for item in job.items:
        key, verdict = short(item.key), item.outcome.verdict if item.outcome else Verdict.RETRY
        failing[key] = before.failing.get(key, 0) + item.attempts if verdict is Verdict.RETRY else 0
        if verdict is Verdict.DELIVERED:
            done.add(key)
        elif item.outcome and verdict not in {Verdict.RETRY, Verdict.UNAUTHORIZED}:
            refused[key] = item.outcome.error or ""
    failed = sum(item.attempts for item in job.items if _failure(item)) if _takes_others(job, worker) else 0
    was_denied = any(item.is_refused for item in job.items)
    noted = before.noted
    if job.is_mapped:
        noted = None
    elif job.record.receives == 1 or noted is not None:
        noted = max(job.looked_at, noted or 0)
    return replace(
        before,
        done=before.done | done,
        refused=refused,
        attempts=before.attempts + job.calls,
        failing={key: count for key, count in failing.items() if count},
        failed_attempts=0 if job.has_given_up else before.failed_attempts + failed,
        auth_failures=before.auth_failures + job.is_refused_alone,
        auth_failed_ms=worker.now_ms() if was_denied else before.auth_failed_ms,
        noted=noted,
    )


async def remember_letter(job: Job, worker: Worker) -> None:
    """Keep a dead letter's deliveries that arrived from being sent again, if its queue does not take it or an operator
    redrives it.

    If its queue does not take it, it comes back as it was; if it is redriven, refused deliveries get another chance.
    """
    if job.was_seen_before and job.message is not UNREAD:
        await _recall(job, worker)  # it may have ended before it could be resumed, by its age or as it was mapped
    progress = progress_after(job, worker)
    if not (progress.done or job.progress.item.rev):
        return
    if not job.stays:
        progress = replace(progress, refused={}, failing={}, failed_attempts=0, auth_failures=0, attempts=0)
    await _write(job, progress, worker, also_s=LETTER_KEPT_S)


async def _write(job: Job, progress: Progress | None, worker: Worker, *, also_s: int = 0) -> None:
    """Remember the progress of a message for as long as it may come back, or forget it."""
    kept_s = int(worker.budgets.age_s(job.message.type)) + KEPT_LONGER_S + also_s
    try:
        if progress is None:
            await forget_progress(worker.state, job.message)
        else:
            await write_progress(worker.state, job.message, progress, expires_at=worker.now_ms() // 1_000 + kept_s)
    except StateUnavailable:
        worker.limiters.trouble()
    except Conflict:
        pass  # SQS delivered it twice at once, and the other worker wrote first
