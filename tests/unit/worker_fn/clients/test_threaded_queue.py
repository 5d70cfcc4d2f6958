"""The blocking queue library, run in threads."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

from worker_fn.clients.threaded_queue import ThreadedQueue


class BlockingQueue:
    """Records its calls, and the threads on which they ran."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.threads: set[int] = set()

    def _called(self, name: str, said: Any) -> None:
        self.calls.append((name, said))
        self.threads.add(threading.get_ident())

    def hide(self, waits_s: Mapping[str, int]) -> set[str]:
        self._called("hide", len(waits_s))
        return {handle for handle in waits_s if handle.endswith("3")}

    def take(self, visibility_s: int) -> None:
        self._called("take", visibility_s)

    def park(self, record: Any) -> None:
        self._called("park", record)


def test_messages_are_hidden_ten_at_a_time() -> None:
    """Messages are hidden in calls of ten, SQS's limit, at the same time; failures of any call are returned."""
    queue = BlockingQueue()
    failed = asyncio.run(
        ThreadedQueue(queue, visibility_s=365).hide({str(n): 1 for n in range(25)})  # type: ignore[arg-type]
    )
    assert sorted(said for _, said in queue.calls) == [5, 10, 10]
    assert failed == {"3", "13", "23"}


def test_no_call_blocks_the_loop() -> None:
    """No call blocks the loop; messages that the tick receives are hidden for the given time."""

    async def run(queue: BlockingQueue) -> None:
        threaded = ThreadedQueue(queue, visibility_s=365)  # type: ignore[arg-type]
        await threaded.take()
        await threaded.park({"messageId": "m"})

    queue = BlockingQueue()
    asyncio.run(run(queue))
    assert queue.calls == [("take", 365), ("park", {"messageId": "m"})]
    assert threading.get_ident() not in queue.threads
