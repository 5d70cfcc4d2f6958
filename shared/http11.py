"""HTTP/1.1 over one kept connection: as much of it as a signed POST to an AWS service and its answer need.

It is for ingest, half of whose CPU for a request was http.client's, which reads headers with the parser of mail
(docs/adr/0052-lean-ingest.md). An answer that does not keep to RFC 9112 is an error, never a guess.
"""

import socket
import ssl
from collections.abc import Mapping

READ_BYTES = 65_536
AWS_HEAD_BYTES = 65_536
AWS_BODY_BYTES = 16 * 1_048_576
"""DynamoDB answers with a megabyte at most, the others with less."""

_HEX = b"0123456789abcdefABCDEF"


class Garbled(OSError):
    """What came is no answer in HTTP/1.1, or is larger than any of AWS's."""


def connect(host: str, port: int | None, *, timeout_s: float, tls: ssl.SSLContext | None) -> "Connection":
    """Open a connection within `timeout_s` for each step. Raises OSError."""
    sock = socket.create_connection((host, port or (443 if tls else 80)), timeout_s)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Connection(tls.wrap_socket(sock, server_hostname=host) if tls else sock)
    except OSError:
        sock.close()
        raise


class Connection:
    """A connection; `is_kept` tells whether it can take another call."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._unread = b""
        self.is_kept = True

    def settimeout(self, timeout_s: float) -> None:
        """Bound each wait for the network."""
        self._sock.settimeout(timeout_s)

    def close(self) -> None:
        self._sock.close()

    def post(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Send `POST /`; gives status and body of the answer. Raises OSError: then the connection is of no more use."""
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        self._sock.sendall(f"POST / HTTP/1.1\r\n{''.join(lines)}content-length: {len(body)}\r\n\r\n".encode() + body)
        status, head = self._head()
        while status < 200:  # it goes on, or has hints; the answer follows
            status, head = self._head()
        answer = self._body(head)
        closes = b"close" in _field(head, b"connection") or head.startswith(b"http/1.0")
        self.is_kept = not closes and not self._unread  # more than the answer came: it would be taken for the next one
        return status, answer

    def _head(self) -> tuple[int, bytes]:
        """Status, and the head in small letters."""
        head = self._until(b"\r\n\r\n", AWS_HEAD_BYTES)
        version, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        status = rest.partition(b" ")[0]
        if version not in {b"HTTP/1.1", b"HTTP/1.0"} or len(status) != 3 or not status.isdigit():
            raise Garbled("no status line")
        return int(status), head.lower()

    def _body(self, head: bytes) -> bytes:
        encoding, length = _field(head, b"transfer-encoding"), _field(head, b"content-length")
        if encoding == b"chunked":
            return self._chunks()
        if encoding or not length.isdigit() or len(length) > 8:
            raise Garbled("no length")
        return self._exactly(int(length))

    def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            digits = self._until(b"\r\n", AWS_HEAD_BYTES).partition(b";")[0].strip()
            if not digits or digits.strip(_HEX):
                raise Garbled("no size of a chunk")
            size = int(digits, 16)
            if size == 0:
                break
            body += self._exactly(size)
            if self._until(b"\r\n", 2) or len(body) > AWS_BODY_BYTES:
                raise Garbled("a chunk that is longer")
        while self._until(b"\r\n", AWS_HEAD_BYTES):
            pass  # trailers
        return bytes(body)

    def _until(self, end: bytes, most_bytes: int) -> bytes:
        """What comes before `end`, which is taken, too."""
        while (at := self._unread.find(end)) < 0:
            if len(self._unread) > most_bytes:
                raise Garbled("a head without an end")
            self._unread += self._received()
        found, self._unread = self._unread[:at], self._unread[at + len(end) :]
        return found

    def _exactly(self, count: int) -> bytes:
        if count > AWS_BODY_BYTES:
            raise Garbled("larger than any answer")
        pieces, size = [self._unread], len(self._unread)
        while size < count:
            pieces.append(self._received())
            size += len(pieces[-1])
        came = b"".join(pieces)
        self._unread = came[count:]
        return came[:count]

    def _received(self) -> bytes:
        piece = self._sock.recv(READ_BYTES)
        if not piece:
            raise ConnectionResetError("closed before the answer's end")
        return piece


def _field(head: bytes, name: bytes) -> bytes:
    """A field's value, of a head in small letters; empty if it is not there."""
    return head.partition(b"\r\n" + name + b":")[2].partition(b"\r\n")[0].strip()
