"""Works one batch in a process of its own, and says what that came to:

    PYTHONPATH=. python tests/integration/worker_fn/memory_probe.py CASE MEMORY_MIB [CALLS]

After so many CALLS the invocation has no time left; without them everything is sent.

Prints a JSON object: what the process took at most before and after, the calls, and how the records ended.
"""

import asyncio
import base64
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import zstandard

import worker_fn.handler
import worker_fn.wiring  # noqa: F401 - what the deployed worker has loaded
from partners import Delivery, Partner
from partners.amplitude import Amplitude
from partners.webhook import Webhook
from partners.wire import body_of
from shared.state import Conflict, Item
from worker_fn.accounts.suspensions import Suspensions
from worker_fn.batch.context import Worker
from worker_fn.batch.drain import drain
from worker_fn.batch.memory import Room
from worker_fn.clients.http import Answer
from worker_fn.clients.mapping import Held
from worker_fn.limits.registry import Registry

NOW_MS = 1_700_000_000_000
MOST_BYTES = 6_000_000
"""What ingest can have written: Lambda takes 6 MB a request."""


class Queue:
    def __init__(self) -> None:
        self.letters: list[str] = []

    async def hide(self, waits_s: Mapping[str, int]) -> set[str]:
        return set()

    async def dead_letter(self, record: Mapping[str, Any], attributes: Mapping[str, str]) -> None:
        self.letters.append(attributes["error"])

    async def park(self, record: Mapping[str, Any]) -> None:
        raise AssertionError("nobody is suspended")


class State:
    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Item] = {}

    async def read(self, pk: str, sk: str) -> Item:
        return self.items.get((pk, sk), Item())

    async def swap(self, pk: str, sk: str, item: Item, value: Mapping[str, Any], *, expires_at: int | None) -> Item:
        if (current := await self.read(pk, sk)).rev != item.rev:
            raise Conflict(current)
        self.items[pk, sk] = Item(item.rev + 1, dict(value))
        return self.items[pk, sk]

    async def delete(self, pk: str, sk: str) -> None:
        self.items.pop((pk, sk), None)

    async def listed(self, pk: str) -> dict[str, Item]:
        return {}


def request(number: int, events: str, context: str = "") -> bytes:
    """A request as text, so that making it takes no memory to speak of."""
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
    """A request of 6 MB whose events are these, over and over."""
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


def record(number: int, body: str) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": "1", "ApproximateFirstReceiveTimestamp": str(NOW_MS)}
    return {"messageId": f"m{number}", "receiptHandle": f"h{number}", "body": body, "attributes": attributes}


def peak_mib() -> float:
    """What this process took at most, by the kernel's account: of this program alone, unlike getrusage."""
    with open("/proc/self/status") as status:  # noqa: PTH123
        [line] = [line for line in status if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1_024


def main(case: str, memory_mib: int, most_calls: float = math.inf) -> dict[str, Any]:
    partner, bodies = CASES[case]()
    # How long a rate makes calls wait is not the point here, and the clock is a real one.
    object.__setattr__(partner, "limits", replace(partner.limits, rate=None, account_rate=None))
    before_mib = peak_mib()
    sent: Counter[str] = Counter()
    largest = 0

    async def send(delivery: Delivery, key: str, timeout_s: float) -> Answer:
        nonlocal largest
        body = body_of(delivery)
        largest = max(largest, len(body))
        sent["calls"] += 1
        await asyncio.sleep(0)
        return Answer(200, body=b"{}")

    began_s = time.monotonic()

    def now_ms() -> int:
        return NOW_MS + int(1_000 * (time.monotonic() - began_s))

    def remaining_s() -> float:
        return 600.0 if sent["calls"] < most_calls else 0.0

    state, queue, rng = State(), Queue(), random.Random(1)
    limiters = Registry(state, partner.limits, share=0.1, call_timeout_s=13.0, now_ms=now_ms, rng=rng)
    worker = Worker(
        partner=partner,
        send=send,
        queue=queue,
        state=state,
        limiters=limiters,
        suspensions=Suspensions(state, now_ms=now_ms, on_trouble=limiters.trouble, rng=rng),
        held=Held(state, now_ms=now_ms, on_trouble=limiters.trouble),
        max_in_flight=10,
        attempts=1,
        settle_reserve_s=8,
        call_timeout_s=13,
        room=Room.of_function(memory_mib),
        clock=lambda: now_ms() / 1_000,
        stopwatch=lambda: 0.0,
    )
    report = asyncio.run(drain([record(n, body) for n, body in enumerate(bodies)], worker, remaining_s))
    return {
        "before_mib": round(before_mib),
        "peak_mib": round(peak_mib()),
        "queue_bytes": sum(map(len, bodies)),
        "calls": sent["calls"],
        "largest_body": largest,
        "delivered": report.delivered,
        "waiting": report.waiting,
        "letters": queue.letters,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:]))))  # noqa: T201
