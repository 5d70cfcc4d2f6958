"""Where a message belongs before it is sent: with suspended credentials it is parked, or waits as the probe."""

from collections.abc import Sequence
from functools import partial
from itertools import takewhile

from worker_fn.accounts.suspensions import Place
from worker_fn.batch.alone import each
from worker_fn.batch.context import Worker
from worker_fn.batch.job import Job
from worker_fn.batch.refusals import wait_for_probe


async def place(jobs: Sequence[Job], worker: Worker) -> bool:
    """Find the messages with suspended credentials among those that were mapped since: one is the probe, the others are
    parked. Returns whether there are any.
    """
    found = [job for job in jobs if not (job.is_over or job.is_placed) and (job.fingerprints or job.is_mapped)]
    if not found:
        return False
    await worker.suspensions.refresh()

    async def find(job: Job) -> None:
        job.is_placed = True
        job.place = await worker.suspensions.place(job.carried)

    await each(found, find)
    if worker.in_groups:
        await each(found, partial(_wait_behind_probe, jobs=jobs, worker=worker))
    return any(job.is_over or job.place is not Place.SEND for job in found)


async def _wait_behind_probe(job: Job, jobs: Sequence[Job], worker: Worker) -> None:
    """In a FIFO queue no message passes a waiting probe of its group, whatever credentials it carries."""
    if not job.group or job.place is not Place.SEND:
        return
    for other in takewhile(lambda other: other is not job, jobs):
        if other.group == job.group and other.place is Place.PROBE_LATER:
            suspension = worker.suspensions.of(other.message.account_id, other.fingerprints)
            job.end = wait_for_probe(job, suspension, worker)
