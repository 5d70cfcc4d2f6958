"""SQS in memory, as one worker sees it: messages that wait come back at their time.

See worker_fn.batch.context.Queue. A whole fleet's queue, with its quotas and faults, is testkit/simulation/queues.py.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.errors import QueueUnavailable
from testkit.clock import now_s


@dataclass(frozen=True, slots=True)
class End:
    """How a message ended: `delivered`, `waiting`, `parked` or `dead-lettered`; docs/flow.md says what each means."""

    how: str
    reason: str = ""
    """The reason of a dead letter: `rejected`, `unmappable`, ..."""
    error: str = ""
    wait_s: int = 0
    """If it waits: seconds until it comes back."""


WAITING = End("waiting")

VISIBILITY_S = 365
"""The queue's visibility timeout in serverless.yml: a message that nobody settled comes back after it."""


class MemoryQueue:
    """The main queue, the dead-letter queue and the parking queue; `broken` makes every call fail."""

    def __init__(self, *, broken: bool = False) -> None:
        self.hidden: dict[str, int] = {}
        """Receipt handle -> the seconds that it was hidden for last."""
        self.dead: list[tuple[str, Mapping[str, str]]] = []
        """The body and the attributes of each dead letter."""
        self.parked: list[str] = []
        """The ids of parked messages."""
        self.ends: dict[str, End] = {}
        """Message id -> how it ended, of those that were received here."""
        self.broken = broken
        self._back_s: list[tuple[float, dict[str, Any]]] = []

    def put(self, records: Sequence[dict[str, Any]]) -> None:
        """Make records visible, for the first time or again."""
        self._back_s += [(now_s(), record) for record in records]

    async def receive(self, *, until_s: float, together: bool = False) -> list[dict[str, Any]]:
        """Wait for the next visible messages and receive them; none if none is until then. `together` waits for all."""
        moments = [back_s for back_s, _ in self._back_s]
        if not moments or (next_s := max(moments) if together else min(moments)) > until_s:
            return []
        await asyncio.sleep(max(0.0, next_s - now_s()))
        visible = [record for back_s, record in self._back_s if back_s <= now_s()]
        self._back_s = [(back_s, record) for back_s, record in self._back_s if back_s > now_s()]
        return visible

    def leave(self, records: Sequence[dict[str, Any]], failures: Sequence[str]) -> None:
        """ReportBatchItemFailures: what is not reported is deleted, the others come back, received once more."""
        for record in records:
            message_id = record["messageId"]
            if message_id in failures:
                wait_s = self.hidden.pop(record["receiptHandle"], VISIBILITY_S)
                self.ends[message_id] = End("waiting", wait_s=wait_s)
                received = int(record["attributes"]["ApproximateReceiveCount"])
                again = {**record["attributes"], "ApproximateReceiveCount": str(received + 1)}
                self._back_s.append((now_s() + wait_s, {**record, "attributes": again}))
            elif self.ends.get(message_id, WAITING).how == WAITING.how:
                self.ends[message_id] = End("delivered")

    async def hide(self, waits_s: Mapping[str, int]) -> set[str]:
        if self.broken:
            return set(waits_s)
        self.hidden.update(waits_s)
        return set()

    async def dead_letter(self, record: Mapping[str, Any], attributes: Mapping[str, str]) -> None:
        self._check()
        self.dead.append((record["body"], attributes))
        error = attributes.get("error", "")
        self.ends[record["messageId"]] = End("dead-lettered", reason=attributes["reason"], error=error)

    async def park(self, record: Mapping[str, Any]) -> None:
        self._check()
        self.parked.append(record["messageId"])
        self.ends[record["messageId"]] = End("parked")

    def _check(self) -> None:
        if self.broken:
            raise QueueUnavailable("down")
