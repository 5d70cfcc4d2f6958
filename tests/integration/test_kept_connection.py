"""Ingest's kept connection to an AWS service over real sockets, plain and TLS: what can happen to it between calls."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.aws_http import AwsHttp
from shared.aws_roots import all_roots, amazons_roots
from shared.sigv4 import Credentials


class Service:
    """Keeps every connection, and records the lengths of the bodies that came over each."""

    def __init__(self, cert: Path | None) -> None:
        self.sockets, self.bodies = list[socket.socket](), list[int]()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                service.sockets.append(self.request)
                super().setup()

            def do_POST(self) -> None:
                service.bodies.append(len(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None: ...

        self.server = Server(("127.0.0.1", 0), Handler)
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        endpoint = f"http{'s' if cert else ''}://localhost:{self.server.server_port}"
        role = Credentials("a", "b")
        self.client = AwsHttp("sqs", endpoint=endpoint, region="us-east-1", credentials=lambda: role)

    def call(self, body: bytes = b"{}") -> tuple[int, bytes]:
        return self.client.call("AmazonSQS.SendMessage", body, timeout_s=5)

    def stop(self) -> None:
        self.client.close()
        self.server.shutdown()
        for one in self.sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self.server.server_close()
        self.thread.join()


@pytest.fixture(params=["plain", "tls"])
def service(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    cert = None
    if request.param == "tls":
        cert, bundle = tmp_path / "own.pem", tmp_path / "bundle.pem"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-keyout", str(cert), "-out", str(bundle), "-days", "2", "-subj", "/O=Amazon/CN=Root"]
        subprocess.run([*command, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        cert.write_text(cert.read_text() + bundle.read_text())
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    amazons_roots.cache_clear()
    all_roots.cache_clear()
    one = Service(cert)
    yield one
    one.stop()
    amazons_roots.cache_clear()
    all_roots.cache_clear()


def test_calls_of_any_size_share_a_connection(service: Service) -> None:
    """Calls share a connection, even if the socket takes them in parts and TLS sends messages of its own between."""
    sizes = [2, 900, 20_000, 3_000_000, 2]
    assert [service.call(b"x" * size) for size in sizes] == [(200, b"{}")] * len(sizes)
    assert service.bodies == sizes
    assert len(service.sockets) == 1


def test_a_connection_that_was_closed_meanwhile_is_seen_before_the_next_call(service: Service) -> None:
    """If the service closed an idle connection, the next call goes over a new one, once."""
    for _ in range(3):
        assert service.call() == (200, b"{}")
        service.sockets[-1].shutdown(socket.SHUT_RDWR)
    assert service.bodies == [2, 2, 2]
    assert len(service.sockets) == 3


def test_what_lies_on_the_connection_is_no_answer(service: Service) -> None:
    """If unexpected bytes are on the connection, the next call goes over another one and gets its own answer."""
    assert service.call() == (200, b"{}")
    socket.socket.sendall(service.sockets[-1], b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")  # TLS or not, as it is
    assert service.call() == (200, b"{}")
    assert service.bodies == [2, 2]
    assert len(service.sockets) == 2
