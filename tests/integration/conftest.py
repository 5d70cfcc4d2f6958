"""A real SQS endpoint (moto) and a real partner API, both on loopback."""

import ctypes
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from moto.dynamodb.responses import DynamoHandler
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from ingest_fn import handler as ingest_entry
from ops.operate.stack import Stack
from shared.queue import sender
from shared.state import patient
from tests.integration.state_table import state_table
from worker_fn import handler as worker_entry
from worker_fn.clients import signed_state

QUEUE = {"VisibilityTimeout": "120", "MessageRetentionPeriod": "1209600"}


@dataclass
class Call:
    """A call that the partner received."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass
class PartnerServer:
    """An HTTP/1.1 partner that keeps connections; `answer` decides the response from the handler and the call."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    answer: Callable[[BaseHTTPRequestHandler, Call], None] = field(default=lambda handler, _: reply(handler, 200))

    def answer_with(self, *statuses: int) -> None:
        """Answer the next calls with these answers, and later ones with 200."""
        left = iter(statuses)
        self.answer = lambda handler, _: reply(handler, next(left, 200))


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"{}", **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def partner() -> Iterator[PartnerServer]:
    state = PartnerServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65_536  # one segment an answer: two cost 40 ms of delayed acknowledgement
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            call = Call(self.command, self.path, dict(self.headers), body, self.client_address[1])
            state.calls.append(call)
            state.answer(self, call)
            self.wfile.flush()

        do_PUT = do_GET = do_HEAD = do_DELETE = do_POST  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Ignore the error: in some tests the client closes the connection on purpose."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


class RawPartner:
    """A partner that writes bytes: `answer(number)` returns the pieces that it sends to its nth call (from 1). A number
    among them is a pause in seconds, `CLOSE` ends the connection, `RESET` breaks it, and after `SWALLOW` it reads
    nothing more.
    """

    CLOSE, RESET, SWALLOW = object(), object(), object()

    def __init__(self) -> None:
        self.answer: Callable[[int], list[Any]] = lambda _: [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"]
        self.heads: list[bytes] = []
        """The head of each call."""
        self.ports: list[int] = []
        """The connection that it came over, by the caller's port."""
        self._connections: list[socket.socket] = []
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, (_, port) = self._listener.accept()
                self._connections.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection, port)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket, port: int) -> None:
        with suppress(OSError), connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self._hear(connection, port):
                for piece in self.answer(len(self.heads)):
                    if not self._say(connection, piece):
                        return

    def _hear(self, connection: socket.socket, port: int) -> bool:
        head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
        if not head:
            return False
        length = next((line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), b":0")
        while len(body) < int(length.partition(b":")[2]):
            body += connection.recv(65_536)
        self.ports.append(port)
        self.heads.append(head)
        return True

    def _say(self, connection: socket.socket, piece: Any) -> bool:
        """Send a piece of an answer; returns whether more pieces can follow."""
        if isinstance(piece, bytes):
            connection.sendall(piece)
        elif isinstance(piece, float | int):
            return not self._stop.wait(piece)
        elif piece is self.CLOSE:
            connection.shutdown(socket.SHUT_RDWR)
            return False
        elif piece is self.RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            return False
        else:  # a filter that lets no packet in: not even an acknowledgement goes back
            drop = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
            program = struct.pack("HL", 1, ctypes.addressof(drop))
            connection.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER
        return True

    def close(self) -> None:
        self._stop.set()
        for one in (self._listener, *self._connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._connections):
            one.close()


@pytest.fixture
def raw_partner() -> Iterator[RawPartner]:
    partner = RawPartner()
    yield partner
    partner.close()


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """moto with one write at a time: DynamoDB makes the writes of an item one after the other, but moto's threads do
    not, and one ADD would now and then undo another's.
    """
    write, one_at_a_time = DynamoHandler.update_item, threading.Lock()

    def update_item(handler: DynamoHandler) -> Any:
        with one_at_a_time:
            return write(handler)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DynamoHandler, "update_item", update_item)
        yield from _moto_url()


def _moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@dataclass
class Queues:
    """The product's queues on moto, with what Lambda's event source mapping would do with them."""

    sqs: Any
    url: str
    dead_letter_url: str
    parking_url: str

    def receive(self) -> list[dict[str, Any]]:
        """Up to ten messages as the records of a Lambda event."""
        answer = self.sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
        )
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "messageAttributes": {
                    key: {"dataType": value["DataType"], "stringValue": value["StringValue"]}
                    for key, value in message.get("MessageAttributes", {}).items()
                },
                "eventSource": "aws:sqs",
            }
            for message in answer.get("Messages", [])
        ]

    def drain_once(self) -> dict[str, Any]:
        """One invocation of the worker; deletes the messages that it did not report as failed, as Lambda does."""
        records = self.receive()
        answer = worker_entry.handler({"Records": records}, Context())
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for record in records:
            if record["messageId"] not in failed:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=record["receiptHandle"])
        return answer

    def depth(self) -> tuple[int, int]:
        """The number of messages in the queue, visible and in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    def dead_letters(self) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(
            QueueUrl=self.dead_letter_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        return list(answer.get("Messages", []))


class Context:
    """The parts of Lambda's context that the handlers read."""

    function_name = "worker"
    memory_limit_in_mb = 256
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:worker:production"
    aws_request_id = "invocation-1"

    def __init__(self, time_s: float = 60.0) -> None:
        self._deadline = time.monotonic() + time_s

    def get_remaining_time_in_millis(self) -> int:
        return int(1000 * (self._deadline - time.monotonic()))


@pytest.fixture
def lambda_context() -> type[Context]:
    return Context


@pytest.fixture
def stack(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack as an operator finds it, with its state table only."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    dynamo = boto3.client("dynamodb", region_name="us-east-1")
    session = boto3.session.Session(region_name="us-east-1")
    with state_table(dynamo):
        yield Stack("test", "us-east-1", {"StateTableName": "state"}, session)
    dynamo.close()


@pytest.fixture
def queues(moto_url: str, partner: PartnerServer, monkeypatch: pytest.MonkeyPatch, request: Any) -> Iterator[Queues]:
    """Both functions in one process, set up with their queues and the partner."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    # A busy machine is no late AWS; test_late_sqs.py and the unit tests have that.
    monkeypatch.setattr(sender, "SEND_BUDGET_S", 30.0)
    monkeypatch.setattr(patient, "ANSWER_WITHIN_S", 30.0)
    monkeypatch.setattr(signed_state, "ANSWER_WITHIN_S", 30.0)
    sqs = boto3.client("sqs", region_name="us-east-1")
    name = f"q{abs(hash(request.node.nodeid))}"
    dead = sqs.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
    dead_arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    parking = sqs.create_queue(QueueName=f"{name}-parking")["QueueUrl"]
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 1000})
    url = sqs.create_queue(QueueName=name, Attributes={**QUEUE, "RedrivePolicy": redrive})["QueueUrl"]
    env = {
        "QUEUE_URL": url,
        "DLQ_URL": dead,
        "PARKING_QUEUE_URL": parking,
        "STATE_TABLE": "state",
        "STAGE": "test",
        "PARTNER": "partners.webhook",
        "WEBHOOK_URL": f"{partner.url}/hook",
        "ATTEMPTS": "1",
    }
    for variable, value in env.items():
        monkeypatch.setenv(variable, value)
    caches = (
        ingest_entry._settings,
        ingest_entry._queue,
        worker_entry._settings,
        worker_entry._worker,
        worker_entry._stored,
        ingest_entry._stored,
        ingest_entry._suspended,
        ingest_entry._receipts,
        ingest_entry._function_url,
    )
    for cache in caches:
        cache.cache_clear()
    dynamo = boto3.client("dynamodb", region_name="us-east-1")
    with state_table(dynamo):
        yield Queues(sqs, url, dead, parking)
    dynamo.close()
    ingest_entry._queue().close()
    for cache in caches:
        cache.cache_clear()
    for queue in (url, dead, parking):
        sqs.delete_queue(QueueUrl=queue)
    sqs.close()
