"""STAGE 3, the main path: decode -> map -> place -> resume -> send -> decide -> settle.

Sending stops early enough to settle everything that was received.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import Any, TypeVar

from shared.errors import StateUnavailable
from shared.message import ERASURE
from worker_fn.accounts.auth_failures import AuthFailures
from worker_fn.accounts.suspensions import Place
from worker_fn.batch import progress as progresses
from worker_fn.batch.alone import each, side_by_side
from worker_fn.batch.conclude import conclude, note_taken, remember_letter, settled, suspend_refused
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import Parked, Waiting, Whose
from worker_fn.batch.erasure_receipts import ErasureReceipts
from worker_fn.batch.job import Job
from worker_fn.batch.rounds import Rounds
from worker_fn.batch.settle import Report, Settled, settle
from worker_fn.clients.mapping import MappingUnavailable, paused_wait_s
from worker_fn.clients.or_else import or_else
from worker_fn.dispatch.caller import Caller
from worker_fn.dispatch.classify import Verdict
from worker_fn.dispatch.dispatcher import Dispatcher
from worker_fn.dispatch.feedback import Feedback
from worker_fn.dispatch.lanes import Lane
from worker_fn.limits import agreement as flows
from worker_fn.limits.agreement import Because

T = TypeVar("T")

MARGIN_S = 1.0
"""What is kept for the function's own answer."""


async def drain(records: list[dict[str, Any]], worker: Worker, remaining_s: Callable[[], float]) -> Report:
    """Work a batch of SQS records within `remaining_s` seconds; every record gets its end."""
    report = Report()
    jobs = [Job(record) for record in records]
    if await worker.held.is_on():
        return await wait_out(jobs, worker, report, remaining_s)
    rounds = Rounds(jobs, worker, lambda: remaining_s() - worker.settle_reserve_s)
    rounds.read()
    rounds.map()
    await worker.agree_on_time()
    await place(jobs, worker)
    sending = [job for job in jobs if job.end is None]
    resumed = [job for job in sending if job.place in {Place.SEND, Place.GIVE_UP}]
    await side_by_side(resumed, partial(resume, worker=worker))
    rounds.let_go()
    dispatcher = dispatcher_for(worker, rounds.remaining_s)
    await send(rounds, dispatcher, worker)
    for job in jobs:
        if any(one.verdict is Verdict.DELIVERED for one in job.outcomes):
            worker.limiters.note_delivered(job.message.account_id)
    sent = [job for job in sending if job.place is Place.SEND]
    await each(sent, partial(note_what_is_missing, report=report, worker=worker))
    await each(jobs, partial(note_taken, auth_failures=dispatcher.caller.auth_failures, worker=worker))
    await each(jobs, partial(suspend_refused, auth_failures=dispatcher.caller.auth_failures, worker=worker))
    await side_by_side(jobs, partial(conclude, worker=worker))
    ends = [settled(job, worker) for job in jobs]
    ends = await in_time(book(ends, worker), remaining_s() - worker.settle_reserve_s / 2, ends)
    ends = await erasure_receipts_for(worker).write(ends, time_s=remaining_s() - worker.settle_reserve_s / 4)
    report.calls = len({number for job in jobs for item in job.items for number in item.calls})
    report.state_trouble = worker.limiters.take_trouble()
    await settle(ends, worker.queue, report, time_s=remaining_s() - MARGIN_S)
    remember = side_by_side(jobs, partial(remember_letter, report=report, worker=worker))
    await in_time(asyncio.gather(remember, stop_mapping(worker)), remaining_s() - MARGIN_S / 2, None)
    note_failures(jobs, worker)
    return report


async def wait_out(jobs: list[Job], worker: Worker, report: Report, remaining_s: Callable[[], float]) -> Report:
    """An operator paused the intake, and its mapping runs all the same: pause it, and look at nothing that came."""
    waiting = [Settled(job.record, Waiting(paused_wait_s(job.receives), Because.PAUSED), {}) for job in jobs]
    await in_time(pause(worker), remaining_s() - worker.settle_reserve_s, None)
    report.state_trouble = worker.limiters.take_trouble()
    return await settle(waiting, worker.queue, report, time_s=remaining_s() - MARGIN_S)


async def send(rounds: Rounds, dispatcher: Dispatcher, worker: Worker) -> None:
    """Send what is mapped, and map what is left; nearly always that is one round."""
    lanes = await next_lanes(rounds, worker)
    await dispatcher.deliver(lanes)
    while lanes:
        rounds.clear()
        if lanes := await next_lanes(rounds, worker):
            await dispatcher.deliver(lanes)
    rounds.end()


async def next_lanes(rounds: Rounds, worker: Worker) -> list[Lane]:
    """What goes in the next round; nothing when there is nothing more to send, or no time."""
    while not (lanes := rounds.lanes()):  # not even what is mapped: an earlier receive had it, or it is held up
        rounds.map()
        if not await place(rounds.jobs, worker):
            return rounds.lanes()
        rounds.let_go()
    return lanes


async def in_time(work: Awaitable[T], seconds: float, otherwise: T) -> T:
    """What some work comes to, or `otherwise` when there is no time for it: it is not worth the batch's answer."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            return await work
    except TimeoutError:
        return otherwise


async def resume(job: Job, worker: Worker) -> None:
    """Leave out what an earlier receive delivered. With the state table down everything is sent again, with the same
    keys.
    """
    if not job.was_seen_before:
        return
    try:
        job.progress = await progresses.read(worker.state, job.message)
    except StateUnavailable:
        worker.limiters.trouble()
        return
    job.items = [item for item in job.items if not job.progress.settles(item.key)]


async def place(jobs: Sequence[Job], worker: Worker) -> bool:
    """Find the messages with suspended credentials among those that were mapped since: one is the probe, the others are
    parked. Whether there are such.
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
        await each(found, partial(wait_behind_probe, jobs=jobs, worker=worker))
    return any(job.is_over or job.place is not Place.SEND for job in found)


async def wait_behind_probe(job: Job, jobs: Sequence[Job], worker: Worker) -> None:
    """In a FIFO queue nothing passes a probe of its group that has to wait, whatever it carries."""
    if not job.group or job.place is not Place.SEND:
        return
    for other in takewhile(lambda other: other is not job, jobs):
        if other.group == job.group and other.place is Place.PROBE_LATER:
            suspension = worker.suspensions.of(other.message.account_id, other.fingerprints)
            job.end = Waiting(worker.suspensions.probe_wait_s(suspension), "suspended")


async def note_what_is_missing(job: Job, report: Report, worker: Worker) -> None:
    """Count and log what of a message could not be read, and what the partner makes no call of: a line for each kind.

    Only at the receive that comes to it first: it is mapped again whenever it comes back. One that was parked or
    redriven has a first receive after that, too.
    """
    before = 0 if job.receives == 1 else job.progress.noted
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


def note_failures(jobs: list[Job], worker: Worker) -> None:
    """Log what ended a record alone, wherever it happened."""
    for job in jobs:
        if job.failure:
            message_id, kind = job.message_id, job.kind or None
            worker.log("a record failed", error=job.failure, message_id=message_id, type=kind)


async def stop_mapping(worker: Worker) -> None:
    """Pause the mapping when nobody may be called for long, or an operator says so; if that fails, the next tick does
    it.
    """
    limiter = worker.limiters.partner
    stops = limiter.knows_now and flows.stops_intake(limiter.flow, now_ms=worker.now_ms())
    if stops or await worker.held.is_on():
        await pause(worker)


async def pause(worker: Worker) -> None:
    try:
        intake = await worker.intake()
        if intake is not None and (await intake.status()).is_enabled:
            await intake.pause()
    except MappingUnavailable as error:
        worker.log("the intake could not be paused", error=str(error))


async def book(settled: list[Settled], worker: Worker) -> list[Settled]:
    """Give messages that wait for their account's rate a time to come back, one after the other; park what is too many.

    So an account's flood returns at its own rate, and neither it nor an account whose calls fail fills the queue's
    in-flight quota.
    """
    lines: dict[tuple[str, Whose, str | None], list[int]] = {}
    for index, one in enumerate(settled):
        if isinstance(one.end, Waiting) and one.end.of is not Whose.FLEET and one.attributes["account_id"]:
            lines.setdefault((one.attributes["account_id"], one.end.of, one.end.endpoint), []).append(index)
    lasting = (or_else(_book(*key, len(indexes), worker), lambda _: None) for key, indexes in lines.items())
    booked = await asyncio.gather(*lasting)
    for ((_, whose, endpoint), indexes), times_ms in zip(lines.items(), booked, strict=True):
        if times_ms is None:  # they come back when they would have
            continue
        if whose is Whose.ACCOUNT_RATE:
            now_ms = worker.now_ms()
            for index, time_ms in zip(indexes, times_ms, strict=False):
                wait_s = max(1, -(-(time_ms - now_ms) // 1_000))
                settled[index] = replace(settled[index], end=Waiting(wait_s, "account rate", whose, endpoint))
        too_many = indexes[len(times_ms) :]
        if too_many and not worker.in_groups and await worker.suspensions.expect_sweep():
            for index in too_many:
                if settled[index].attributes["type"] != ERASURE:  # they are few, and wait no longer than they must
                    settled[index] = replace(settled[index], end=Parked())
    return settled


async def _book(account_id: str, whose: Whose, endpoint: str | None, count: int, worker: Worker) -> list[int]:
    """Book times where an account's waiting messages are counted; to a bulk call they come as many as it takes."""
    limiter = worker.limiters.of(account_id, endpoint) if whose is Whose.ACCOUNT_RATE else None
    if limiter is None:
        return await worker.limiters.line(account_id).book(count)
    return await limiter.book(count, 1 if endpoint is None else worker.partner.limits.bulk[endpoint].items)


def dispatcher_for(worker: Worker, remaining_s: Callable[[], float]) -> Dispatcher:
    """What sends a batch's deliveries, within the time that it has for its calls."""
    limits = worker.partner.limits
    caller = Caller(
        partner=worker.partner,
        send=worker.send,
        limiters=worker.limiters,
        feedback=Feedback(
            worker.limiters.partner, worker.outliers, limits.rate_headers, now_ms=worker.now_ms, log=worker.log
        ),
        held=worker.held,
        auth_failures=AuthFailures(),
        max_in_flight=worker.max_in_flight,
        attempts=worker.attempts,
        call_timeout_s=worker.call_timeout_s,
        remaining_s=remaining_s,
        now_ms=worker.now_ms,
        log=worker.log,
    )
    return Dispatcher(
        caller,
        attempts=worker.attempts,
        jitter=lambda bound: worker.rng.uniform(0, bound),
        in_order=worker.partner.in_order or worker.in_groups,
    )


def erasure_receipts_for(worker: Worker) -> ErasureReceipts:
    return ErasureReceipts(worker.state, worker.now_ms, worker.rng, worker.log, worker.limiters.trouble)
