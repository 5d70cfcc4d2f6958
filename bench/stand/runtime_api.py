"""Lambda's Runtime API on loopback: hands invocations to one runtime client, and takes its answers."""

import queue
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

DEADLINE_S = 60.0
"""The time that an invocation has: the worker's time-out in serverless.yml."""


class RuntimeApi:
    """The API for one function. `invoke` returns how it ended (`response`, `error`, `init`) and the bytes."""

    def __init__(self) -> None:
        self._pending: queue.Queue[bytes | None] = queue.Queue()
        self._results: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def invoke(self, payload: bytes) -> tuple[str, bytes]:
        """Raises queue.Empty for a function that does not answer in time."""
        self._pending.put(payload)
        return self._results.get(timeout=DEADLINE_S + 10)

    def next(self) -> bytes | None:
        """Wait for the next invocation; None at the end."""
        return self._pending.get()

    def ended(self, kind: str, body: bytes) -> None:
        self._results.put((kind, body))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pending.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Ignore the error: a function that is killed closes its connection."""


def _handler_of(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65_536
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            payload = api.next()
            if payload is None:
                self.close_connection = True
                return
            self.send_response(200)
            for name, value in _headers(len(payload)).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            api.ended("init" if "/init/" in self.path else self.path.rpartition("/")[2], body)
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    return Handler


def _headers(length: int) -> dict[str, str]:
    return {
        "Lambda-Runtime-Aws-Request-Id": str(uuid.uuid4()),
        "Lambda-Runtime-Deadline-Ms": str(int((time.time() + DEADLINE_S) * 1_000)),
        "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:bench:1",
        "Content-Type": "application/json",
        "Content-Length": str(length),
    }
