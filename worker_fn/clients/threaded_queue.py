"""The blocking library, run in threads: boto3 towards SQS."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from shared.queue import WorkerQueue
from shared.queue.attributes import ENTRIES


class ThreadedQueue:
    """The worker's queues: `Queue` of batch/context and `Queues` of maintenance/ticker. A message that the tick takes
    is hidden for `visibility_s`: longer than an invocation may run.
    """

    def __init__(self, queue: WorkerQueue, *, visibility_s: int) -> None:
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
