"""When messages that wait for their account come back: one after the other, at its own rate, and only so many.

So an account's flood returns at the rate that the partner takes of it, and neither it nor an account whose calls fail
fills the queue's in-flight quota. What is too many is parked.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from shared.message import ERASURE
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import Parked, Waiting, Whose
from worker_fn.batch.settle import Settled
from worker_fn.clients.or_else import or_else

Waits = tuple[str, Whose, str | None]
"""Messages that wait together: their account, what for, and at which bulk endpoint."""


async def reserve_return_times(settled: Sequence[Settled], worker: Worker) -> list[Settled]:
    """Give messages that wait for their account a time to come back; park what is too many."""
    ends = list(settled)
    waiting: dict[Waits, list[int]] = {}
    for index, one in enumerate(settled):
        if isinstance(one.end, Waiting) and one.end.of is not Whose.FLEET and one.attributes["account_id"]:
            waiting.setdefault((one.attributes["account_id"], one.end.of, one.end.endpoint), []).append(index)
    lasting = (or_else(_reserve(*waits, len(indexes), worker), lambda _: None) for waits, indexes in waiting.items())
    reserved = await asyncio.gather(*lasting)
    for ((_, whose, endpoint), indexes), times_ms in zip(waiting.items(), reserved, strict=True):
        if times_ms is None:  # they come back when they would have
            continue
        if whose is Whose.ACCOUNT_RATE:
            now_ms = worker.now_ms()
            for index, time_ms in zip(indexes, times_ms, strict=False):
                wait_s = max(1, -(-(time_ms - now_ms) // 1_000))
                ends[index] = replace(ends[index], end=Waiting(wait_s, "account rate", whose, endpoint))
        too_many = [index for index in indexes[len(times_ms) :] if ends[index].attributes["type"] != ERASURE]
        if too_many and not worker.in_groups and await worker.suspensions.expect_sweep():
            for index in too_many:  # erasures are few, and wait no longer than they must
                ends[index] = replace(ends[index], end=Parked())
    return ends


async def _reserve(account_id: str, whose: Whose, endpoint: str | None, count: int, worker: Worker) -> list[int]:
    """Reserve times where an account's waiting messages are counted; to a bulk call they come as many as it takes."""
    limiter = worker.limiters.of(account_id, endpoint) if whose is Whose.ACCOUNT_RATE else None
    if limiter is None:
        return await worker.limiters.line(account_id).book(count)
    return await limiter.book(count, 1 if endpoint is None else worker.partner.limits.bulk[endpoint].items)
