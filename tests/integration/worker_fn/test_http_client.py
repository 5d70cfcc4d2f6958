import json
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as StandardVerifier

from partners import Delivery, Secret
from worker_fn.http_client import MAX_ANSWER_BYTES, Answer, HttpClient


def client(**options: Any) -> HttpClient:
    return HttpClient(**{"max_in_flight": 4, "connect_timeout_s": 1.0, "read_timeout_s": 1.0, **options})


def send(http: HttpClient, url: str, timeout_s: float = 5.0, **delivery: Any) -> Answer:
    call = Delivery(**{"url": f"{url}/e", "body": b"{}", "item": "e", **delivery})
    return http.send(call, idempotency_key="key-1", timeout_s=timeout_s)


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"{}", **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def test_delivery_arrives_as_it_was_made(partner: Any) -> None:
    """Method, path, body, headers, credentials and the idempotency key are on the wire."""
    answer = send(
        client(),
        partner.url,
        method="PUT",
        body="{“exact”}".encode(),
        headers={"X-Source": "mp"},
        secret_headers={"Authorization": Secret("Bearer k")},
    )
    [call] = partner.calls
    assert answer.status == 200
    assert (call.method, call.path, call.body) == ("PUT", "/e", "{“exact”}".encode())
    assert call.headers["Idempotency-Key"] == "key-1"
    assert (call.headers["X-Source"], call.headers["Authorization"]) == ("mp", "Bearer k")


def test_connections_are_kept(partner: Any) -> None:
    """Calls one after the other share a connection, also after a refusal."""
    partner.answer = lambda handler, call: reply(handler, 400 if len(partner.calls) == 2 else 200)
    http = client()
    for _ in range(4):
        send(http, partner.url)
    assert len({call.connection for call in partner.calls}) == 1


def test_slow_partner_is_given_up(partner: Any) -> None:
    """An answer that does not come in time is a time-out."""
    release = threading.Event()
    partner.answer = lambda handler, call: release.wait(10) and None
    assert send(client(), partner.url, timeout_s=0.2).fault == "timeout"
    release.set()


def test_dripping_answer_is_given_up(partner: Any) -> None:
    """A partner that sends byte after byte can not hold a call beyond its time."""
    release = threading.Event()

    def drip(handler: BaseHTTPRequestHandler, _: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        while not release.wait(0.05):
            handler.wfile.write(b".")
            handler.wfile.flush()

    partner.answer = drip
    started = time.monotonic()
    assert send(client(), partner.url, timeout_s=0.5).fault == "timeout"
    release.set()
    assert time.monotonic() - started < 5


def test_half_an_answer_is_a_fault(partner: Any) -> None:
    """An answer that breaks off does not count as one."""

    def break_off(handler: BaseHTTPRequestHandler, _: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"{")
        handler.close_connection = True

    partner.answer = break_off
    assert send(client(), partner.url).fault == "connection"


def test_refused_connection_is_a_fault() -> None:
    """Nobody listening is a fault like any other."""
    assert send(client(), "http://127.0.0.1:9").fault == "connection"


def test_retry_after_and_body_are_read(partner: Any) -> None:
    """The header that says when to come back, and the body that a bulk partner may need, are in the answer."""
    partner.answer = lambda handler, call: reply(handler, 429, b'{"failed":[1]}', Retry_After="7")
    assert send(client(), partner.url) == Answer(429, "7", b'{"failed":[1]}')


def test_endless_answer_is_cut(partner: Any) -> None:
    """No more than the bound is read of an answer."""
    partner.answer = lambda handler, call: reply(handler, 200, b"x" * (2 * MAX_ANSWER_BYTES))
    answer = send(client(read_timeout_s=5.0), partner.url, timeout_s=10)
    assert (answer.status, len(answer.body)) == (200, MAX_ANSWER_BYTES)


def test_redirects_are_not_followed(partner: Any) -> None:
    """A redirect would carry the customer's key to another host."""
    partner.answer = lambda handler, call: reply(handler, 307, Location=f"{partner.url}/elsewhere")
    assert send(client(), partner.url).status == 307
    assert len(partner.calls) == 1


def test_header_with_a_line_break_never_leaves(partner: Any) -> None:
    """A header that would smuggle another one raises, and nothing is sent."""
    with pytest.raises(ValueError, match=r"."):
        send(client(), partner.url, secret_headers={"X": Secret("a\r\nHost: evil")})
    assert partner.calls == []


@pytest.mark.parametrize("body", [b"{}", b' {"a": [1.10]} ', b'{\n"a": [1.10]}'])
def test_secret_fields_join_the_body_when_it_is_sent(body: bytes, partner: Any) -> None:
    """The key stands in the JSON that arrives and nowhere before; numbers stay as they were written."""
    fields = {"api_key": Secret('k"1'), "more": Secret("é")}
    assert send(client(), partner.url, body=body, secret_fields=fields).status == 200
    [call] = partner.calls
    assert json.loads(call.body) == {"api_key": 'k"1', "more": "é", **json.loads(body)}
    assert (b"1.10" in call.body) == (b"1.10" in body)


@pytest.mark.parametrize("body", [b"", b"[]", b"text", b"{"])
def test_secret_fields_need_a_json_object(body: bytes, partner: Any) -> None:
    """A body that no field can join never leaves."""
    with pytest.raises(ValueError, match="JSON object"):
        send(client(), partner.url, body=body, secret_fields={"api_key": Secret("k")})
    assert partner.calls == []


def test_signature_covers_secret_fields(partner: Any) -> None:
    """What is signed is what arrives."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    send(client(), partner.url, body=b'{"a":1}', sign_with=Secret(secret), secret_fields={"key": Secret("k")})
    [call] = partner.calls
    headers = {name.lower(): value for name, value in call.headers.items()}
    assert StandardVerifier(secret).verify(call.body.decode(), headers) == {"key": "k", "a": 1}


def test_signature_is_verified_by_an_independent_library(partner: Any) -> None:
    """A receiver checks our signature with the Standard Webhooks library; a changed body fails."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = json.dumps({"event": "é"}).encode()
    send(client(), partner.url, body=body, sign_with=Secret(secret))
    [call] = partner.calls
    headers = {name.lower(): value for name, value in call.headers.items()}
    assert StandardVerifier(secret).verify(call.body.decode(), headers) == {"event": "é"}
    with pytest.raises(Exception, match="signature"):
        StandardVerifier(secret).verify(call.body.decode() + " ", headers)


@pytest.fixture
def tls_partner(tmp_path: Path) -> Any:
    """An HTTPS partner with a certificate that nobody signed."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            reply(self, 200)

        def log_message(self, *_: object) -> None: ...

    class Server(HTTPServer):
        def handle_error(self, *_: object) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://localhost:{server.server_port}", cert
    server.shutdown()
    server.server_close()
    thread.join()


def test_certificates_are_verified(tls_partner: tuple[str, Path]) -> None:
    """A partner whose certificate nobody vouches for gets nothing; one that is trusted does."""
    url, cert = tls_partner
    assert send(client(), url).fault == "connection"
    trusted = client(tls=ssl.create_default_context(cafile=str(cert)))
    assert send(trusted, url).status == 200
