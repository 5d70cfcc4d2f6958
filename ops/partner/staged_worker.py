"""The worker as it is deployed, with a function in place of the partner's API and nothing but memory around it.

On simulated time, one call at a time and each tried once, so that the n-th call gets the n-th answer of a script.
"""

import asyncio
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ops.simulation import clock
from partners import Delivery, Partner
from partners.wire import body_of
from shared.errors import InvalidRequest
from shared.firehose import parse_request
from shared.message import decode
from shared.state import Conflict, Item
from worker_fn.drain import Worker, drain
from worker_fn.ends import Reason
from worker_fn.gates import Gates
from worker_fn.http_client import Answer
from worker_fn.suspensions import Suspensions

TIME_S = 900.0
"""What a batch may take on the simulated clock: Lambda's longest time-out."""

NOW_MS = int(clock.EPOCH_S * 1_000)


@dataclass
class StagedWorker:
    """A worker and all that it reaches: `answer` for the API, a queue, a state table."""

    partner: Partner
    answer: Callable[[Delivery], Answer]
    max_in_flight: int = 1
    call_s: float = 0.0
    """What a call takes."""
    calls: list[Delivery] = field(default_factory=list)
    letters: dict[str, Mapping[str, str]] = field(default_factory=dict)
    waits_s: dict[str, int] = field(default_factory=dict)
    parked: set[str] = field(default_factory=set)

    def work(self, bodies: Sequence[str], *, receives: int = 1) -> None:
        """Drain one batch of these queue messages; receive again, together and so often, those that wait."""
        clock.run(self._work(bodies, receives))

    async def _work(self, bodies: Sequence[str], receives: int) -> None:
        worker, waiting = self._worker(), list(range(len(bodies)))
        for receive in range(1, receives + 1):
            self.waits_s = {}
            await drain([_record(number, bodies[number], receive) for number in waiting], worker, _time_left())
            waiting = [number for number in waiting if str(number) in self.waits_s]
            if not waiting:
                break
            await asyncio.sleep(max(self.waits_s.values()))

    def _worker(self) -> Worker:
        loop = asyncio.get_running_loop()

        def now_s() -> float:
            return clock.EPOCH_S + loop.time()

        def now_ms() -> int:
            return int(now_s() * 1_000)

        rng, state = random.Random(0), MemoryState()  # noqa: S311 - jitter on a simulated clock
        gates = Gates(state, self.partner.limits, share=1.0, now_ms=now_ms, rng=rng)
        return Worker(
            partner=self.partner,
            send=self.send,
            queue=self,
            state=state,
            gates=gates,
            suspensions=Suspensions(state, now_ms=now_ms, on_trouble=gates.trouble),
            max_in_flight=self.max_in_flight,
            attempts=1,
            settle_reserve_s=5.0,
            call_timeout_s=13.0,
            clock=now_s,
            rng=rng,
        )

    async def send(self, delivery: Delivery, key: str, timeout_s: float) -> Answer:  # noqa: ARG002
        _refuse_what_http_refuses(delivery)
        self.calls.append(delivery)
        await asyncio.sleep(self.call_s)
        return self.answer(delivery)

    async def hide(self, waits_s: Mapping[str, int]) -> set[str]:
        self.waits_s |= waits_s
        return set()

    async def dead_letter(self, record: Mapping[str, Any], attributes: Mapping[str, str]) -> None:
        self.letters[record["messageId"]] = attributes

    async def park(self, record: Mapping[str, Any]) -> None:
        self.parked.add(record["messageId"])

    def end_of(self, number: int, body: str) -> tuple[str, str]:
        """The outcome of a message, and its end in words."""
        letter = self.letters.get(str(number))
        if str(number) in self.waits_s:
            return "retriable", "waits for another try"
        if str(number) in self.parked:
            return "retriable", "parked until its account is cleared"
        if letter is None:
            return "ok", ""
        end = f"dead letter, {letter['reason']}: {letter.get('error', '')}"
        if letter["reason"] in {Reason.REJECTED, Reason.UNAUTHORIZED}:
            return "ok", end
        return ("permanent" if _says_it_can_not_be_sent(body, self.partner) else "unexpected"), end


def _says_it_can_not_be_sent(body: str, partner: Partner) -> bool:
    try:
        list(partner.deliveries(parse_request(decode(body).payload)))
    except InvalidRequest:
        return True
    except Exception:  # a partner's code may raise anything
        return False
    return False


def _time_left() -> Callable[[], float]:
    now_s = asyncio.get_running_loop().time
    ends_s = now_s() + TIME_S
    return lambda: ends_s - now_s()


def _record(number: int, body: str, receive: int) -> dict[str, Any]:
    times = {"SentTimestamp": str(NOW_MS), "ApproximateFirstReceiveTimestamp": str(NOW_MS)}
    return {
        "messageId": str(number),
        "receiptHandle": str(number),
        "body": body,
        "attributes": {"ApproximateReceiveCount": str(receive), **times},
    }


def _refuse_what_http_refuses(delivery: Delivery) -> None:
    """As worker_fn/http_client.py does. Raises ValueError or TypeError."""
    memoryview(body_of(delivery))
    secrets = {name: secret.value for name, secret in delivery.secret_headers.items()}
    for name, value in {**delivery.headers, **secrets}.items():
        if any(sign in name + value for sign in "\r\n"):
            raise ValueError("a header with a line break")


class MemoryState:
    """The state table, as long as its worker lives. See shared.state.State."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], Item] = {}

    async def read(self, pk: str, sk: str) -> Item:
        return self._items.get((pk, sk), Item())

    async def swap(
        self,
        pk: str,
        sk: str,
        item: Item,
        value: Mapping[str, Any],
        *,
        expires_at: int | None,  # noqa: ARG002 - nothing lives that long
    ) -> Item:
        current = await self.read(pk, sk)
        if current.rev != item.rev:
            raise Conflict(current)
        self._items[pk, sk] = Item(item.rev + 1, json.loads(json.dumps(value)))
        return self._items[pk, sk]

    async def delete(self, pk: str, sk: str) -> None:
        self._items.pop((pk, sk), None)

    async def listed(self, pk: str) -> dict[str, Item]:
        return {key[1]: item for key, item in self._items.items() if key[0] == pk}
