"""When messages that wait for their account come back: one after the other, and only a bounded number of them.

So an account's flood returns at the rate that the partner takes from that account, and neither a flood nor an account
whose calls fail fills the queue's in-flight quota. Messages beyond the bound are parked.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

from shared.errors import StateUnavailable
from shared.message import ERASURE
from shared.state import FLOW, account_key
from worker_fn.batch.alone import or_else
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import Parked, Waiting, Whose
from worker_fn.batch.job import Job
from worker_fn.limits import agreement
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.agreement import MOST_IN_LINE
from worker_fn.limits.flow import Flow
from worker_fn.limits.registry import LINE_EMPTIES_PER_S, line_key

Waits = tuple[str, Whose, str | None]
"""A group of messages that wait together: their account, the cause, and the bulk endpoint."""


async def reserve_return_times(jobs: Sequence[Job], worker: Worker) -> None:
    """Give messages that wait for their account a time to come back; park those beyond the bound."""
    waiting: dict[Waits, list[Job]] = {}
    for job in jobs:
        account_id = job.message.account_id
        if isinstance(job.end, Waiting) and job.end.of is not Whose.FLEET and account_id:
            waiting.setdefault((account_id, job.end.of, job.end.endpoint), []).append(job)
    lasting = (or_else(_reserve(*waits, len(some), worker), lambda _: None) for waits, some in waiting.items())
    reserved = await asyncio.gather(*lasting)
    for ((_, whose, endpoint), some), times_ms in zip(waiting.items(), reserved, strict=True):
        if times_ms is None:  # they come back when they would have
            continue
        if whose is Whose.ACCOUNT_RATE:
            now_ms = worker.now_ms()
            for job, time_ms in zip(some, times_ms, strict=False):
                wait_s = max(1, -(-(time_ms - now_ms) // 1_000))
                job.end = Waiting(wait_s, "account rate", whose, endpoint)
        too_many = [job for job in some[len(times_ms) :] if job.message.type != ERASURE]
        if too_many and not worker.in_groups and await worker.suspensions.expect_sweep():
            for job in too_many:  # erasures are few, and wait no longer than they must
                job.end = Parked()


async def _reserve(account_id: str, whose: Whose, endpoint: str | None, count: int, worker: Worker) -> list[int]:
    """Reserve times (ms) in the count of an account's waiting messages; one time is for as many as a bulk call takes.
    They are fewer than `count` when the line is full.
    """
    limiter = worker.limiters.of(account_id, endpoint) if whose is Whose.ACCOUNT_RATE else None
    item = worker.limiters.line(account_id) if limiter is None else limiter.item
    per_call = 1 if limiter is None or endpoint is None else worker.partner.limits.bulk[endpoint].items
    now_ms = worker.now_ms()
    try:
        return await item.change(
            partial(agreement.reserve, bounds=item.bounds, count=count, per_call=per_call, now_ms=now_ms)
        )
    except StateUnavailable:
        return [now_ms + 1_000 * (index // per_call + 1) for index in range(count)]


async def room_for(account_id: str, worker: Worker) -> int:
    """How many more of an account's messages may wait by visibility: for its failures, and for its rate at the endpoint
    with the most room. A parked message does not say which bulk endpoint it waits for; without room it is parked again.
    """
    limits = worker.partner.limits
    rates = {(account_key(account_id), 1): limits.account_rate}
    for endpoint, bulk in limits.bulk.items():
        key = account_key(account_id) if bulk.rate is None else account_key(account_id, endpoint)
        rates[key, bulk.items] = bulk.rate or limits.account_rate

    async def room(key: str, per_second: float, per_call: int) -> int:
        flow, bounds = Flow.of(await worker.state.read(key, FLOW)), Bounds(highest=per_second)
        return len(agreement.reserve(flow, bounds, count=MOST_IN_LINE, per_call=per_call, now_ms=worker.now_ms())[1])

    for_rate = [await room(key, rate.per_second, per_call) for (key, per_call), rate in rates.items() if rate]
    return min(await room(line_key(account_id), LINE_EMPTIES_PER_S, 1), max(for_rate, default=MOST_IN_LINE))
