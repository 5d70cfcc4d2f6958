"""HTTP/1.1 over one kept connection: only as much as a signed POST to an AWS service and its answer need.

It is for ingest: http.client took half of the CPU of a request, because it reads headers with the parser of mail
(docs/adr/0052-lean-ingest.md). llhttp reads the answers. One that does not keep to RFC 9112 is an error, never a guess.
"""

import select
import socket
import ssl
from collections.abc import Callable, Mapping

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

READ_BYTES = 65_536
AWS_HEAD_BYTES = 65_536
AWS_BODY_BYTES = 16 * 1_048_576
"""DynamoDB answers with a megabyte at most, the others with less."""


class Garbled(OSError):
    """The bytes that came are no answer in HTTP/1.1, or are larger than any answer of AWS."""


def connect(host: str, port: int | None, *, timeout_s: float, tls: ssl.SSLContext | None) -> "Connection":
    """Open a connection within `timeout_s` for each step. Raises OSError."""
    sock = socket.create_connection((host, port or (443 if tls else 80)), timeout_s)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting = select.poll()
        waiting.register(sock, select.POLLIN)
        return Connection(tls.wrap_socket(sock, server_hostname=host) if tls else sock, lambda: waiting.poll(0))
    except OSError:
        sock.close()
        raise


class Connection:
    """A connection; `is_kept`: it can take another call, `has_come`: there is something to read."""

    def __init__(self, sock: socket.socket, has_come: Callable[[], object]) -> None:
        self._sock, self._has_come = sock, has_come
        self._answer = _Answer()
        self.is_kept = True

    def settimeout(self, timeout_s: float) -> None:
        """Bound each wait for the network."""
        self._sock.settimeout(timeout_s)

    def close(self) -> None:
        self._sock.close()

    def post(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Send `POST /`; gives status and body of the answer. Raises OSError: then the connection is of no more use."""
        if self._answer.is_whole and self._has_come():
            self._expect_silence()
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        request = f"POST / HTTP/1.1\r\n{''.join(lines)}content-length: {len(body)}\r\n\r\n".encode() + body
        sent = self._sock.send(request)  # TLS's `sendall` is Python
        if sent < len(request):
            self._sock.sendall(memoryview(request)[sent:])
        answer = self._answer
        answer.expect()
        while not answer.is_whole:
            piece = self._sock.recv(READ_BYTES)
            if not piece:
                raise ConnectionResetError("closed before the answer's end")
            answer.feed(piece)
        self.is_kept = answer.is_kept
        return answer.status, bytes(answer.body)

    def _expect_silence(self) -> None:
        """Check that nothing came between two calls: it would be taken for the next call's answer. Raises OSError if
        something did, or if the connection has ended, so that nothing is sent where nobody listens.
        """
        timeout_s = self._sock.gettimeout()
        self._sock.setblocking(False)
        try:
            came = self._sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            self._sock.settimeout(timeout_s)
            return
        raise Garbled("an answer before its call") if came else ConnectionResetError("closed between two calls")


class _Answer:
    """The answer that is awaited, as llhttp reports it; interim answers are passed over.

    One object serves all answers of a connection: it and its parser refer to each other, so only the garbage collector,
    which ingest hardly ever runs, would free them.
    """

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)  # RFC 9112, 7.1.1: they are allowed
        self.expect()

    def expect(self) -> None:
        self._came_bytes, self._most_bytes = 0, AWS_HEAD_BYTES
        self.status, self.body = 0, bytearray()
        self.is_whole = self.is_kept = False

    def feed(self, piece: bytes) -> None:
        if not self._came_bytes and not piece.startswith(b"H"):
            raise Garbled("no HTTP")  # llhttp reads RTSP, too, and lines before an answer
        try:
            self._parser.feed_data(piece)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.is_kept = False
            if not self.is_whole:
                raise Garbled(str(error)) from error
        self._came_bytes += len(piece)
        if self._came_bytes > self._most_bytes:
            raise Garbled("larger than any answer")

    def on_message_begin(self) -> None:
        if self.is_whole:
            raise Garbled("more than the answer")  # it would be taken for the next one
        self._has_length, self.body = False, bytearray()  # an interim answer may have had one

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"content-length":
            if int(value) > AWS_BODY_BYTES:
                raise Garbled("larger than any answer")
            self._has_length = True
        elif name == b"transfer-encoding":
            is_chunked = value.strip().lower() == b"chunked" and self._parser.get_http_version() == "1.1"
            if self._has_length or not is_chunked:
                raise Garbled("another coding")  # or chunks of chunks
            self._has_length = True

    def on_headers_complete(self) -> None:
        self.status, self._most_bytes = self._parser.get_status_code(), AWS_HEAD_BYTES + AWS_BODY_BYTES
        if self._parser.get_http_version() not in {"1.1", "1.0"}:
            raise Garbled("another version")
        if self.status < 100:
            raise Garbled("no status")  # else it would go by as an interim one
        if self.status >= 200 and not self._has_length:
            raise Garbled("no length")  # only its close would show its end, as it does that of half an answer

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.is_whole, self.is_kept = self.status >= 200, self._parser.should_keep_alive()
