"""An SQS that answers late, over real sockets: how many copies of a request the queue then holds."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.aws_http import AwsHttp
from shared.errors import QueueUnavailable
from shared.queue import SEND_BUDGET_S, Outgoing, Sender
from shared.sigv4 import Credentials

MESSAGE = Outgoing('{"v":1}', {"type": "t"})


@pytest.fixture
def late() -> Iterator[Callable[[float], tuple[Sender, list[str]]]]:
    """Make a queue that takes each message at once but answers later; returns its sender and its messages."""
    servers = []

    def make(after_s: float) -> tuple[Sender, list[str]]:
        taken: list[str] = []

        class Sqs(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["MessageBody"]
                taken.append(body)
                time.sleep(after_s)  # what is tested is that the sender waits
                answer = json.dumps({"MD5OfMessageBody": hashlib.md5(body.encode()).hexdigest()}).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Sqs)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        endpoint = f"http://127.0.0.1:{server.server_port}"
        sqs = AwsHttp("sqs", endpoint=endpoint, region="us-east-1", credentials=lambda: Credentials("a", "b"))
        return Sender(f"{endpoint}/0/q", sqs), taken

    yield make
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_answer_that_comes_late_is_waited_for(late: Callable[[float], tuple[Sender, list[str]]]) -> None:
    """An answer after 0.7 s is waited for, so the queue holds one copy; a second attempt would have made two."""
    sender, taken = late(0.7 * SEND_BUDGET_S)
    sender.send([MESSAGE])
    sender.close()
    assert taken == [MESSAGE.body]


def test_an_answer_that_never_comes_is_one_copy_at_most(late: Callable[[float], tuple[Sender, list[str]]]) -> None:
    """If no answer comes the request is refused, although SQS holds it: only mParticle's repetition adds a copy."""
    sender, taken = late(1.2 * SEND_BUDGET_S)
    with pytest.raises(QueueUnavailable, match="TimeoutError"):
        sender.send([MESSAGE])
    assert taken == [MESSAGE.body]
