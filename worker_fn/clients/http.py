"""The only module of the worker that opens partner sockets: libcurl on the worker's event loop.

Connections are kept for the life of the Lambda environment. Nothing is retried here (`dispatch/retry.py` decides that),
with one exception: if a kept connection turns out to be dead before a byte of an answer came, the call is made again at
once, on a new one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import pycurl

from partners import Delivery
from partners.wire import body_of, headers_of
from shared.partner_http import FROZEN, MAX_ANSWER_BYTES, Answer, Exchange, Request, request_of
from worker_fn.clients.freezes import BEAT_S, Freezes
from worker_fn.clients.kept_connections import IDLE_S, Kept
from worker_fn.clients.transfers import Transfers

__all__ = ["FROZEN", "MAX_ANSWER_BYTES", "UNSENDABLE", "Answer", "HttpClient", "Send"]

Send = Callable[[Delivery, str, float], Awaitable[Answer]]
"""Make one call: the delivery, its idempotency key, and the seconds that it may take. May raise UNSENDABLE."""

UNSENDABLE = (ValueError, TypeError, AttributeError)
"""The exceptions for a delivery that HTTP cannot carry."""


class HttpClient(AbstractAsyncContextManager["HttpClient"]):
    """Sends deliveries, and keeps at most `max_in_flight` connections. It belongs to the loop that first uses it."""

    def __init__(
        self,
        *,
        max_in_flight: int,
        connect_timeout_s: float,
        keep_headers: frozenset[str] = frozenset(),
        ca_file: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`keep_headers`: the headers of an answer to keep, beside Date and Retry-After, in small letters.
        `ca_file`: the roots to trust in place of the system's.
        """
        self._transfers = Transfers(most_kept=max_in_flight)
        self._idle: list[Exchange] = []
        self._max_in_flight = max_in_flight
        self._clock = clock
        self._wall_clock = wall_clock
        self._freezes = Freezes(clock, wall_clock)
        self._kept = Kept(wall_clock)
        self._new_exchange = partial(
            Exchange,
            connect_timeout_s=connect_timeout_s,
            keep=keep_headers,
            ca_file=ca_file,
            may_be_used=self._kept.may_be_used,
        )
        self._under_way = 0
        self._beat: asyncio.TimerHandle | None = None

    async def send(self, delivery: Delivery, key: str, timeout_s: float) -> Answer:
        """Make the call, with its idempotency key; `timeout_s` bounds it as a whole, even if an answer drips in.

        Raises UNSENDABLE for a delivery that HTTP cannot carry, and nothing for the network.
        """
        headers = headers_of(delivery, idempotency_key=key, now_s=self._wall_clock())
        return await self.make(request_of(delivery.method, delivery.url, headers, body_of(delivery)), timeout_s)

    async def make(self, request: Request, timeout_s: float) -> Answer:
        """Make a call that HTTP can carry. Raises ValueError for a URL that libcurl cannot read."""
        give_up_at = self._clock() + timeout_s
        self._begin()
        freezes = self._freezes.count
        try:
            answer, was_dead = await self._exchange(request, timeout_s)
            if was_dead and (left_s := give_up_at - self._clock()) > 0:
                answer, _ = await self._exchange(request, left_s, on_new=True)
        finally:
            self._end()
        if answer.fault is not None:
            self._freezes.look()
            if self._freezes.count > freezes:
                return Answer(fault=FROZEN)
        return answer

    async def _exchange(self, request: Request, timeout_s: float, *, on_new: bool = False) -> tuple[Answer, bool]:
        """Try the call once; also returns whether it failed only because a kept connection was dead."""
        exchange = self._idle.pop() if self._idle else self._new_exchange()
        exchange.begin(request, timeout_s=timeout_s)
        exchange.curl.setopt(pycurl.MAXAGE_CONN, IDLE_S)
        exchange.curl.setopt(pycurl.FRESH_CONNECT, int(on_new))
        failure: pycurl.error | None = None
        try:
            await self._transfers.perform(exchange.curl)
        except pycurl.error as error:
            failure = error
        except asyncio.CancelledError:
            exchange.close()
            raise
        answer = exchange.answer(failure)
        is_old = exchange.is_refused or exchange.curl.getinfo(pycurl.NUM_CONNECTS) == 0
        was_dead = answer.fault == "connection" and is_old and not exchange.is_answered
        if exchange.went_over is not None:
            self._kept.used(exchange.went_over)
        if len(self._idle) < self._max_in_flight:
            exchange.forget()
            self._idle.append(exchange)
        else:
            exchange.close()
        return answer, was_dead

    def _begin(self) -> None:
        self._freezes.look()
        self._under_way += 1
        if self._beat is None:
            self._look_again()

    def _end(self) -> None:
        self._under_way -= 1
        if self._under_way == 0 and self._beat is not None:
            self._beat.cancel()
            self._beat = None

    def _look_again(self) -> None:
        self._freezes.look()
        self._beat = asyncio.get_running_loop().call_later(BEAT_S, self._look_again)

    async def aclose(self) -> None:
        """Close every connection; calls that are under way are cancelled."""
        self._transfers.close()
        for exchange in self._idle:
            exchange.close()
        self._idle.clear()

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
