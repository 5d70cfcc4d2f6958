"""A partner's HTTP API on loopback: slow, rate limited, failing or down, as told, and it remembers every call.

The demo and the integration tests stand it at the end of the flow. `Behaviour` says what it does,
`LoopbackPartner` decides each call (no sockets, an injected clock), `serve` puts it on a port. A plain asyncio
protocol carries a few thousand requests a second on one core, so that the partner's limit is the one it
was given and not its own speed.
"""

import asyncio
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from math import ceil
from typing import Any, NamedTuple

import orjson

from ops.console.interrupts import held_back

BACKLOG = 1024
ACCEPT_TURNS = 10
"""Turns of the event loop from accepting a connection to telling the protocol, and from aborting one to closing it."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the partner's API treats calls. By default it takes everything at once."""

    latency_ms: float = 0
    """From the whole request to the answer, refusals included: a real API is slow to say no as well."""
    rate_per_s: float | None = None
    """Calls a second; calls above it get 429 with Retry-After. None: no limit."""
    burst: int | None = None
    """How many calls may come at once before the rate holds. None: one second's worth."""
    strict: bool = False
    """No second, wherever it begins, may hold more than `rate_per_s` calls: nothing is saved up, and no burst."""
    account_rate_per_s: float | None = None
    """Calls a second of each account, with one second's burst."""
    retry_after_s: int | None = None
    """The Retry-After of a 429. None: whole seconds until there is room again."""
    failure_rate: float = 0
    """Share of the calls answered with 500, drawn from `seed`."""
    outages: tuple[tuple[float, float], ...] = ()
    """Windows of (start, end) in seconds after `begin`: everything gets 503."""
    answers: Mapping[str, int] = field(default_factory=dict)
    """Event id -> the status with which it is always answered, whatever the others get."""
    token: str | None = None
    """The bearer token that a call must carry. None: not looked at."""
    seed: int = 0


class Reply(NamedTuple):
    status: int
    retry_after_s: int | None = None


class Exchange(NamedTuple):
    """One call as it came over the wire, with its answer: for a watcher."""

    method: str
    target: str
    headers: Mapping[str, str]
    """By their names in lower case."""
    body_bytes: int
    content: Mapping[str, Any] | None
    """The body, if it is a JSON object."""
    reply: Reply


class Call(NamedTuple):
    """One call: when its last byte had come in, and how and when it was answered. Times are the partner's."""

    at_s: float
    status: int
    retry_after_s: int | None = None
    answered_s: float = 0.0
    account_id: str | None = None


@dataclass(slots=True)
class PartnerLedger:
    """What the partner saw since `begin`; times are seconds of its clock."""

    calls: list[Call] = field(default_factory=list)
    """Every call that was answered, in the order of the answers; the other lists say what became of them."""
    arrivals: dict[str, list[float]] = field(default_factory=dict)
    """Event id -> when it was accepted: more than one time is a duplicate."""
    accepted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    failed_s: list[float] = field(default_factory=list)
    others: int = 0
    """Accepted calls that carry no event: a profile, a notification, an erasure."""
    unauthorized: int = 0
    rejected: int = 0
    """Calls with an event that is always answered with a 4xx."""
    malformed: int = 0
    """Bodies that are no JSON object, answered with 400."""

    @property
    def delivered(self) -> int:
        """Different events that arrived."""
        return len(self.arrivals)

    @property
    def duplicates(self) -> int:
        """Arrivals beyond the first of each event."""
        return len(self.accepted_s) - len(self.arrivals)


class _Allowance:
    """A rate as a bucket of tokens, or strictly: at most its number of calls in any second."""

    def __init__(self, rate_per_s: float, *, burst: int | None, strict: bool, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = self._tokens = float(burst or max(1, ceil(rate_per_s)))
        self._refilled_s = now_s
        self._recent_s: deque[float] | None = deque() if strict else None

    def wait_s(self, now_s: float) -> float:
        """Take room for one call; returns 0, or the seconds until there is room."""
        if self._recent_s is not None:
            while self._recent_s and now_s - self._recent_s[0] >= 1:
                self._recent_s.popleft()
            if len(self._recent_s) >= self._rate_per_s:
                return 1 - (now_s - self._recent_s[0])
            self._recent_s.append(now_s)
            return 0
        self._tokens = min(self._burst, self._tokens + (now_s - self._refilled_s) * self._rate_per_s)
        self._refilled_s = now_s
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate_per_s
        self._tokens -= 1
        return 0


class LoopbackPartner:
    """Decides the answer to each call and keeps the ledger. One instance serves one port."""

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        clock: Callable[[], float] = time.monotonic,
        watch: Callable[[Exchange], object] | None = None,
    ) -> None:
        """`watch` is shown each call as it is answered, in the thread that serves."""
        self.ledger = PartnerLedger()
        self.watch = watch
        self._clock = clock
        self._began_s = clock()
        self.behave(behaviour)

    def begin(self, behaviour: Behaviour | None = None) -> None:
        """Forget what came so far (a warm-up, say), start the outages' clock and behave otherwise from now on, if told
        how.
        """
        self.ledger = PartnerLedger()
        self._began_s = self._clock()
        if behaviour is not None:
            self.behave(behaviour)

    def behave(self, behaviour: Behaviour) -> None:
        """Behave otherwise from now on, and remember what came so far."""
        self.behaviour = behaviour
        self._random = random.Random(behaviour.seed)  # noqa: S311 - draws failures, not secrets
        self._allowance = self._allowance_of(behaviour.rate_per_s, burst=behaviour.burst, strict=behaviour.strict)
        self._accounts: dict[str, _Allowance | None] = {}

    def _allowance_of(self, rate_per_s: float | None, *, burst: int | None, strict: bool) -> _Allowance | None:
        return None if rate_per_s is None else _Allowance(rate_per_s, burst=burst, strict=strict, now_s=self._clock())

    def judge(self, authorization: str = "", event_id: str | None = None, account_id: str | None = None) -> Reply:
        """Answer one call: check its token, outages, rates, the event's own answer, and last the random failures."""
        behaviour, now_s = self.behaviour, self._clock()
        if behaviour.token is not None and authorization != f"Bearer {behaviour.token}":
            self.ledger.unauthorized += 1
            return Reply(401)
        if any(start <= now_s - self._began_s < end for start, end in behaviour.outages):
            self.ledger.failed_s.append(now_s)
            return Reply(503)
        wait_s = self._wait_s(account_id, now_s)
        if wait_s:
            self.ledger.refused_s.append(now_s)
            return Reply(429, behaviour.retry_after_s or ceil(wait_s))
        if event_id is not None and event_id in behaviour.answers:
            return self._always(behaviour.answers[event_id], now_s)
        if behaviour.failure_rate and self._random.random() < behaviour.failure_rate:
            self.ledger.failed_s.append(now_s)
            return Reply(500)
        return Reply(200)

    def note(self, reply: Reply, came_s: float, account_id: str | None) -> None:
        """Book a call whose answer goes out now."""
        self.ledger.calls.append(Call(came_s, *reply, self._clock(), account_id))

    def now_s(self) -> float:
        return self._clock()

    def _always(self, status: int, now_s: float) -> Reply:
        if status >= 500:
            self.ledger.failed_s.append(now_s)
        else:
            self.ledger.rejected += 1
        return Reply(status)

    def _wait_s(self, account_id: str | None, now_s: float) -> float:
        """The account's own rate first: what it refuses costs the others nothing."""
        rate_per_s = self.behaviour.account_rate_per_s
        if rate_per_s is not None and account_id is not None and account_id not in self._accounts:
            self._accounts[account_id] = self._allowance_of(rate_per_s, burst=None, strict=False)
        own = self._accounts.get(account_id) if account_id is not None else None
        wait_s = own.wait_s(now_s) if own else 0.0
        return wait_s or (self._allowance.wait_s(now_s) if self._allowance else 0.0)

    def accept(self, event_id: str | None) -> None:
        """Book a call that is answered with 200; without an event it only counts."""
        if event_id is None:
            self.ledger.others += 1
            return
        now_s = self._clock()
        self.ledger.arrivals.setdefault(event_id, []).append(now_s)
        self.ledger.accepted_s.append(now_s)

    def malformed(self) -> Reply:
        """Count a call that makes no sense: a fault of the sender, whatever the partner's state."""
        self.ledger.malformed += 1
        return Reply(400)


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request at a time, bodies with Content-Length."""

    def __init__(self, api: LoopbackPartner, connections: "set[_Connection]") -> None:
        self._api, self._connections = api, connections
        self._buffer = bytearray()
        self._answering = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self.transport = transport
            self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.transport = None
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._answering:
            self._read_request()

    def _read_request(self) -> None:
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        headers: dict[str, str] = {}
        asked, *lines = bytes(self._buffer[:head_end]).decode("latin-1").split("\r\n")
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or "transfer-encoding" in headers:
            self._buffer.clear()
            self._answer(Reply(411), keep_alive=False)
            return
        body_end = head_end + 4 + int(length)
        if len(self._buffer) < body_end:
            return
        body = bytes(self._buffer[head_end + 4 : body_end])
        del self._buffer[:body_end]
        self._answering = True
        content = _parsed(body)
        event_id, account_id, came_s = _event_id(content), _account_id(content), self._api.now_s()
        if content is None:
            reply = self._api.malformed()
        else:
            reply = self._api.judge(headers.get("authorization", ""), event_id, account_id)
        keep_alive = headers.get("connection", "").lower() != "close"
        delay_s = self._api.behaviour.latency_ms / 1000

        def finish() -> None:
            self._api.note(reply, came_s, account_id)
            if self._api.watch:
                method, _, rest = asked.partition(" ")
                target = rest.rpartition(" ")[0]
                self._api.watch(Exchange(method, target, headers, len(body), content, reply))
            self._finish(reply, event_id, keep_alive)

        asyncio.get_running_loop().call_later(delay_s, finish)

    def _finish(self, reply: Reply, event_id: str | None, keep_alive: bool) -> None:
        # Booked even if the caller has gone: a partner that did its work did it, whoever still listens.
        if reply.status == 200:
            self._api.accept(event_id)
        self._answer(reply, keep_alive=keep_alive)
        self._answering = False
        if self._buffer:
            self._read_request()

    def _answer(self, reply: Reply, *, keep_alive: bool) -> None:
        if self.transport is None:
            return
        body = b'{"ok":true}' if reply.status == 200 else b'{"ok":false}'
        retry_after = f"Retry-After: {reply.retry_after_s}\r\n" if reply.retry_after_s is not None else ""
        connection = "keep-alive" if keep_alive else "close"
        head = (
            f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{retry_after}Connection: {connection}\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        if not keep_alive:
            self.transport.close()


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) else None


def _event_id(content: dict[str, Any] | None) -> str | None:
    event = (content or {}).get("event")
    event_id = event.get("id") if isinstance(event, dict) else None
    return event_id if isinstance(event_id, str) else None


def _account_id(content: dict[str, Any] | None) -> str | None:
    """The customer, as the webhook partner's bodies name it."""
    context = (content or {}).get("context")
    account = context.get("account") if isinstance(context, dict) else None
    account_id = account.get("account_id") if isinstance(account, dict) else None
    return None if account_id is None else str(account_id)


@contextmanager
def serve(api: LoopbackPartner, *, port: int = 0) -> Iterator[str]:
    """Serve `api` on 127.0.0.1 from a thread of its own; yields the URL to post events to.

    Port 0 takes a free one. A port in use raises OSError here, in the caller. On leaving, open connections
    are closed and the thread has ended.
    """
    listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    with ExitStack() as stack:
        with held_back():
            loop = asyncio.new_event_loop()
            stop = asyncio.Event()
            work = _run(api, listener, stop)
            thread = threading.Thread(target=loop.run_until_complete, args=(work,), name="partner-api", daemon=True)
            thread.start()
            stack.callback(_end, loop, stop, thread)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/events"


def _end(loop: asyncio.AbstractEventLoop, stop: asyncio.Event, thread: threading.Thread) -> None:
    with held_back():
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def _run(api: LoopbackPartner, listener: socket.socket, stop: asyncio.Event) -> None:
    connections: set[_Connection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(api, connections), sock=listener, backlog=BACKLOG)
    await stop.wait()
    server.close()
    for _ in range(ACCEPT_TURNS):  # a connection that was just accepted is not made yet
        await asyncio.sleep(0)
    for connection in list(connections):
        if connection.transport is not None:
            connection.transport.abort()
    for _ in range(ACCEPT_TURNS):  # an aborted connection is closed in a later turn, which wait_closed does not await
        await asyncio.sleep(0)
    await server.wait_closed()
