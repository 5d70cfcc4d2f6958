"""When a batch pauses the event source mapping that feeds the worker: nobody may be called for long, or an operator's
pause stands.
"""

from collections.abc import Sequence

from shared.telemetry import Fact
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import Waiting
from worker_fn.batch.job import Job
from worker_fn.batch.settle import Settled
from worker_fn.batch.time_budget import TimeBudget, in_time
from worker_fn.clients.mapping import MappingUnavailable, paused_wait_s
from worker_fn.limits.ruling import Because

OPERATOR = "an operator"


async def hold_back(jobs: Sequence[Job], worker: Worker, budget: TimeBudget) -> list[Settled]:
    """An operator paused delivery, but the mapping still runs: pause it, and leave the batch's messages alone."""
    await in_time(pause_mapping(worker, OPERATOR), budget.for_calls_s(), None)
    return [Settled(job.record, Waiting(paused_wait_s(job.receives), Because.PAUSED), {}) for job in jobs]


async def stop_mapping(worker: Worker) -> None:
    """Pause the mapping when nobody may be called for long, or an operator says so; if that fails, the next tick does
    it.
    """
    why = worker.limiters.partner.what_stops_mapping()
    if why or await worker.held.is_on():
        await pause_mapping(worker, why or OPERATOR)


async def pause_mapping(worker: Worker, why: str) -> None:
    """Pause the mapping if it runs."""
    try:
        mapping = await worker.mapping()
        if mapping is not None and (await mapping.status()).is_enabled:
            await mapping.pause()
            worker.facts(Fact.INTAKE, is_paused=True, why=why)
    except MappingUnavailable as error:
        worker.log("the intake could not be paused", error=str(error))
