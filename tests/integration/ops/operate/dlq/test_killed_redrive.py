"""kill -9 at random points of a redrive of thousands, and the same command again: a process of its own, an SQS by HTTP.

The SQS is the one in memory, whose clock is the test's: what a killed run held is back in sight when the test says so.
"""

import json
import os
import random
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ops.operate.dlq.look import HIDDEN_S
from shared.message import EVENTS, Head, encode, to_json
from tests.fakes.clock import Clock
from tests.fakes.sqs import MemorySqs

ROOT = Path(__file__).parents[5]
LETTERS = 2_000
PER_S = 500
STRIDE = 100
"""Letters under way at once at this rate: ten hands, ten letters each."""

REDRIVE = """
import sys
from contextlib import nullcontext
from ops.console.screen import Screen
from ops.operate import trail
from ops.operate.dlq import forecast, order, queues
from ops.operate.dlq.desk import Desk
from ops.operate.dlq.filters import Filter
from ops.operate.stack import Stack
from testkit.state import MemoryState
import boto3
queues.POLL_S = 0
env = {"PARTNER": "partners.webhook", "WEBHOOK_URL": "http://127.0.0.1:9/h"}
forecast.deployed_partner = lambda *_: forecast.partner_of(env)
trail.act = lambda *_, **__: nullcontext(trail.Act(0, "", ""))
Stack.state = lambda *_, **__: MemoryState()
outputs = {"QueueUrl": sys.argv[1] + "/main", "DlqUrl": sys.argv[1] + "/dlq"}
stack = Stack("test", "us-east-1", outputs, boto3.session.Session(region_name="us-east-1"))
asked = order.Order(Filter(reasons={"rejected"}, accounts={"7"}), is_yes=True, per_s=float(sys.argv[2]))
sys.exit(order.redrive(Desk(stack, Screen()), asked))
"""


@dataclass
class Server:
    """SQS by HTTP, which kills its client at one call, before the call takes effect or after."""

    sqs: MemorySqs
    url: str = ""
    kills_at: int = -1
    is_done_before: bool = False
    client: "subprocess.Popen[str] | None" = None
    calls: int = 0
    lock: Any = field(default_factory=threading.Lock)

    def answer(self, call: str, given: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to a call; None if the client was killed."""
        with self.lock:
            self.calls += 1
            if self.client is not None and self.calls == self.kills_at:
                if self.is_done_before:
                    getattr(self.sqs, call)(**given)
                self.client.kill()
                self.client.wait()
            gone = self.client is None or self.client.poll() is not None
            return None if gone else getattr(self.sqs, call)(**given)


@contextmanager
def serving(server: Server) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            name = self.headers["X-Amz-Target"].rpartition(".")[2]
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = server.answer(re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower(), given)
            body = json.dumps(found or {}).encode()
            try:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None: ...

    class Http(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Ignore the error: a killed client breaks its connection."""

    with Http(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            http.shutdown()
            thread.join()


def body(request_id: str) -> str:
    request = {
        "type": EVENTS,
        "id": request_id,
        "account": {"account_id": 7, "account_settings": {"apiKey": "key"}},
        "events": [{"type": "custom_event", "id": request_id}],
    }
    (text,) = encode(Head(request_id, EVENTS, "7", 1_789_999_000_000), to_json(request))
    return text


def test_a_redrive_of_thousands_is_killed_at_random_points_and_goes_on(tmp_path: Path) -> None:
    """No letter is lost, letters that do not match stay, and each kill doubles at most the letters that were
    under way.
    """
    clock, rng = Clock(), random.Random(12)
    server = Server(MemorySqs(clock))
    meant = set()
    with serving(server):
        for number in range(LETTERS):
            said = {"reason": "rejected" if number % 3 else "unmappable", "account_id": "7", "type": EVENTS}
            text = body(f"r{number}")
            server.sqs.put(f"{server.url}/dlq", text, **said)
            meant |= {text} if number % 3 else set()
        env = {
            **os.environ, "PYTHONPATH": str(ROOT), "AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip
        kills, is_over = 0, False
        while not is_over:
            server.kills_at, server.is_done_before = server.calls + rng.randint(2, LETTERS // 3), rng.random() < 0.5
            with server.lock:
                server.client = subprocess.Popen(
                    [sys.executable, "-c", REDRIVE, server.url, str(PER_S)],
                    env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                )  # fmt: skip
            with server.client as running:
                output, _ = running.communicate(timeout=240)
            is_over = running.returncode == 0
            assert is_over or running.returncode == -9, output
            kills += not is_over
            clock.sleep(HIDDEN_S + 1)
        sent, left = Counter(server.sqs.bodies(f"{server.url}/main")), server.sqs.bodies(f"{server.url}/dlq")
    assert set(sent) == meant
    assert len(left) == LETTERS - len(meant)
    assert not set(left) & meant
    assert kills >= 3
    assert sent.total() - len(sent) <= STRIDE * kills
