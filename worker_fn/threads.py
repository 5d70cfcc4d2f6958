"""The blocking libraries, run in threads: urllib3 towards the partner, boto3 towards SQS."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from partners import Delivery
from shared.queue import ENTRIES, WorkerQueue
from worker_fn.http_client import Answer, HttpClient

GRACE_S = 0.5
"""Sockets bound each wait for the network; headers that drip in byte by byte, or slow names, can add up to more."""

TAKEN_S = 120
"""Visibility timeout of a message that the tick takes: longer than a tick may run."""


class ThreadedClient:
    """A partner's HTTP client with one thread for each connection."""

    def __init__(self, client: HttpClient, max_in_flight: int) -> None:
        self._client = client
        # Twice: a call that is given up while the partner's answer drips in keeps its thread until it ends.
        self._threads = ThreadPoolExecutor(2 * max_in_flight, thread_name_prefix="partner")

    async def send(self, delivery: Delivery, key: str, timeout_s: float) -> Answer:
        """Make the call. Raises ValueError or TypeError for what HTTP has no form for."""
        call = asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: self._client.send(delivery, idempotency_key=key, timeout_s=timeout_s)
        )
        try:
            async with asyncio.timeout(timeout_s + GRACE_S):
                return await asyncio.shield(call)
        except TimeoutError:
            call.add_done_callback(lambda ended: ended.exception())
            return Answer(fault="timeout")


class ThreadedQueue:
    """The worker's queues; see worker_fn.settle.Queue and worker_fn.tick.Queues."""

    def __init__(self, queue: WorkerQueue, *, visibility_s: int = TAKEN_S) -> None:
        self._queue = queue
        self._visibility_s = visibility_s

    async def hide(self, waits_s: Mapping[str, int]) -> set[str]:
        handles = list(waits_s)
        batches = [handles[start : start + ENTRIES] for start in range(0, len(handles), ENTRIES)]
        failed = await asyncio.gather(
            *(asyncio.to_thread(self._queue.hide, {handle: waits_s[handle] for handle in batch}) for batch in batches)
        )
        return set[str]().union(*failed)

    async def dead_letter(self, record: Mapping[str, Any], attributes: Mapping[str, str]) -> None:
        await asyncio.to_thread(self._queue.dead_letter, record, attributes)

    async def take(self) -> dict[str, Any] | None:
        return await asyncio.to_thread(self._queue.take, self._visibility_s)

    async def delete(self, record: Mapping[str, Any]) -> None:
        await asyncio.to_thread(self._queue.delete, record)

    async def parked(self, sight_s: int) -> Sequence[dict[str, Any]]:
        return await asyncio.to_thread(self._queue.parked, sight_s)

    async def unpark(self, records: Sequence[Mapping[str, Any]]) -> set[str]:
        return await asyncio.to_thread(self._queue.unpark, records)

    async def park(self, record: Mapping[str, Any]) -> None:
        await asyncio.to_thread(self._queue.park, record)
