"""STAGE 3, the main path: decode -> map -> resume -> send -> decide -> settle.

Sending stops early enough to settle everything that was received.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from shared.errors import StateUnavailable
from shared.message import ERASURE
from worker_fn import flow as flows
from worker_fn import progress as progresses
from worker_fn.classify import Verdict
from worker_fn.conclude import conclude, remember_letters, suspend_refused
from worker_fn.courier import Courier, Lane
from worker_fn.ends import Parked, Waiting, Whose
from worker_fn.intake import IntakeUnavailable
from worker_fn.job import Job
from worker_fn.prepare import prepare
from worker_fn.receipts import Clerk
from worker_fn.settle import Report, Settled, settle
from worker_fn.suspensions import Place
from worker_fn.worker import Worker

T = TypeVar("T")

MARGIN_S = 1.0
"""What is kept for the function's own answer."""


async def drain(records: list[dict[str, Any]], worker: Worker, remaining_s: Callable[[], float]) -> Report:
    """Work a batch of SQS records within `remaining_s` seconds; every record gets its end."""
    report = Report()
    prepared = [prepare(record, worker.partner, now_ms=worker.now_ms()) for record in records]
    if worker.in_groups:
        prepared = behind_what_waits(prepared)
    jobs = [job for job in prepared if isinstance(job, Job)]
    settled = [job for job in prepared if isinstance(job, Settled)]
    await worker.agree_on_time()
    await place(jobs, worker)
    sending = [job for job in jobs if job.place is Place.SEND]
    note_what_is_missing(sending, report, worker)
    await resume(sending, worker)
    courier = courier_for(worker, lambda: remaining_s() - worker.settle_reserve_s)
    await courier.deliver([lane for group in in_order(sending, worker) for lane in group])
    for job in jobs:
        if any(one.verdict is Verdict.DELIVERED for one in job.outcomes):
            worker.gates.note_delivered(job.message.account_id)
    await suspend_refused(jobs, courier.credentials, worker)
    settled += await asyncio.gather(*(conclude(job, worker) for job in jobs))
    settled = await in_time(book(settled, worker), remaining_s() - worker.settle_reserve_s / 2, settled)
    settled = await clerk_for(worker).write(settled, time_s=remaining_s() - worker.settle_reserve_s / 4)
    report.calls = sum(item.attempts for job in jobs for item in job.items)
    report.state_trouble = worker.gates.take_trouble()
    await settle(settled, worker.queue, report, time_s=remaining_s() - MARGIN_S)
    after = asyncio.gather(remember_letters(jobs, report, worker), stop_intake(worker))
    await in_time(after, remaining_s() - MARGIN_S / 2, None)
    return report


def behind_what_waits(prepared: list[Job | Settled]) -> list[Job | Settled]:
    """Of a FIFO queue: what is behind a message that this worker can not read yet waits with it."""
    waiting: dict[str, Settled] = {}
    ordered: list[Job | Settled] = []
    for one in prepared:
        group = one.record["attributes"].get("MessageGroupId", "")
        if isinstance(one, Settled) and isinstance(one.end, Waiting):
            waiting.setdefault(group, one)
        elif group in waiting:
            one = replace(waiting[group], record=one.record)  # noqa: PLW2901
        ordered.append(one)
    return ordered


async def in_time(work: Awaitable[T], seconds: float, otherwise: T) -> T:
    """What some work comes to, or `otherwise` when there is no time for it: it is not worth the batch's answer."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            return await work
    except TimeoutError:
        return otherwise


async def resume(jobs: list[Job], worker: Worker) -> None:
    """Leave out what an earlier receive delivered. With the state table down everything is sent again, with the same
    keys.
    """

    async def read(job: Job) -> None:
        try:
            job.progress = await progresses.read(worker.state, job.message)
        except StateUnavailable:
            worker.gates.trouble()
            return
        job.items = [item for item in job.items if not job.progress.settles(item.key)]

    await asyncio.gather(*(read(job) for job in jobs if job.was_seen_before))


async def place(jobs: list[Job], worker: Worker) -> None:
    """Find the messages of suspended accounts: one is the account's probe, the others are parked."""
    await worker.suspensions.refresh()
    for job in jobs:
        job.place = await worker.suspensions.place(job.message.account_id, job.record["messageId"])


def in_order(jobs: list[Job], worker: Worker) -> Iterable[list[Lane]]:
    """Lanes: a message's deliveries one after the other, or each its own; a FIFO group's messages are one lane, and so
    are those for which the partner names one.
    """
    grouped: dict[tuple[str | None, str], Lane] = {}
    for job in jobs:
        account_id = job.message.account_id
        named = job.record["attributes"].get("MessageGroupId") if worker.in_groups else job.lane
        if named is not None and (worker.in_groups or worker.partner.in_order):
            lane = grouped.setdefault((account_id, named), Lane(account_id, []))
            lane.items += job.items
        elif worker.partner.in_order:
            yield [Lane(account_id, job.items)]
        else:
            yield [Lane(account_id, [item]) for item in job.items]
    yield list(grouped.values())


def note_what_is_missing(jobs: list[Job], report: Report, worker: Worker) -> None:
    """Count and log what of a message could not be read, and what the partner makes no call of: a line for each kind.

    Only at a message's first receive: it is mapped again whenever it comes back. One that was parked or redriven has a
    first receive after that, too.
    """
    for job in jobs:
        if int(job.record["attributes"]["ApproximateReceiveCount"]) > 1:
            continue
        report.malformed += len(job.malformed)
        report.left_out += len(job.left_out)
        ids = {"request_id": job.message.id, "account_id": job.message.account_id}
        for problem, where in {problem: where for where, problem in reversed(job.malformed)}.items():
            worker.log("a part of a request could not be read", where=where, error=problem, **ids)
        for why, item in {one.why: one.item for one in reversed(job.left_out)}.items():
            worker.log("a part of a request is left out", item=item, reason=why, **ids)


async def stop_intake(worker: Worker) -> None:
    """Pause the mapping when nobody may be called for long; if that fails, the next tick does it."""
    gate = worker.gates.partner
    if not gate.knows_now or not flows.stops_intake(gate.flow, now_ms=worker.now_ms()):
        return
    try:
        intake = await worker.intake()
        if intake is not None and (await intake.status()).is_enabled:
            await intake.pause()
    except IntakeUnavailable as error:
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
    booked = await asyncio.gather(*(_book(*key, len(indexes), worker) for key, indexes in lines.items()))
    for ((_, whose, endpoint), indexes), times_ms in zip(lines.items(), booked, strict=True):
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
    gate = worker.gates.of(account_id, endpoint) if whose is Whose.ACCOUNT_RATE else None
    if gate is None:
        return await worker.gates.line(account_id).book(count)
    return await gate.book(count, 1 if endpoint is None else worker.partner.limits.bulk[endpoint].items)


def courier_for(worker: Worker, remaining_s: Callable[[], float]) -> Courier:
    return Courier(
        partner=worker.partner,
        send=worker.send,
        gate=worker.gates.partner,
        account_gates=worker.gates.of,
        blame=worker.gates.blame,
        max_in_flight=worker.max_in_flight,
        attempts=worker.attempts,
        call_timeout_s=worker.call_timeout_s,
        remaining_s=remaining_s,
        now_ms=worker.now_ms,
        in_order=worker.partner.in_order or worker.in_groups,
        jitter=lambda bound: worker.rng.uniform(0, bound),
        log=worker.log,
    )


def clerk_for(worker: Worker) -> Clerk:
    return Clerk(worker.state, worker.now_ms, worker.rng, worker.log, worker.gates.trouble)
