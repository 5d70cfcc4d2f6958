"""What a worker needs around it on simulated time: its making, queue records, a state table in memory.

`spillway partner replay` and partners' tests (ops/testing.py) run the worker's own code on it.
"""

import json
import random
from collections.abc import Mapping
from typing import Any

from partners import Partner
from shared.state import Conflict, Item
from testkit.simulation.clock import EPOCH_S, now_s
from worker_fn.accounts.suspensions import Suspensions
from worker_fn.batch.context import Worker
from worker_fn.batch.settle import Queue
from worker_fn.clients.http import Send
from worker_fn.clients.mapping import Held
from worker_fn.limits.registry import Registry

BEGINS_MS = int(EPOCH_S * 1_000)
"""When every message was received and sent."""


def make_worker(partner: Partner, send: Send, queue: Queue, *, max_in_flight: int, attempts: int) -> Worker:
    """One Lambda environment, as worker_fn/wiring.py makes it, on simulated time."""

    def clock_s() -> float:
        return EPOCH_S + now_s()

    def now_ms() -> int:
        return int(clock_s() * 1_000)

    state, rng = MemoryState(), random.Random(1)  # noqa: S311 - jitter, not a secret
    limiters = Registry(state, partner.limits, share=1.0, call_timeout_s=13.0, now_ms=now_ms, rng=rng)
    return Worker(
        partner=partner,
        send=send,
        queue=queue,
        state=state,
        limiters=limiters,
        suspensions=Suspensions(state, now_ms=now_ms, on_trouble=limiters.trouble, rng=rng),
        held=Held(state, now_ms=now_ms, on_trouble=limiters.trouble),
        max_in_flight=max_in_flight,
        attempts=attempts,
        settle_reserve_s=8.0,
        call_timeout_s=13.0,
        clock=clock_s,
        rng=rng,
    )


def make_record(number: int, body: str, *, receives: int) -> dict[str, Any]:
    """A message as SQS hands it out, `receives` times until now; its number is its id and its receipt handle."""
    return {
        "messageId": str(number),
        "receiptHandle": str(number),
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": str(receives),
            "ApproximateFirstReceiveTimestamp": str(BEGINS_MS),
            "SentTimestamp": str(BEGINS_MS),
        },
    }


class MemoryState:
    """The state table as long as its worker lives, as text: nobody shares an object with anybody. See
    shared.state.State.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], tuple[int, str]] = {}

    async def read(self, pk: str, sk: str) -> Item:
        row = self._rows.get((pk, sk))
        return Item(row[0], json.loads(row[1])) if row else Item()

    async def swap(
        self,
        pk: str,
        sk: str,
        item: Item,
        value: Mapping[str, Any],
        *,
        expires_at: int | None,  # noqa: ARG002 - nothing lives that long
    ) -> Item:
        current = await self.read(pk, sk)
        if current.rev != item.rev:
            raise Conflict(current)
        self._rows[pk, sk] = (item.rev + 1, json.dumps(value))
        return await self.read(pk, sk)

    async def delete(self, pk: str, sk: str) -> None:
        self._rows.pop((pk, sk), None)

    async def listed(self, pk: str) -> dict[str, Item]:
        return {key[1]: await self.read(*key) for key in list(self._rows) if key[0] == pk}
