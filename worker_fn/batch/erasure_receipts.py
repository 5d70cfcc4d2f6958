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
from worker_fn.batch.back_off import back_off_s
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import DeadLetter, Delivered, Waiting
from worker_fn.batch.job import Job
from worker_fn.batch.settle import Settled
from worker_fn.batch.time_budget import TimeBudget
from worker_fn.clients.or_else import or_else

MOST_WAITS = 20
"""After so many receives a message no longer waits for its receipt: with its back-off that takes some hours."""


async def write_receipts(settled: Sequence[Settled], worker: Worker, budget: TimeBudget) -> list[Settled]:
    """Write down the ends of all erasures. If that fails, an end that is final becomes a wait."""
    time_s = max(0.0, budget.for_receipts_s())
    ends = list(settled)
    erasures = [index for index, one in enumerate(ends) if one.attributes.get("type") == ERASURE]
    written = (
        or_else(_write(ends[index], worker, time_s), partial(_failed, ends[index], worker)) for index in erasures
    )
    for index, end in zip(erasures, await asyncio.gather(*written), strict=True):
        ends[index] = end
    return ends


async def _write(one: Settled, worker: Worker, time_s: float) -> Settled:
    message = decode(one.record["body"])
    subject_request_id = subject_of(message.payload, message.id)
    now_ms = worker.now_ms()
    try:
        async with asyncio.timeout(time_s):
            key = receipt_key(subject_request_id)
            await change(
                worker.state,
                key,
                await _name(worker.state, key, message),
                lambda value: (after(_receipt(message, value), one, now_ms=now_ms).value(), None),
                rng=worker.rng,
                expires_at=now_ms // 1_000 + RECEIPT_KEPT_S,
            )
    except StateRefused:  # now, and whenever it comes again
        return _without(one, worker, message.id, subject_request_id, may_wait=False)
    except (StateUnavailable, TimeoutError):
        worker.limiters.trouble()
        return _without(one, worker, message.id, subject_request_id)
    return one


async def _name(state: State, key: str, message: Message) -> str:
    """The key of the message's receipt: the present one, unless the release before began the receipt."""
    name = receipt_name(message.account_id, message.id)
    if (await state.read(key, name)).rev:
        return name
    former = (await state.read(key, message.id)).value
    return message.id if former and former.get("account_id") == message.account_id else name


def _failed(one: Settled, worker: Worker, error: Exception) -> Settled:
    """Our own code raised, and would raise each time: the end stands, without a receipt."""
    where = f"{type(error).__name__} in {raised_at(error)}"
    worker.log("an erasure ends without a receipt", where=where, message_id=one.record.get("messageId"))
    return one


def _without(
    one: Settled, worker: Worker, request_id: str, subject_request_id: str, *, may_wait: bool = True
) -> Settled:
    if not isinstance(one.end, Delivered | DeadLetter):
        return one  # the next receive writes it
    receives = Job(one.record).receives
    if may_wait and receives < MOST_WAITS:
        wait_s = back_off_s(receives, retry_after_s=None, rng=worker.rng)
        return replace(one, end=Waiting(wait_s, "its receipt could not be written"))
    became = "delivered" if isinstance(one.end, Delivered) else f"dead-lettered, {one.end.reason}"
    ids = {"request_id": request_id, "subject_request_id": subject_request_id}
    worker.log("an erasure ends without a receipt", reason=became, **ids)
    return one


def after(receipt: Receipt, settled: Settled, *, now_ms: int) -> Receipt:
    """The receipt of an erasure whose message came to this end; earlier entries are kept. Pure."""
    match settled.end:
        case Delivered() if settled.deliveries == 0:  # done, and no partner knows of it
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
