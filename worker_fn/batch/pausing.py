"""When a batch pauses the event source mapping that feeds the worker: nobody may be called for long, or an operator's
pause is in force.
"""

from collections.abc import Sequence

from shared.telemetry import Fact
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import Waiting
from worker_fn.batch.job import Job
from worker_fn.batch.time_budget import TimeBudget, in_time
from worker_fn.clients.mapping import MappingUnavailable, paused_wait_s
from worker_fn.limits.ruling import Because


async def hold_back(jobs: Sequence[Job], worker: Worker, budget: TimeBudget) -> None:
    """An operator paused delivery, but the mapping still runs: pause it, and leave the batch's messages alone."""
    for job in jobs:
        job.end = Waiting(paused_wait_s(job.record.receives), Because.PAUSED)
    await in_time(stop_mapping(worker), budget.for_calls_s(), None)


async def stop_mapping(worker: Worker) -> None:
    """Pause the mapping, if it runs, when an operator says so, or nobody may be called for long; if that fails, the
    next tick does it.
    """
    why = "an operator" if await worker.held.is_on() else worker.limiters.partner.what_stops_mapping()
    if not why:
        return
    try:
        mapping = await worker.mapping()
        if mapping is not None and (await mapping.status()).is_enabled:
            await mapping.pause()
            worker.facts(Fact.INTAKE, is_paused=True, why=why)
    except MappingUnavailable as error:
        worker.log("the intake could not be paused", error=str(error))
