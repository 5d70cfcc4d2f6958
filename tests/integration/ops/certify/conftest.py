"""Servers on loopback: the bad integration by HTTP, and Lambda's Invoke API by script."""

import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

INTEGRATION = Path(__file__).parents[3] / "fixtures" / "bad_integration" / "integration.py"

Reply = tuple[int, dict[str, str], bytes]
Answering = Callable[[str, str, bytes], Reply]
"""Takes method, Authorization and body; status 0 cuts the connection."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


@contextmanager
def _serving(answer: Answering) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, payload = answer(self.command, self.headers.get("Authorization", ""), body)
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(payload))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = respond  # noqa: N815 - names of the standard library

        def log_message(self, *args: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def serving() -> Callable[[Answering], Any]:
    return _serving


@pytest.fixture
def integration() -> Any:
    """The module of the bad integration."""
    spec = importlib.util.spec_from_file_location("bad_integration", INTEGRATION)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
