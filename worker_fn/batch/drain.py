"""STAGE 3, the main path: decode -> map -> place -> resume -> send -> decide -> settle.

Sending stops early enough to settle everything that was received.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from worker_fn.batch.alone import each, side_by_side
from worker_fn.batch.conclude import conclude, settled
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import DeadLetter
from worker_fn.batch.erasure_receipts import write_receipts
from worker_fn.batch.facts import tell_ends
from worker_fn.batch.job import Job
from worker_fn.batch.left_out import note_left_out
from worker_fn.batch.pausing import hold_back, stop_mapping
from worker_fn.batch.placing import place
from worker_fn.batch.refusals import note_taken, suspend_refused
from worker_fn.batch.resume import remember_letter, resume
from worker_fn.batch.return_times import reserve_return_times
from worker_fn.batch.rounds import Rounds, give_turns
from worker_fn.batch.sending import dispatcher_for, send
from worker_fn.batch.settle import Report, settle
from worker_fn.batch.time_budget import TimeBudget, in_time
from worker_fn.dispatch.dispatcher import Dispatcher


async def drain(records: list[dict[str, Any]], worker: Worker, remaining_s: Callable[[], float]) -> Report:
    """Work a batch of SQS records within `remaining_s` seconds; every record gets its end."""
    budget, report = TimeBudget(remaining_s, worker.settle_reserve_s), Report()
    jobs = [Job(record) for record in records]
    if await worker.held.is_on():
        ends = await hold_back(jobs, worker, budget)
        report.state_trouble = worker.limiters.take_trouble()
        await settle(ends, worker.queue, report, budget)
        tell_ends(jobs, ends, report, worker)
        return report

    # Part after part is decoded, mapped and sent, while the calls of those before are under way.
    dispatcher = dispatcher_for(worker, budget.for_calls_s)
    tried: list[Job] = []
    await worker.agree_on_time()
    *parts, last = Rounds.of_batch(jobs, worker, budget)
    async with asyncio.TaskGroup() as tasks:
        for rounds in parts:
            await _map(rounds)
            tasks.create_task(_work(rounds, tried, dispatcher, worker))
            await give_turns()
        await _map(last)
        await _work(last, tried, dispatcher, worker)
    await dispatcher.caller.limiters.report_last()

    # The answers are judged: for the batch first, then for each message.
    auth_failures = dispatcher.caller.auth_failures
    await each(tried, partial(note_left_out, report=report, worker=worker))
    await each(jobs, partial(note_taken, auth_failures=auth_failures, worker=worker))
    await each(jobs, partial(suspend_refused, auth_failures=auth_failures, worker=worker))
    await side_by_side(jobs, partial(conclude, worker=worker), waits=lambda job: not job.arrived_at_once)

    # The ends, carried out: each message leaves the queue, waits, is parked or dead-lettered.
    ends = [settled(job, worker) for job in jobs]
    ends = await in_time(reserve_return_times(ends, worker), budget.for_return_times_s(), ends)
    ends = await write_receipts(ends, worker, budget)
    report.state_trouble = worker.limiters.take_trouble()
    await settle(ends, worker.queue, report, budget)
    report.call_ms = dispatcher.caller.call_ms
    tell_ends(jobs, ends, report, worker)

    # Progress is written for the next receive, or for a redrive.
    remember = partial(remember_letter, report=report, worker=worker)
    remembered = side_by_side(jobs, remember, waits=lambda job: isinstance(job.end, DeadLetter))
    await in_time(asyncio.gather(remembered, stop_mapping(worker)), budget.for_last_writes_s(), None)
    log_failures(jobs, worker)
    return report


async def _map(rounds: Rounds) -> None:
    """Decode the records of a part, and map them as far as there is room."""
    rounds.read()
    await rounds.map()


async def _work(rounds: Rounds, tried: list[Job], dispatcher: Dispatcher, worker: Worker) -> None:
    """Work one part of a batch that is mapped, up to its answers; what may be sent is added to `tried`."""
    # Its credentials are looked up, and what was done at an earlier receive.
    await place(rounds.jobs, worker)
    new = [job for job in rounds.jobs if not job.is_over]
    tried += new
    await side_by_side(new, partial(resume, worker=worker), waits=lambda job: job.was_seen_before)
    rounds.let_go()

    # Each delivery is sent, as far as the partner and the time allow.
    await send(rounds, dispatcher, worker)


def log_failures(jobs: Iterable[Job], worker: Worker) -> None:
    """Log what ended a record alone, wherever it happened."""
    for job in jobs:
        if job.failure:
            message_id, kind = job.message_id, job.kind or None
            worker.log("a record failed", error=job.failure, message_id=message_id, type=kind)
