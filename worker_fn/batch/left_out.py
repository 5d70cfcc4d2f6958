"""Parts of a request that become no call: counted and logged once, at the receive that reaches them first."""

from worker_fn.accounts.suspensions import Place
from worker_fn.batch.context import Worker
from worker_fn.batch.job import Job
from worker_fn.batch.settle import Report


async def note_left_out(job: Job, report: Report, worker: Worker) -> None:
    """Count and log the parts of a message that could not be read, and those that the partner makes no call for: a line
    for each kind.

    A message is mapped again whenever it comes back, but logged once. After it was parked or redriven, it has a first
    receive again, and is logged again.
    """
    before = 0 if job.receives == 1 else job.progress.noted
    if before is None or job.place is not Place.SEND:
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
