"""The handlers under Lambda's own runtime client, the process that AWS starts, against a Runtime API on loopback."""

import base64
import json
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
import simplejson

ROOT = Path(__file__).parents[2]

Invoke = Callable[[bytes], tuple[str, Any]]


class RuntimeApi:
    """Hands out invocations and collects their results: ("response" | "error" | "init", JSON)."""

    def __init__(self) -> None:
        self.pending: queue.Queue[tuple[str, bytes] | None] = queue.Queue()
        self.results: queue.Queue[tuple[str, bytes]] = queue.Queue()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                invocation = api.pending.get()
                if invocation is None:
                    self.close_connection = True
                    return
                request_id, payload = invocation
                self.send_response(200)
                headers = {
                    "Lambda-Runtime-Aws-Request-Id": request_id,
                    "Lambda-Runtime-Deadline-Ms": str(int((time.time() + 30) * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:f:1",
                    "Content-Type": "application/json",
                    "Content-Length": str(len(payload)),
                }
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                kind = "init" if "/init/" in self.path else self.path.rpartition("/")[2]
                api.results.put((kind, body))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None: ...

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def invoke(self, payload: bytes) -> tuple[str, Any]:
        self.pending.put((str(uuid.uuid4()), payload))
        kind, body = self.results.get(timeout=30)
        return kind, json.loads(body)

    def stop(self) -> None:
        self.pending.put(None)
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def ingest(queues: Any) -> Iterator[Invoke]:
    """Invoke the ingest handler as Lambda's runtime does, with bytes."""
    api = RuntimeApi()
    env = {
        **os.environ,
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "ingest",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "LAMBDA_TASK_ROOT": str(ROOT),
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "awslambdaric", "ingest_fn.handler.handler"],
        env=env,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield api.invoke
    process.kill()
    process.wait()
    api.stop()


def test_request_is_queued_as_the_bytes_that_came(ingest: Invoke, queues: Any) -> None:
    """Under the real runtime no decimal passes through a float: the queue holds what mParticle wrote."""
    request = (
        b'{"type":"event_processing_request","id":"r-1","events":[{"n":12345678901234567890.10,"p":10.00,"q":1e3}]}'
    )
    kind, answer = ingest(request)
    assert (kind, answer["type"], answer["id"]) == ("response", "event_processing_response", "r-1")
    [record] = queues.receive()
    assert f'"payload":{request.decode()}' in record["body"]


def test_split_request_is_exact_under_the_runtime(ingest: Invoke, queues: Any, partner: Any) -> None:
    """Numbers of a request that had to be split reach the partner as they were written."""
    blob = "".join(f"{n * 2654435761 % 2**32:08x}" for n in range(4_000))
    events = ",".join(f'{{"id":"{n}","n":12345678901234567890.{n}0,"blob":"{n}{blob}"}}' for n in range(100, 180))
    ingest(f'{{"type":"event_processing_request","id":"r-1","events":[{events}]}}'.encode())
    while queues.depth() != (0, 0):
        queues.drain_once()
    numbers = {str(simplejson.loads(call.body, use_decimal=True)["event"]["n"]) for call in partner.calls}
    assert numbers == {f"12345678901234567890.{n}0" for n in range(100, 180)}


def by_url(body: bytes, token: str | None, *, in_base64: bool = False) -> bytes:
    """The event that Lambda makes of a call of the Function URL."""
    headers = {"content-type": "application/json", **({"authorization": f"Token {token}"} if token else {})}
    event = {
        "version": "2.0",
        "rawPath": "/",
        "headers": headers,
        "requestContext": {"http": {"method": "POST", "path": "/"}, "accountId": "anonymous"},
        "body": base64.b64encode(body).decode() if in_base64 else body.decode(),
        "isBase64Encoded": in_base64,
    }
    return json.dumps(event).encode()


@pytest.fixture
def token(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The Function URL's token, in SSM; set up before the process that reads it."""
    token = "token-0123456789abcdef"
    ssm = boto3.client("ssm", endpoint_url=moto_url, region_name="us-east-1")
    ssm.put_parameter(Name="/spillway/token", Value=token, Type="SecureString")
    monkeypatch.setenv("TOKEN_SOURCE", "ssm:/spillway/token")
    yield token
    ssm.delete_parameter(Name="/spillway/token")
    ssm.close()


@pytest.mark.parametrize("in_base64", [False, True])
def test_request_by_url_is_queued_as_the_bytes_that_came(
    token: str, ingest: Invoke, queues: Any, in_base64: bool
) -> None:
    """A request by the URL is queued byte for byte, as one by invocation is; the token comes from SSM."""
    request = '{"type":"event_processing_request","id":"r-1","events":[{"n":1234567890123456789.10,"q":"é"}]}'.encode()
    kind, answer = ingest(by_url(request, token, in_base64=in_base64))
    assert (kind, answer["statusCode"]) == ("response", 202)
    assert json.loads(answer["body"])["id"] == "r-1"
    [record] = queues.receive()
    assert f'"payload":{request.decode()}' in record["body"]


def test_url_without_its_token_lets_nobody_in(token: str, ingest: Invoke, queues: Any) -> None:
    """Without a token only the registration is answered; other requests are refused, and the queue stays empty."""
    assert ingest(by_url(b'{"type":"module_registration_request","id":"r"}', None))[1]["statusCode"] == 200
    for shown in (None, "wrong-token-0123456789"):
        assert ingest(by_url(b'{"type":"event_processing_request","events":[{}]}', shown))[1]["statusCode"] == 401
    assert queues.depth() == (0, 0)


def test_url_whose_token_cannot_be_read_asks_to_come_again(
    monkeypatch: pytest.MonkeyPatch, queues: Any, request: pytest.FixtureRequest
) -> None:
    """If the parameter does not exist, everybody gets 503, and nobody is let in."""
    monkeypatch.setenv("TOKEN_SOURCE", "ssm:/spillway/not-there")
    ingest: Invoke = request.getfixturevalue("ingest")
    answer = ingest(by_url(b'{"type":"event_processing_request","events":[{}]}', "any-token-0123456789"))[1]
    assert (answer["statusCode"], queues.depth()) == (503, (0, 0))


def test_refused_request_is_a_function_error_without_its_payload(ingest: Invoke) -> None:
    """mParticle gets the field's name; the error and its stack trace contain nothing of the request."""
    kind, error = ingest(b'{"type":"event_processing_request","events":{"email":"canary@example.com"}}')
    assert kind == "error"
    assert error["errorType"] == "InvalidRequest"
    assert error["errorMessage"] == "events: must be a list"
    assert "canary" not in json.dumps(error)


@pytest.mark.parametrize(
    "payload",
    [
        b"null",
        b"[]",
        b"5",
        b'"text"',
        b'{"type":"\\ud800"}',
        b"no json",
        b'{"type":NaN}',
        b'{"type":"event_processing_request","events":[]} x',
        b'{"type":"event_processing_request","x":' + b"[" * 990 + b"]" * 990 + b"}",
        '{"type":"event_processing_request"}'.encode("utf-16"),
    ],
)
def test_what_is_no_request_is_refused(ingest: Invoke, payload: bytes) -> None:
    """Bytes that are no request get the same clear error, and never crash the function."""
    kind, error = ingest(payload)
    assert (kind, error["errorType"]) == ("error", "InvalidRequest")
