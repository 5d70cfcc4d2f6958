"""One environment of the worker that delivers many messages: CPU time per message and memory at 10³, 10⁴, ... messages.

    python -m bench.growth MESSAGES SECONDS

It runs the deployed code (encode, decode, map, dispatch, settle) with a queue, a state table and a partner that keep
nothing. At each power of ten, and at the end, it prints a line of JSON: the number of messages, the median CPU time of
a message in milliseconds since the line before, its quartiles, and the most memory so far in MiB.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.measure import Figure
from bench.payloads import EVENTS, single_events, text_of
from partners.delivery import Delivery
from partners.webhook import Webhook
from shared.message import Head, encode
from testkit.harness import Harness
from testkit.records import sqs_record
from worker_fn.clients.http import Answer

BATCH = 100
IN_FLIGHT = 64
REQUESTS = 100
WARM_UP = 1_000


class Taking:
    """A partner that takes each call at once."""

    async def send(self, _delivery: Delivery, _key: str, _timeout_s: float) -> Answer:
        return Answer(200)


class Environment:
    """One environment for all messages; each message has an id of its own."""

    def __init__(self) -> None:
        partner = Webhook.from_env({"WEBHOOK_URL": "https://partner.example/"})
        self._harness = Harness(partner, Taking(), max_in_flight=IN_FLIGHT)
        self._texts = [text_of(one) for one in single_events(REQUESTS)]
        self._done = 0

    def work(self, messages: int) -> None:
        """Encode this many messages, and drain them."""
        report = self._harness.run(*self._records(messages))
        if report.failures:
            raise SystemExit(f"{len(report.failures)} messages were not delivered")

    def _records(self, messages: int) -> Iterator[dict[str, Any]]:
        now_ms = self._harness.clock.now_ms()
        for number in range(self._done, self._done + messages):
            [body] = encode(Head(f"r-{number}", EVENTS, "12345", now_ms), self._texts[number % REQUESTS])
            yield sqs_record(f"m-{number}", f"h-{number}", body, receives=1, first_ms=now_ms, sent_ms=now_ms)
        self._done += messages


def main(messages: str, seconds: str) -> None:
    """Work until `messages` are done or `seconds` have passed, but on at least a thousand messages."""
    environment, until_s = Environment(), time.monotonic() + float(seconds)
    for _ in range(WARM_UP // BATCH):
        environment.work(BATCH)
    done, next_power, chunks = 0, 1_000, list[float]()
    while done < int(messages) and (time.monotonic() < until_s or next_power <= 1_000):
        before_s = time.process_time()
        environment.work(BATCH)
        chunks.append((time.process_time() - before_s) * 1_000 / BATCH)
        done += BATCH
        if done == next_power:
            tell(done, chunks)
            next_power, chunks = next_power * 10, []
    if chunks:
        tell(done, chunks)


def tell(done: int, chunks: list[float]) -> None:
    figure = Figure.of(chunks)
    line = {"messages": done, "ms": figure.median, "low": figure.low, "high": figure.high, "chunks": len(chunks)}
    print(json.dumps({**line, "peak_mib": peak_mib()}), flush=True)


def peak_mib() -> float:
    """The most memory of this process since its start; getrusage would include that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1_024


if __name__ == "__main__":
    main(*sys.argv[1:])
