"""A partner's API in memory, for workers in tests without sockets. See worker_fn.clients.http.Send.

An API on a socket is ops/local/partner_api.py; one for a fleet, with rates and faults, testkit/simulation/partner.py.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from partners import Delivery
from partners.wire import body_of, headers_of
from shared.partner_http import request_of
from testkit.clock import EPOCH_S, now_s
from worker_fn.clients.http import Answer


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call as the partner's API gets it. `headers` hold the secret ones and the Idempotency-Key, too."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    at_s: float
    """Simulated seconds since the first call."""
    delivery: Delivery = field(repr=False, compare=False)
    """The delivery as the partner's code made it, before its secrets and a key were written into it."""

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def key(self) -> str:
        """The Idempotency-Key, by which a partner recognises a repeated call."""
        return self.headers["Idempotency-Key"]


Said = int | Answer
"""An answer: a status, or Answer(429, retry_after="30"), Answer(200, body=b"..."), Answer(fault="timeout")."""


class PartnerApi:
    """A partner's API that answers by a script: the answers in turn, the last one again and again; or a function of the
    call. `calls` are the calls that it got.
    """

    def __init__(self, *answers: Said | Callable[[Call], Said], call_s: float = 0.0) -> None:
        """`call_s` is the time that a call takes."""
        self.calls: list[Call] = []
        self.call_s = call_s
        self.timeouts_s: list[float] = []
        """The time-out of each call."""
        self.most_in_flight = 0
        self._in_flight = 0
        self._answers = answers or (200,)

    async def send(self, delivery: Delivery, key: str, timeout_s: float) -> Answer:
        """Answer the worker's call. Raises ValueError for a call that HTTP cannot carry, as the real client does."""
        headers, body = headers_of(delivery, idempotency_key=key, now_s=EPOCH_S + now_s()), body_of(delivery)
        request_of(delivery.method, delivery.url, headers, body)
        call = Call(delivery.method, delivery.url, headers, body, now_s(), delivery)
        said = self._answers[min(len(self.calls), len(self._answers) - 1)]
        self.calls.append(call)
        self.timeouts_s.append(timeout_s)
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        await asyncio.sleep(self.call_s)
        self._in_flight -= 1
        said = said(call) if callable(said) else said
        return Answer(said) if isinstance(said, int) else said
