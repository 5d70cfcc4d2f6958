"""STAGE 3, its end: what the outcomes of a job's deliveries mean for the message, its credentials and its progress."""

from worker_fn.accounts.suspensions import Place
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import Delivered, Story, Waiting, end_of
from worker_fn.batch.job import UNREAD, Job
from worker_fn.batch.progress import Progress, short
from worker_fn.batch.refusals import end_by_credentials, held_up
from worker_fn.batch.resume import give_up_failing, progress_after, remember
from worker_fn.limits.ruling import Because


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
        await remember(job, progress, worker)


def _story(job: Job, progress: Progress, worker: Worker) -> Story:
    waiting = [short(item.key) for item in job.items if item.calls and item.waits]
    return Story(
        kind=job.message.type,
        received_at_ms=job.begun_ms,
        now_ms=worker.now_ms(),
        attempts=progress.attempts,
        total=job.total,
        receives=job.receives,
        refused=job.progress.refused,
        failures=max((progress.failing.get(key, 0) for key in waiting), default=0),
    )
