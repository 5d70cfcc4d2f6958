"""The blocking libraries, run in threads: urllib3 towards the partner, boto3 towards SQS."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from partners import Delivery
from shared.queue import WorkerQueue
from worker_fn.http_client import Answer, HttpClient

ENTRIES = 10
"""SQS quota: entries of one ChangeMessageVisibilityBatch."""


class ThreadedClient:
    """A partner's HTTP client with one thread for each connection."""

    def __init__(self, client: HttpClient, max_in_flight: int) -> None:
        self._client = client
        self._threads = ThreadPoolExecutor(max_in_flight, thread_name_prefix="partner")

    async def send(self, delivery: Delivery, key: str, timeout_s: float) -> Answer:
        """Make the call. Raises ValueError or TypeError for what HTTP has no form for."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: self._client.send(delivery, idempotency_key=key, timeout_s=timeout_s)
        )


class ThreadedQueue:
    """The worker's queue; see worker_fn.settle.Queue."""

    def __init__(self, queue: WorkerQueue) -> None:
        self._queue = queue

    async def hide(self, waits_s: Mapping[str, int]) -> set[str]:
        handles = list(waits_s)
        batches = [handles[start : start + ENTRIES] for start in range(0, len(handles), ENTRIES)]
        failed = await asyncio.gather(
            *(asyncio.to_thread(self._queue.hide, {handle: waits_s[handle] for handle in batch}) for batch in batches)
        )
        return set[str]().union(*failed)

    async def dead_letter(self, body: str, attributes: Mapping[str, str], group_id: str | None) -> None:
        await asyncio.to_thread(self._queue.dead_letter, body, attributes, group_id)

    async def park(self, record: Mapping[str, Any]) -> None:
        await asyncio.to_thread(self._queue.park, record)
