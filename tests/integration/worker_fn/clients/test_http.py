"""The bytes of a call on the wire, and calls that are never sent."""

import json
import os
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pycurl
import pytest
from standardwebhooks import Webhook as StandardVerifier

from partners import Delivery, Secret
from shared.http_headers import OF_THE_CLIENT
from tests.integration.worker_fn.clients.calls import send


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"{}", **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def test_delivery_arrives_as_it_was_made(client: Any, partner: Any) -> None:
    """Method, path, body, headers, credentials and the idempotency key arrive as they were declared."""
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


def test_connections_are_kept(client: Any, partner: Any) -> None:
    """Calls one after the other share a connection, even after a refusal."""
    partner.answer = lambda handler, call: reply(handler, 400 if len(partner.calls) == 2 else 200)
    http = client()
    for _ in range(4):
        send(http, partner.url)
    assert len({call.connection for call in partner.calls}) == 1


def test_slow_partner_is_given_up(client: Any, partner: Any) -> None:
    """An answer that does not come in time is a time-out."""
    release = threading.Event()
    partner.answer = lambda handler, call: release.wait(10) and None
    assert send(client(), partner.url, timeout_s=0.2).fault == "timeout"
    release.set()


def test_refused_connection_is_a_fault(client: Any) -> None:
    """A refused connection is a fault like any other."""
    assert send(client(), "http://127.0.0.1:9").fault == "connection"


def test_retry_after_and_body_are_read(client: Any, partner: Any) -> None:
    """The answer has Retry-After, and the body that a bulk partner may need."""
    partner.answer = lambda handler, call: reply(handler, 429, b'{"failed":[1]}', Retry_After="7")
    answer = send(client(), partner.url)
    assert (answer.status, answer.retry_after, answer.body) == (429, "7", b'{"failed":[1]}')


def test_redirects_are_not_followed(client: Any, partner: Any) -> None:
    """A redirect would carry the customer's key to another host."""
    partner.answer = lambda handler, call: reply(handler, 307, Location=f"{partner.url}/elsewhere")
    assert send(client(), partner.url).status == 307
    assert len(partner.calls) == 1


def test_header_with_a_line_break_never_leaves(client: Any, partner: Any) -> None:
    """A header that would smuggle another one raises, and nothing is sent."""
    with pytest.raises(ValueError, match=r"."):
        send(client(), partner.url, secret_headers={"X": Secret("a\r\nHost: evil")})
    assert partner.calls == []


@pytest.mark.parametrize("body", [b"{}", b' {"a": [1.10]} ', b'{\n"a": [1.10]}'])
def test_secret_fields_join_the_body_when_it_is_sent(body: bytes, client: Any, partner: Any) -> None:
    """The key is only in the JSON that arrives; numbers stay as they were written."""
    fields = {"api_key": Secret('k"1'), "more": Secret("é")}
    assert send(client(), partner.url, body=body, secret_fields=fields).status == 200
    [call] = partner.calls
    assert json.loads(call.body) == {"api_key": 'k"1', "more": "é", **json.loads(body)}
    assert (b"1.10" in call.body) == (b"1.10" in body)


@pytest.mark.parametrize("body", [b"", b"[]", b"text", b"{"])
def test_secret_fields_need_a_json_object(body: bytes, client: Any, partner: Any) -> None:
    """If no field can be added to a body, it is not sent."""
    with pytest.raises(ValueError, match="JSON object"):
        send(client(), partner.url, body=body, secret_fields={"api_key": Secret("k")})
    assert partner.calls == []


def test_signature_covers_secret_fields(client: Any, partner: Any) -> None:
    """The signature is of the body that arrives."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    send(client(), partner.url, body=b'{"a":1}', sign_with=Secret(secret), secret_fields={"key": Secret("k")})
    [call] = partner.calls
    headers = {name.lower(): value for name, value in call.headers.items()}
    assert StandardVerifier(secret).verify(call.body.decode(), headers) == {"key": "k", "a": 1}


def test_signature_is_verified_by_an_independent_library(client: Any, partner: Any) -> None:
    """The Standard Webhooks library verifies our signature, and rejects a changed body."""
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
    """An HTTPS partner with a self-signed certificate."""
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


def test_certificates_are_verified(client: Any, tls_partner: tuple[str, Path]) -> None:
    """A partner whose certificate is not trusted gets no call; one whose certificate is trusted does."""
    url, cert = tls_partner
    assert send(client(), url).fault == "connection"
    assert send(client(ca_file=str(cert)), url).status == 200
    assert send(client(ca_file=str(cert)), url.replace("localhost", "127.0.0.1")).fault == "connection"


def test_the_trust_store_is_the_machines_or_the_one_that_is_named(tls_partner: tuple[str, Path], partner: Any) -> None:
    """SSL_CERT_FILE names other roots, as for all of Python; no setting turns the check off."""
    url, cert = tls_partner
    code = (
        "import asyncio, sys\nfrom partners import Delivery\nfrom worker_fn.clients.http import HttpClient\n"
        "async def main():\n"
        "    async with HttpClient(max_in_flight=1, connect_timeout_s=5) as http:\n"
        "        print((await http.send(Delivery(sys.argv[1], b'{}', 'e'), 'k', 5)).status)\n"
        "asyncio.run(main())"
    )
    said = []
    for env in ({"SSL_CERT_FILE": str(cert)}, {}, {"CURL_CA_BUNDLE": str(cert), "AWS_CA_BUNDLE": str(cert)}):
        done = subprocess.run(
            [sys.executable, "-c", code, url], env={**os.environ, **env}, capture_output=True, text=True, check=True
        )
        said.append(done.stdout.strip())
    assert said == ["200", "None", "None"]


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_no_proxy_of_the_environment_is_used(
    client: Any, partner: Any, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Proxy variables are ignored, because a proxy could read the call."""
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert send(client(), partner.url).status == 200


def test_no_credentials_are_taken_from_a_file(
    client: Any, partner: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither .netrc nor a cookie that the partner sets is sent."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password canary\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    partner.answer = lambda handler, call: reply(handler, 200, Set_Cookie="canary=1; Path=/")
    http = client()
    for _ in range(2):
        assert send(http, partner.url).status == 200
    assert len(partner.calls) == 2
    assert all(not {"authorization", "cookie"} & {name.lower() for name in call.headers} for call in partner.calls)


def test_nothing_is_sent_but_what_was_declared(client: Any, raw_partner: Any) -> None:
    """libcurl adds only the host, the length, and `Accept-Encoding: identity`."""
    send(client(), raw_partner.url, body=b"x" * 2_000_000, headers={"X-Empty": "", "x-CASE": " é\t", "X-Case": "last"})
    names = [line.partition(b":")[0] for line in raw_partner.heads[0].split(b"\r\n")[1:]]
    sent = [b"Host", b"Accept-Encoding", b"User-Agent", b"Idempotency-Key", b"X-Empty", b"X-Case", b"Content-Length"]
    assert sorted(names) == sorted(sent)
    assert b"X-Empty:" in raw_partner.heads[0].split(b"\r\n")
    assert b"X-Case: last" in raw_partner.heads[0]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "post"])
def test_each_method_goes_out_as_it_is(client: Any, raw_partner: Any, method: str) -> None:
    """Each method is sent with a body or without, and the next call gets its own answer."""
    if method == "HEAD":
        raw_partner.answer = lambda _: [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"]
    http = client()
    for body in (b"", b"{}"):
        assert send(http, raw_partner.url, method=method, body=body if method != "HEAD" else b"").status == 200
    assert [head.split()[:2] for head in raw_partner.heads] == [[method.upper().encode(), b"/e"]] * 2
    assert len(set(raw_partner.ports)) == 1


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("/a b?c=d e", b"/a%20b?c=d%20e"),
        ("/é?ü=%41", b"/%C3%A9?%C3%BC=%41"),
        ("/a/../b/./c", b"/a/../b/./c"),
        ("?q", b"/?q"),
        ("", b"/"),
        ("/a#part", b"/a"),
        ("/{a}|<b>\\", b"/%7Ba%7D%7C%3Cb%3E%5C"),
    ],
)
def test_a_path_goes_out_as_it_is_or_quoted(client: Any, raw_partner: Any, url: str, target: bytes) -> None:
    """A path is sent as it is or quoted; nothing in it changes the host."""
    http = client()
    call = Delivery(raw_partner.url + url, b"{}", "e")
    assert http.run(http.http.send(call, "k", 5.0)).status == 200
    assert raw_partner.heads[0].split()[1] == target


NO_URLS = [
    "ftp://127.0.0.1/", "file:///etc/passwd", "//127.0.0.1/", "/e", "", "https://", "http:///e", "http://127.0.0.1:80800/",
    "http://127.0.0.1:0/", "http://127.0.0.1:x/", "http://hook..example/", "http://.example/", "http://-a.example/",
    "http://bücher.example/", "http://a b.example/", "http://a%41.example/", "http://u:p@127.0.0.1/", "http://@127.0.0.1/",
    "http://a.example\\@127.0.0.1/", "http://127.0.0.1/\r\nX: y", "http://127.0.0.1/\n", " http://127.0.0.1/\t",
    "http://127.0.0.1/\0", "http://[::1/", "http://[fe80::1%25lo]/", "http://[:::::]/", "http://[::1].example/",
    "http://" + "a" * 64 + ".example/", "http://" + "a." * 200 + "example/", "http://127.0.0.1/\ud800", "gopher://127.0.0.1/",
    "http://127.0.0.1/" + "a" * 300_000,
]  # fmt: skip


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_url_never_leaves(client: Any, url: str) -> None:
    """A text that is no URL raises the error that makes a delivery unsendable."""
    http = client()
    with pytest.raises(ValueError, match="URL"):
        http.run(http.http.send(Delivery(url, b"{}", "e"), "k", 5.0))


ODD_VALUES = ("a\r\nY: b", "a\n", "\ra", "a\n b", "a\0b", "\x1b[2J", "a\x7f", "ǆ", "\ud800")
ODD_METHODS = ("", "PO ST", "POST\r\n", "GET / HTTP/1.1\r\nX: y\r\n\r\n", "é", "CONNECT", "P\0")


@pytest.mark.parametrize(
    "odd",
    [
        {"headers": {"X": value}} for value in ODD_VALUES
    ]
    + [{"headers": {name: "v"}} for name in ("", "X Y", "X:", "X\r\nY", "X\0", "é", " X", "X\t", "(X)")]
    + [{"headers": {name.title(): "1"}} for name in sorted(OF_THE_CLIENT)]
    + [{"method": method} for method in ODD_METHODS]
    + [{"secret_headers": {"X": Secret("a\r\nHost: evil")}}, {"headers": {"X": "a" * 300_000}}]
    + [{"body": "text"}, {"body": None}, {"headers": {"X": 5}}, {"headers": {5: "x"}}, {"method": 5}, {"url": 5}],
)  # fmt: skip
def test_what_http_has_no_form_for_never_leaves(client: Any, raw_partner: Any, odd: dict[str, Any]) -> None:
    """A line break, a header that belongs to the client, or text in place of bytes raises, and nothing is sent."""
    with pytest.raises((ValueError, TypeError, AttributeError)):
        send(client(), raw_partner.url, **odd)
    assert raw_partner.heads == []


def test_a_call_has_nothing_of_the_one_before(client: Any, partner: Any) -> None:
    """Calls share a handle, but each has only its own method, body, headers and answer."""
    partner.answer = lambda handler, call: reply(handler, 200, call.method.encode() if call.method != "HEAD" else b"")
    http = client()
    calls = [("PUT", b"1"), ("HEAD", b""), ("POST", b"2"), ("GET", b""), ("DELETE", b""), ("GET", b"3"), ("POST", b"")]
    answers = [
        send(http, partner.url, method=method, body=body, secret_headers={f"X-{number}": Secret("k")})
        for number, (method, body) in enumerate(calls)
    ]
    assert [(call.method, call.body) for call in partner.calls] == calls
    assert [answer.body.decode() for answer in answers] == [method if method != "HEAD" else "" for method, _ in calls]
    for number, call in enumerate(partner.calls):
        assert [name for name in call.headers if name.startswith("X-")] == [f"X-{number}"]
    assert len({call.connection for call in partner.calls}) == 1


def test_a_handle_holds_no_credentials_between_calls(client: Any, partner: Any) -> None:
    """Between calls a handle holds no credentials, body or answer, so no later call can send them."""
    http = client()
    send(http, partner.url, secret_headers={"Authorization": Secret("Bearer canary")}, body=b"canary")
    [idle] = http.http._idle
    assert idle.answer(None).body == b""
    idle.curl.setopt(pycurl.URL, partner.url)
    idle.curl.perform()
    assert (partner.calls[-1].headers.get("Authorization"), partner.calls[-1].body) == (None, b"")
