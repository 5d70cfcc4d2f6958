"""Which certificates ingest accepts, over real TLS."""

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import botocore
import pytest

from shared.aws_http import AwsHttp, Unreached
from shared.aws_roots import all_roots, amazons_roots
from shared.sigv4 import Credentials

BUNDLE = Path(botocore.__file__).with_name("cacert.pem")


class Endpoint:
    """An AWS endpoint on loopback with a certificate of its own; counts handshakes, and the calls that got through."""

    def __init__(self, folder: Path, organisation: str) -> None:
        key, self.cert = folder / f"{organisation}.key", folder / f"{organisation}.pem"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-keyout", str(key), "-out", str(self.cert), "-days", "2", "-subj", f"/O={organisation}/CN=Root"]
        subprocess.run([*command, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        self.handshakes = self.calls = 0
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                endpoint.calls += 1
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            def get_request(self) -> tuple[ssl.SSLSocket, object]:
                endpoint.handshakes += 1
                return super().get_request()

            def handle_error(self, *_: object) -> None: ...

        self.server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def call(self, host: str = "localhost") -> AwsHttp:
        """Call the endpoint once over a new connection; returns the client."""
        client = AwsHttp(
            "sqs",
            endpoint=f"https://{host}:{self.server.server_port}",
            region="us-east-1",
            credentials=lambda: Credentials("a", "b"),
        )
        self.call_by(client)
        return client

    @staticmethod
    def call_by(client: AwsHttp) -> None:
        try:
            assert client.call("AmazonSQS.SendMessage", b"{}", timeout_s=5) == (200, b"{}")
        finally:
            client.close()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Callable[[str], Endpoint]]:
    started: list[Endpoint] = []

    def make(organisation: str) -> Endpoint:
        started.append(Endpoint(tmp_path, organisation))
        return started[-1]

    yield make
    for one in started:
        one.stop()


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Make this machine trust the usual bundle and these endpoints."""

    def trust(*endpoints: Endpoint) -> None:
        bundle = tmp_path / "bundle.pem"
        bundle.write_text("".join(file.read_text() for file in (BUNDLE, *(one.cert for one in endpoints))))
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        amazons_roots.cache_clear()
        all_roots.cache_clear()

    yield trust
    amazons_roots.cache_clear()
    all_roots.cache_clear()


def test_an_endpoint_of_amazons_needs_no_other_root(
    endpoint: Callable[[str], Endpoint], trusting: Callable[..., None]
) -> None:
    """An endpoint with Amazon's root takes one handshake, and the machine's other roots are not even read."""
    sqs = endpoint("Amazon")
    trusting(sqs)
    sqs.call()
    assert (sqs.handshakes, sqs.calls, all_roots.cache_info().misses) == (1, 1, 0)


def test_an_endpoint_of_another_root_that_the_machine_trusts_is_believed(
    endpoint: Callable[[str], Endpoint], trusting: Callable[..., None]
) -> None:
    """If the machine trusts another root (a proxy's, or that of another AWS partition), the second handshake has all
    roots, and later connections begin with them.
    """
    proxy = endpoint("Another")
    trusting(proxy)
    client = proxy.call()
    assert (proxy.handshakes, proxy.calls) == (2, 1)
    proxy.call_by(client)
    assert (proxy.handshakes, proxy.calls) == (3, 2)


@pytest.mark.parametrize("organisation", ["Amazon", "Another"])
def test_a_root_that_the_machine_does_not_trust_is_refused(
    endpoint: Callable[[str], Endpoint], trusting: Callable[..., None], organisation: str
) -> None:
    """A root that the machine does not trust gets no call, whatever its name, and nothing counts as sent."""
    stranger = endpoint(organisation)
    trusting()
    with pytest.raises(Unreached, match="SSLCertVerificationError"):
        stranger.call()
    assert stranger.calls == 0


def test_a_certificate_of_another_host_is_refused(
    endpoint: Callable[[str], Endpoint], trusting: Callable[..., None]
) -> None:
    """A certificate for another host is refused, even if its root is trusted."""
    sqs = endpoint("Amazon")
    trusting(sqs)
    with pytest.raises(Unreached, match="SSLCertVerificationError"):
        sqs.call("127.0.0.1")
    assert sqs.calls == 0
