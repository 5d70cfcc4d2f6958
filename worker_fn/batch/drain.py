"""STAGE 3, the main path: decode -> map -> place -> resume -> send -> decide -> settle.

Sending stops early enough to settle everything that was received.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from worker_fn.batch.alone import each, side_by_side
from worker_fn.batch.conclude import conclude, remember_letter, resume
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import DeadLetter
from worker_fn.batch.erasure_receipts import write_receipts
from worker_fn.batch.facts import note_left_out, tell_ends
from worker_fn.batch.job import Job
from worker_fn.batch.mapper import give_turns
from worker_fn.batch.pausing import hold_back, stop_mapping
from worker_fn.batch.record import Record
from worker_fn.batch.refusals import note_taken, place, suspend_refused
from worker_fn.batch.return_times import reserve_return_times
from worker_fn.batch.rounds import Rounds, dispatcher_for, parts_of
from worker_fn.batch.settle import Report, settle
from worker_fn.batch.time_budget import TimeBudget, in_time
from worker_fn.dispatch.dispatcher import Dispatcher


async def drain(records: list[dict[str, Any]], worker: Worker, remaining_s: Callable[[], float]) -> Report:
    """Process a batch of SQS records within `remaining_s` seconds; every record gets its end."""
    budget, report = TimeBudget(remaining_s, worker.settle_reserve_s), Report()
    jobs = [Job(Record(one)) for one in records]
    if await worker.held.is_on():
        await hold_back(jobs, worker, budget)
        return await _ended(jobs, worker, report, budget)

    # The parts are decoded, mapped and sent one after the other, while the calls of earlier parts are under way.
    dispatcher = dispatcher_for(worker, budget.for_calls_s)
    tried: list[Job] = []
    await worker.agree_on_time()
    *parts, last = parts_of(jobs, worker, budget)
    async with asyncio.TaskGroup() as tasks:
        for rounds in parts:
            await rounds.begin()
            tasks.create_task(_work(rounds, tried, dispatcher, worker))
            await give_turns()
        await last.begin()
        await _work(last, tried, dispatcher, worker)
    await dispatcher.caller.limiters.report_last()

    # The answers are judged: for the batch first, then for each message.
    auth_failures = dispatcher.caller.auth_failures
    await each(tried, partial(note_left_out, report=report, worker=worker))
    await each(jobs, partial(note_taken, auth_failures=auth_failures, worker=worker))
    await each(jobs, partial(suspend_refused, auth_failures=auth_failures, worker=worker))
    arrived = [job for job in jobs if job.arrived_at_once]  # nearly all, and these wait for nothing
    await each(arrived, partial(conclude, worker=worker))
    await side_by_side((job for job in jobs if not job.is_over), partial(conclude, worker=worker))
    letters = [job for job in jobs if isinstance(job.end, DeadLetter)]

    # The ends are carried out: each message leaves the queue, waits, is parked or dead-lettered.
    await in_time(reserve_return_times(jobs, worker), budget.for_return_times_s(), None)
    await write_receipts(jobs, worker, budget)
    report.call_ms = dispatcher.caller.call_ms
    await _ended(jobs, worker, report, budget)

    # Progress is written for the next receive, or for a redrive.
    remembered = side_by_side(letters, partial(remember_letter, worker=worker))
    await in_time(asyncio.gather(remembered, stop_mapping(worker)), budget.for_last_writes_s(), None)
    log_failures(jobs, worker)
    return report


async def _work(rounds: Rounds, tried: list[Job], dispatcher: Dispatcher, worker: Worker) -> None:
    """Send one mapped part of a batch, and wait for its answers; messages that may be sent are added to `tried`."""
    await place(rounds.jobs, worker)
    new = [job for job in rounds.jobs if not job.is_over]
    tried += new
    await side_by_side((job for job in new if job.was_seen_before), partial(resume, worker=worker))
    rounds.let_go()
    await rounds.send(dispatcher)


async def _ended(jobs: list[Job], worker: Worker, report: Report, budget: TimeBudget) -> Report:
    """Carry out the ends, and log them."""
    report.state_trouble = worker.limiters.take_trouble()
    await settle(jobs, worker, report, budget)
    tell_ends(jobs, worker)
    return report


def log_failures(jobs: Iterable[Job], worker: Worker) -> None:
    """Log each exception that ended a single record."""
    for job in jobs:
        if job.failure:
            message_id, kind = job.record.message_id, job.kind or None
            worker.log("a record failed", error=job.failure, message_id=message_id, type=kind)
