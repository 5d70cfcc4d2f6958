"""A worker and everything it talks to, in memory and on simulated time: the worker's own code runs as deployed."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from partners import Delivery, Partner
from shared.state import Item
from testkit.clock import EPOCH_S, Clock, now_s
from testkit.queue import MemoryQueue
from testkit.records import raw_record
from testkit.state import MemoryState
from testkit.worker import make_worker
from worker_fn.batch.context import Worker
from worker_fn.batch.drain import drain
from worker_fn.batch.settle import Report
from worker_fn.clients.http import Answer

INVOCATION_S = 60.0
"""The time that serverless.yml gives the worker for a batch."""


class Api(Protocol):
    """testkit.partner_api.PartnerApi, or a function that answers as a test needs it."""

    async def send(self, delivery: Delivery, key: str, timeout_s: float) -> Answer: ...


class Harness:
    """A partner, its API, a queue, a state table, a clock, and workers that share them. `options` are make_worker's."""

    def __init__(self, partner: Partner, api: Api, *, begins_s: float = EPOCH_S, **options: Any) -> None:
        self.clock = Clock(begins_s)
        self.queue = MemoryQueue()
        self.state = MemoryState()
        self.partner = partner
        self.options = {"max_in_flight": 10, "attempts": 1, **options}
        self.api = api
        self.worker = self.another()

    def another(self, **changed: Any) -> Worker:
        """Another Lambda environment of the same fleet; `changed` are fields of Worker."""
        rng = random.Random(1)  # noqa: S311 - jitter, not a secret
        made = make_worker(
            self.partner, self.api.send, self.queue, self.state, now_ms=self.clock.now_ms, rng=rng, **self.options
        )
        return replace(made, **changed)

    def run(self, *records: dict[str, Any], time_s: float = INVOCATION_S, worker: Worker | None = None) -> Report:
        """One invocation with these records."""
        return self.clock.run(self._drained(list(records), time_s, worker or self.worker))

    def work(
        self,
        bodies: Sequence[str],
        *,
        for_s: float = math.inf,
        receives: float = math.inf,
        together: bool = False,
        time_s: float = INVOCATION_S,
    ) -> None:
        """Put messages on the queue and process them as they become visible, for at most `for_s` seconds and `receives`
        receives. `together`: waiting messages are received again when all of them are back. `queue.ends` has their
        ends.
        """
        self.clock.run(self._worked(bodies, for_s, receives, together, time_s))

    def set_item(self, pk: str, sk: str, value: Mapping[str, Any]) -> None:
        """Put an item into the state table."""
        self.state.put(pk, sk, Item(1, value))

    async def _drained(self, records: list[dict[str, Any]], time_s: float, worker: Worker) -> Report:
        ends_s = now_s() + time_s
        return await drain(records, worker, lambda: ends_s - now_s())

    async def _worked(
        self, bodies: Sequence[str], for_s: float, receives: float, together: bool, time_s: float
    ) -> None:
        begins_ms = self.clock.now_ms()
        self.queue.put(
            [raw_record(number, body, first_ms=begins_ms, sent_ms=begins_ms) for number, body in enumerate(bodies)]
        )
        until_s = now_s() + for_s
        while receives > 0 and (records := await self.queue.receive(until_s=until_s, together=together)):
            report = await self._drained(records, time_s, self.worker)
            self.queue.leave(records, report.failures)
            receives -= 1
