"""Plays mParticle: invokes the function by ARN from mParticle's own account, and books how each was answered.

Every request is tried once. The real mParticle sends a throttled one again, with back-off, until it is
taken; counting the first attempts alone is what makes two designs comparable, because each retry of a
throttled request would add load and hide how many there were. AWS's SDKs retry on their own and would
hide them too, so this speaks HTTP itself, over kept-alive connections, which also leaves the two cores to
the functions: an invocation takes 0.04 ms of processor time, with boto3 it takes 0.7 ms.

The Authorization header names account and region as a signed one would; the embedded AWS reads both and
checks no signature, so none is computed.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from urllib.parse import quote, urlsplit

US1_ACCOUNT_ID = "338661164609"
"""The account that invokes integrations of mParticle's US1 pod."""

CONNECTION_KEPT_S = 2.0
"""A connection that rested longer is replaced: the server may be closing it just as we write (it does
after 5 s).
"""


class Ended(StrEnum):
    """How an invocation ended."""

    ACCEPTED = "accepted"
    THROTTLED = "throttled"
    """429 TooManyRequestsException: nothing ran."""
    FAILED = "failed"
    """The function raised or timed out, or no answer came."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A request ready to be sent, the ids of the events in it, and whose they are."""

    body: bytes
    event_ids: tuple[str, ...] = ()
    account_id: int | None = None


@dataclass(frozen=True, slots=True)
class Invocation:
    """One invocation as mParticle saw it."""

    parcel: Parcel
    started_s: float
    answer_ms: float
    outcome: Ended
    status: int
    payload: bytes


class _Pool:
    """Connections that rest, newest first: few of them, kept busy."""

    def __init__(self, host: str, port: int, clock: Callable[[], float]) -> None:
        self._host, self._port, self._clock = host, port, clock
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = []

    async def take(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer, since_s = self._idle.pop()
            if self._clock() - since_s < CONNECTION_KEPT_S and not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)

    def give_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._idle.append((reader, writer, self._clock()))

    async def close(self) -> None:
        writers = [writer for _, writer, _ in self._idle]
        self._idle.clear()
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


class MParticle:
    """Invokes one function. Used inside one event loop: `async with MParticle(...) as mparticle`.

    `connections` bounds what is under way at once, as a caller's pool does; a request that finds none free
    waits for one, and its answer time starts when it is sent.
    """

    def __init__(
        self,
        endpoint_url: str,
        function_arn: str,
        *,
        region: str,
        account_id: str = US1_ACCOUNT_ID,
        connections: int = 60,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        address = urlsplit(endpoint_url)
        host, port = address.hostname or "127.0.0.1", address.port or 80
        self._head = (
            f"POST /2015-03-31/functions/{quote(function_arn, safe='')}/invocations HTTP/1.1\r\n"
            f"Host: {host}:{port}\r\n"
            f"Authorization: AWS4-HMAC-SHA256 Credential={account_id}/20260101/{region}/lambda/aws4_request,"
            f" SignedHeaders=host, Signature={'0' * 64}\r\n"
            "Content-Type: application/json\r\n"
        ).encode("ascii")
        self._clock = clock
        self._pool = _Pool(host, port, clock)
        self._free = asyncio.Semaphore(connections)
        self.in_flight = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._pool.close()

    async def invoke(self, parcel: Parcel) -> Invocation:
        """Invoke once and say how it was answered; no failure raises."""
        async with self._free:
            self.in_flight += 1
            started_s = self._clock()
            try:
                status, headers, payload = await self._post(parcel.body)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                status, headers, payload = 0, {}, b""
            finally:
                self.in_flight -= 1
            answer_ms = (self._clock() - started_s) * 1000
        return Invocation(parcel, started_s, answer_ms, _outcome(status, headers), status, payload)

    async def spike(
        self, parcels: Sequence[Parcel], arrivals_s: Sequence[float], booked: Callable[[Invocation], object]
    ) -> None:
        """Send each request at its time (seconds from now), whether or not earlier ones were answered."""
        began_s = self._clock()

        async def send(parcel: Parcel) -> None:
            booked(await self.invoke(parcel))

        async with asyncio.TaskGroup() as tasks:
            for parcel, arrival_s in zip(parcels, arrivals_s, strict=True):
                wait_s = began_s + arrival_s - self._clock()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                tasks.create_task(send(parcel))

    async def _post(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        reader, writer = await self._pool.take()
        try:
            writer.write(self._head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(_header(line) for line in head[1:] if line)
            payload = await _body(reader, headers)
        except BaseException:
            writer.close()
            raise
        if headers.get("connection", "").lower() == "close":
            writer.close()
        else:
            self._pool.give_back(reader, writer)
        return int(head[0].split(" ", 2)[1]), headers, payload


def _outcome(status: int, headers: dict[str, str]) -> Ended:
    if status == 429:
        return Ended.THROTTLED
    if status == 200 and "x-amz-function-error" not in headers:
        return Ended.ACCEPTED
    return Ended.FAILED


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    chunks: list[bytes] = []
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        chunk = await reader.readexactly(size + 2)
        if size == 0:
            return b"".join(chunks)
        chunks.append(chunk[:-2])


def arrivals(count: int, *, calm_rps: float, spike_rps: float, calm_share: float = 0.1) -> list[float]:
    """When each of `count` requests is due, in seconds: a calm start, the spike, a calm end.

    `calm_share` of the requests come in each calm stretch, evenly spaced; what is between them comes at `spike_rps`.
    """
    calm = int(count * calm_share)
    due_s, times_s = 0.0, []
    for number in range(count):
        times_s.append(due_s)
        due_s += 1 / (spike_rps if calm <= number < count - calm else calm_rps)
    return times_s
