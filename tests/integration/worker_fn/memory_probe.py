"""Works one batch in a process of its own, and prints what the batch took:

    PYTHONPATH=. python tests/integration/worker_fn/memory_probe.py CASE MEMORY_MIB [CALLS]

After so many CALLS the invocation has no time left; without them everything is sent.

Prints a JSON object: what the process took at most before and after, the calls, and how the records ended.
"""

import asyncio
import base64
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import zstandard

import worker_fn.handler
import worker_fn.wiring  # noqa: F401 - what the deployed worker has loaded
from partners import Delivery, Partner
from partners.amplitude import Amplitude
from partners.webhook import Webhook
from partners.wire import body_of
from testkit.harness import Harness
from testkit.records import raw_record
from worker_fn.batch.drain import drain
from worker_fn.batch.memory import Room
from worker_fn.clients.http import Answer

NOW_MS = 1_700_000_000_000
MOST_BYTES = 6_000_000
"""What ingest can have written: Lambda takes 6 MB a request."""


def request(number: int, events: str, context: str = "") -> bytes:
    """A request as text, made with almost no memory."""
    account = '"account":{"account_id":7,"account_settings":{"apiKey":"k"}},"mpid":"1"'
    identities = '"user_identities":[{"type":"customer","value":"c1","encoding":"raw"}]'
    text = f'{{"type":"event_processing_request","id":"r{number}",{account},{identities}{context},"events":[{events}]}}'
    return text.encode()


def events(count: int, size: int = 0) -> str:
    fill = f',"attributes":{{"a":"{"x" * size}"}}' if size else ""
    return ",".join(f'{{"type":"custom_event","id":"e{place}","name":"n"{fill}}}' for place in range(count))


def envelope(number: int, payload: bytes, *, packed: bool) -> str:
    content = payload.decode()
    if packed:
        content = '"' + base64.b64encode(zstandard.ZstdCompressor(level=3).compress(payload)).decode() + '"'
    kind = "event_processing_request"
    return (
        f'{{"v":1,"id":"r{number}","part":"1/1","type":"{kind}","account_id":"7","received_at_ms":{NOW_MS},'
        f'"encoding":"{"zstd" if packed else "json"}","payload":{content}}}'
    )


def filled(unit: str, last: str) -> bytes:
    """A request of 6 MB that repeats these events."""
    return request(0, unit * ((MOST_BYTES - 400) // len(unit)) + last)


def _attributes(size: int) -> str:
    return f',"user_attributes":{{"a":"{"y" * size}"}}'


CASES: dict[str, Callable[[], tuple[Partner, list[str]]]] = {
    "nothing": lambda: (Webhook(url="https://p.example/e"), []),
    "webhook, 50 messages of 46 KiB": lambda: (
        Webhook(url="https://p.example/e"),
        [envelope(n, request(n, events(450), _attributes(24_000)), packed=False) for n in range(50)],
    ),
    "webhook, one message of 454 KiB": lambda: (
        Webhook(url="https://p.example/e"),
        [envelope(0, request(0, events(4_400), _attributes(220_000)), packed=True)],
    ),
    "amplitude, a brand of 1 MB and 5,000 events": lambda: (
        Amplitude(),
        [
            envelope(
                0,
                request(0, events(5_000), f',"runtime_environment":{{"type":"android","brand":"{"b" * 1_000_000}"}}'),
                packed=True,
            )
        ],
    ),
    "webhook, 8 KiB that inflate to 6 MB of events": lambda: (
        Webhook(url="https://p.example/e"),
        [envelope(0, request(0, events(1_150, 5_130)), packed=True)],
    ),
    "webhook, 8 KiB that inflate to 2,000,000 empty events": lambda: (
        Webhook(url="https://p.example/e"),
        [envelope(0, filled("{},", "{}"), packed=True), envelope(1, request(1, events(3)), packed=False)],
    ),
    "webhook, 1 KiB that inflates to 480,000 numbers": lambda: (
        Webhook(url="https://p.example/e"),
        [
            envelope(0, request(0, events(1), f',"x":[{"1.5," * 480_000}1]'), packed=True),
            envelope(1, request(1, events(3)), packed=False),
        ],
    ),
    "webhook, 10 messages of 100,000 numbers in place of events each": lambda: (
        Webhook(url="https://p.example/e"),
        [envelope(n, request(n, "0," * 99_999 + "0"), packed=True) for n in range(10)],
    ),
    "webhook, 1 KiB that inflates to 480,000 numbers in place of events": lambda: (
        Webhook(url="https://p.example/e"),
        [
            envelope(0, request(0, "0," * 479_999 + "0"), packed=True),
            envelope(1, request(1, events(3)), packed=False),
        ],
    ),
    "webhook, 50 messages that inflate to 4 MB each": lambda: (
        Webhook(url="https://p.example/e"),
        [envelope(n, request(n, events(400, 10_000)), packed=True) for n in range(50)],
    ),
    "webhook by request, 50 messages that inflate to 4 MB each": lambda: (
        Webhook(url="https://p.example/e", per_event=False),
        [envelope(n, request(n, events(400, 10_000)), packed=True) for n in range(50)],
    ),
}


class Taking:
    """A partner's API that accepts everything and keeps nothing, because its memory would count as the worker's."""

    def __init__(self) -> None:
        self.calls = self.largest = 0

    async def send(self, delivery: Delivery, key: str, timeout_s: float) -> Answer:
        self.calls += 1
        self.largest = max(self.largest, len(body_of(delivery)))
        await asyncio.sleep(0)
        return Answer(200, body=b"{}")


def peak_mib() -> float:
    """The most memory that this process used, by the kernel's count: of this program only, unlike getrusage."""
    with open("/proc/self/status") as status:  # noqa: PTH123
        [line] = [line for line in status if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1_024


def main(case: str, memory_mib: int, most_calls: float = math.inf) -> dict[str, Any]:
    partner, bodies = CASES[case]()
    # How long a rate makes calls wait is not the point here.
    object.__setattr__(partner, "limits", replace(partner.limits, rate=None, account_rate=None))
    before_mib = peak_mib()
    api = Taking()
    harness = Harness(
        partner,
        api,
        begins_s=NOW_MS / 1_000,
        share=0.1,
        room=Room.of_function(memory_mib),
        stopwatch=lambda: 0.0,
    )
    records = [raw_record(number, body, first_ms=NOW_MS) for number, body in enumerate(bodies)]
    remaining_s = lambda: 600.0 if api.calls < most_calls else 0.0  # noqa: E731
    report = harness.clock.run(drain(records, harness.worker, remaining_s))
    return {
        "before_mib": round(before_mib),
        "peak_mib": round(peak_mib()),
        "queue_bytes": sum(map(len, bodies)),
        "calls": api.calls,
        "largest_body": api.largest,
        "delivered": report.delivered,
        "waiting": report.waiting,
        "letters": [letter["error"] for _, letter in harness.queue.dead],
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:]))))  # noqa: T201
