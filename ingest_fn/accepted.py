"""What ingest logs of accepted requests: a line of facts for each, and metrics for many requests at once."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shared.message import SHORT_TYPES, Head
from shared.telemetry import SHORT_ID, Fact, Metric, measured, spread

REQUESTS_A_LINE, TIMES_A_LINE = 100, 25
"""The most requests in one line of metrics, and the most of their answer times."""
LONGEST_MS = 60_000
"""An environment counts for this long before it writes, because CloudWatch keeps metrics by the minute."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that is durably queued. `message_ids` are SQS's, one for each part; `size_bytes` as it came."""

    head: Head
    message_ids: Sequence[str]
    events: int
    size_bytes: int

    def fields(self, took_ms: float) -> dict[str, Any]:
        """The fields of the request's fact."""
        return {
            "request_id": self.head.id,
            "messages": [one[:SHORT_ID] for one in self.message_ids],
            "type": SHORT_TYPES[self.head.type],
            "account_id": self.head.account_id,
            "parts": len(self.message_ids) if len(self.message_ids) > 1 else None,
            "events": self.events,
            "bytes": self.size_bytes,
            "ms": round(took_ms),
        }


def tell(accepted: Accepted, took_ms: float, facts: Callable[..., None]) -> None:
    facts(Fact.ACCEPTED, **accepted.fields(took_ms))


class Figures:
    """The metrics of one environment's requests: a line for up to a hundred of them, or for a minute's.

    A line for each would cost more than all other lines. Requests that an environment has not written when Lambda ends
    it are missing from the metrics, but not from the facts.
    """

    def __init__(self, stage: str, now_ms: Callable[[], int] = lambda: int(time.time() * 1_000)) -> None:
        self._stage = stage
        self._now_ms = now_ms
        self._took_ms: list[int] = []
        self._bytes = 0
        self._since_ms = now_ms()

    def add(self, accepted: Accepted, took_ms: float) -> None:
        self._took_ms.append(round(took_ms))
        self._bytes += accepted.size_bytes
        now_ms = self._now_ms()
        if len(self._took_ms) < REQUESTS_A_LINE and now_ms - self._since_ms < LONGEST_MS:
            return
        values: dict[Metric, Any] = {
            Metric.ACCEPTED: len(self._took_ms),
            Metric.ANSWER_TIME: spread(self._took_ms, TIMES_A_LINE),
            Metric.ENQUEUED_BYTES: self._bytes,
        }
        line = measured(values, service="ingest", stage=self._stage, now_ms=now_ms)
        print(line, file=sys.stdout, flush=True)  # noqa: T201 - Lambda's log is standard output
        self._took_ms, self._bytes, self._since_ms = [], 0, now_ms
