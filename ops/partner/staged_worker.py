"""The worker as it is deployed, with a function in place of the partner's API and nothing but memory around it.

On simulated time, one call at a time and each tried once, so that the n-th call gets the n-th answer of a script.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ops.partner.stage import make_record, make_worker
from partners import Delivery, LeftOut, Partner
from partners.wire import body_of, headers_of
from shared.errors import InvalidRequest
from shared.firehose import parse_request
from shared.message import decode
from shared.partner_http import request_of
from testkit.simulation import clock
from testkit.simulation.clock import EPOCH_S
from worker_fn.batch.disposition import Reason
from worker_fn.batch.drain import drain
from worker_fn.clients.http import Answer

TIME_S = 900.0
"""What a batch may take on the simulated clock: Lambda's longest time-out."""


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
        worker = make_worker(self.partner, self.send, self, max_in_flight=self.max_in_flight, attempts=1)
        waiting = list(range(len(bodies)))
        for receive in range(1, receives + 1):
            self.waits_s = {}
            records = [make_record(number, bodies[number], receives=receive) for number in waiting]
            await drain(records, worker, _time_left())
            waiting = [number for number in waiting if str(number) in self.waits_s]
            if not waiting:
                break
            await asyncio.sleep(max(self.waits_s.values()))

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

    def left_out_of(self, body: str) -> list[LeftOut]:
        """What of a message the partner makes no call of; nothing of one that it can not map."""
        try:
            mapped = list(self.partner.deliveries(parse_request(decode(body).payload)))
        except Exception:  # the worker has met it, too: the message's end says so
            return []
        return [one for one in mapped if isinstance(one, LeftOut)]


def _says_it_can_not_be_sent(body: str, partner: Partner) -> bool:
    try:
        list(partner.deliveries(parse_request(decode(body).payload)))
    except InvalidRequest:
        return True
    except Exception:  # a partner's code may raise anything
        return False
    return False


def _time_left() -> Callable[[], float]:
    ends_s = clock.now_s() + TIME_S
    return lambda: ends_s - clock.now_s()


def _refuse_what_http_refuses(delivery: Delivery) -> None:
    """As worker_fn/clients/http.py does. Raises ValueError or TypeError."""
    headers = headers_of(delivery, idempotency_key="key", now_s=EPOCH_S)
    request_of(delivery.method, delivery.url, headers, body_of(delivery))
