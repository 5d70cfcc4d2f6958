"""The second half of an erasure's receipt: the end of the erasure, written before the message leaves the queue.

If an erasure arrived but its receipt could not be written, it comes back and is sent again, with the same idempotency
key: the proof is worth a repetition, because erasing twice does no harm. This has a limit: if the table stays out of
reach, the receipt is lost, never the erasure.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from shared.errors import StateRefused, StateUnavailable, raised_at
from shared.message import ERASURE, Message, decode
from shared.receipts import RECEIPT_KEPT_S, Receipt, Standing, receipt_key, receipt_name, subject_of
from shared.state import State, change
from worker_fn.batch.alone import or_else
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import DeadLetter, Delivered, Waiting, back_off_s
from worker_fn.batch.job import Job
from worker_fn.batch.time_budget import TimeBudget

MOST_WAITS = 20
"""After this many receives a message no longer waits for its receipt: with its back-off that takes some hours."""
UNWRITTEN = "its receipt could not be written"


async def write_receipts(jobs: Sequence[Job], worker: Worker, budget: TimeBudget) -> None:
    """Write down the ends of all erasures. If that fails, an end that is final becomes a wait."""
    time_s = budget.for_receipts_s()
    erasures = [job for job in jobs if job.message.type == ERASURE]
    await asyncio.gather(*(or_else(_write(job, worker, time_s), partial(_failed, job, worker)) for job in erasures))


async def _write(job: Job, worker: Worker, time_s: float) -> None:
    message = decode(job.record.raw["body"])
    subject_request_id = subject_of(message.payload, message.id)
    now_ms = worker.now_ms()
    try:
        async with asyncio.timeout(time_s):
            key = receipt_key(subject_request_id)
            await change(
                worker.state,
                key,
                await _name(worker.state, key, message),
                lambda value: (after(_receipt(message, value), job, now_ms=now_ms).value(), None),
                rng=worker.rng,
                expires_at=now_ms // 1_000 + RECEIPT_KEPT_S,
            )
    except StateRefused:  # as it would be at every further receive
        _go_without(job, worker, subject_request_id, may_wait=False)
    except (StateUnavailable, TimeoutError):
        worker.limiters.trouble()
        _go_without(job, worker, subject_request_id, may_wait=job.record.receives < MOST_WAITS)


async def _name(state: State, key: str, message: Message) -> str:
    """The key of the message's receipt: the present one, unless the previous release began the receipt."""
    name = receipt_name(message.account_id, message.id)
    if (await state.read(key, name)).rev:
        return name
    former = (await state.read(key, message.id)).value
    return message.id if former and former.get("account_id") == message.account_id else name


def _failed(job: Job, worker: Worker, error: Exception) -> None:
    """Our own code raised, and would raise each time: the end stands, without a receipt."""
    where = f"{type(error).__name__} in {raised_at(error)}"
    worker.log("an erasure ends without a receipt", where=where, message_id=job.record.message_id)


def _go_without(job: Job, worker: Worker, subject_request_id: str, *, may_wait: bool) -> None:
    """Decide the end of an erasure whose receipt was not written; if it waits, its next receive writes the receipt."""
    if not isinstance(job.end, Delivered | DeadLetter):
        return
    if may_wait:
        job.end = Waiting(back_off_s(job.record.receives, rng=worker.rng), UNWRITTEN)
        return
    became = "delivered" if isinstance(job.end, Delivered) else f"dead-lettered, {job.end.reason}"
    ids = {"request_id": job.message.id, "subject_request_id": subject_request_id}
    worker.log("an erasure ends without a receipt", reason=became, **ids)


def after(receipt: Receipt, job: Job, *, now_ms: int) -> Receipt:
    """The receipt of an erasure whose message came to this end; earlier entries are kept. Pure."""
    match job.end:
        case Delivered() if not job.total:  # done without any call to the partner
            return receipt if receipt.no_call_ms is not None else replace(receipt, no_call_ms=now_ms)
        case Delivered():
            return receipt if receipt.delivered_ms is not None else replace(receipt, delivered_ms=now_ms)
        case DeadLetter(reason=reason):
            return replace(receipt, dead_lettered_ms=now_ms, reason=str(reason))
    if receipt.standing in {Standing.DEAD_LETTERED, Standing.NOT_FORWARDED}:
        return replace(receipt, redriven_ms=now_ms)
    return receipt


def _receipt(message: Message, value: Mapping[str, Any]) -> Receipt:
    """The receipt as it stands, or its first half if ingest could not write it."""
    subject_request_id = subject_of(message.payload, message.id)
    if value:
        return Receipt.from_value(receipt_key(subject_request_id), message.id, value)
    return Receipt(subject_request_id, message.id, message.account_id, message.received_at_ms)
