"""A stub in a process of its own: SQS and DynamoDB, or a partner; `python -m bench.stand.stub aws|partner CERT KEY`.

It prints its port, answers until its standard input ends, and counts its answers: `GET /-/counts` returns the counts.
It reads HTTP by hand to be fast: a benchmark would measure a stub that is slower than the function.
"""

import asyncio
import json
import ssl
import sys
from collections import Counter
from collections.abc import Callable

from bench.stand.aws_answers import AwsAnswers
from bench.stand.partner_answers import PartnerAnswers

Answer = Callable[[str, dict[bytes, bytes], bytes], tuple[str, int, bytes, float]]
"""From a path, headers and body: the name to count it under, the status, the answer's body, its delay in seconds."""


class Stub:
    """The answers and counts that all connections share."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.counts = Counter[str]()
        self.connections = 0
        self.most_at_once = 0
        self.at_once = 0

    def told(self) -> bytes:
        counts = {**self.counts, "connections": self.connections, "most at once": self.most_at_once}
        self.most_at_once = self.at_once
        return json.dumps(counts).encode()


class Connection(asyncio.Protocol):
    """One kept connection: requests one after another, each with a Content-Length."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._data = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a server is given
        self._transport = transport
        self._stub.connections += 1

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            first, *lines = bytes(self._data[:end]).split(b"\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
            length = int(headers.get(b"content-length", b"0"))
            if headers.get(b"expect") == b"100-continue" and len(self._data) == end + 4:
                self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if len(self._data) < end + 4 + length:
                return
            body = bytes(self._data[end + 4 : end + 4 + length])
            del self._data[: end + 4 + length]
            self._answer(first.split(b" ")[1].decode(), headers, body)

    def _answer(self, path: str, headers: dict[bytes, bytes], body: bytes) -> None:
        stub = self._stub
        if path == "/-/counts":
            self._write(_response(200, stub.told()))
            return
        kind, status, answer, after_s = stub.answer(path, headers, body)
        stub.counts[kind] += 1
        response = _response(status, answer)
        if after_s <= 0:
            self._write(response)
            return
        stub.at_once += 1
        stub.most_at_once = max(stub.most_at_once, stub.at_once)
        asyncio.get_running_loop().call_later(after_s, self._late, response)

    def _late(self, response: bytes) -> None:
        self._stub.at_once -= 1
        self._write(response)

    def _write(self, response: bytes) -> None:
        if self._transport is not None:
            self._transport.write(response)


def _response(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def serve(stub: Stub, cert: str, key: str) -> None:
    """Answer until standard input ends."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    server = await loop.create_server(lambda: Connection(stub), "127.0.0.1", 0, ssl=tls, backlog=1_024)
    loop.add_reader(sys.stdin.fileno(), over.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await over.wait()
    server.close()


def main(kind: str, cert: str, key: str, latency_s: str = "0") -> None:
    answer = (AwsAnswers if kind == "aws" else PartnerAnswers)(float(latency_s)).answer
    asyncio.run(serve(Stub(answer), cert, key))


if __name__ == "__main__":
    main(*sys.argv[1:])
