import hashlib
import http.client
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from shared.errors import QueueUnavailable
from shared.queue import ATTEMPTS, SEND_BUDGET_S, Outgoing, Sender, WorkerQueue
from shared.sigv4 import Credentials

MESSAGE = Outgoing('{"v":1,"text":"é"}', {"type": "t"}, group_id="7")
MD5 = hashlib.md5(MESSAGE.body.encode()).hexdigest()
CONFIRMED = (200, json.dumps({"MessageId": "1", "MD5OfMessageBody": MD5}).encode())

Step = tuple[int, bytes] | Exception


class Script:
    """An SQS endpoint that answers as scripted; each step may take time on the fake clock."""

    def __init__(self, steps: list[Step], *, step_s: float = 0.0) -> None:
        self.steps, self.step_s, self.now = list(steps), step_s, 0.0
        self.requests: list[dict[str, Any]] = []
        self.timeouts: list[float] = []
        self.connections = 0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Connection:
    def __init__(self, script: Script, timeout_s: float) -> None:
        self.script, self.sock = script, self
        script.connections += 1
        self.settimeout(timeout_s)

    def settimeout(self, timeout_s: float) -> None:
        self.script.timeouts.append(timeout_s)

    def connect(self) -> None: ...
    def close(self) -> None: ...

    def request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        assert (method, path) == ("POST", "/")
        assert headers["authorization"].startswith("AWS4-HMAC-SHA256 ")
        self.script.requests.append(json.loads(body))

    def getresponse(self) -> Any:
        self.script.now += self.script.step_s
        step = self.script.steps.pop(0)
        if isinstance(step, Exception):
            raise step

        class Response:
            status = step[0]
            will_close = False
            read = staticmethod(lambda: step[1])

        return Response()


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], Sender]:
    def make(script: Script) -> Sender:
        monkeypatch.setattr(
            http.client, "HTTPConnection", lambda host, port, timeout: Connection(script, timeout), raising=True
        )
        return Sender(
            "http://localhost/000000000000/q",
            endpoint="http://localhost:4566",
            region="us-east-1",
            credentials=lambda: Credentials("a", "b"),
            clock=lambda: script.now,
            sleep=script.sleep,
            rng=random.Random(1),
        )

    return make


def test_message_is_sent_with_its_attributes_and_group(sender: Callable[[Script], Sender]) -> None:
    """A message carries its attributes and the fair-queue group; the connection is kept for the next one."""
    script = Script([CONFIRMED, CONFIRMED])
    queue = sender(script)
    queue.send([MESSAGE])
    queue.send([Outgoing(MESSAGE.body, {})])
    first, second = script.requests
    assert first == {
        "QueueUrl": "http://localhost/000000000000/q",
        "MessageBody": MESSAGE.body,
        "MessageAttributes": {"type": {"DataType": "String", "StringValue": "t"}},
        "MessageGroupId": "7",
    }
    assert "MessageGroupId" not in second
    assert script.connections == 1


@pytest.mark.parametrize(
    "trouble",
    [
        TimeoutError(),
        ConnectionResetError(),
        (500, b""),
        (503, b'{"__type":"com.amazonaws.sqs#ServiceUnavailable"}'),
        (400, b'{"__type":"com.amazon.coral.availability#ThrottlingException"}'),
        (200, b'{"MD5OfMessageBody":"another"}'),
        (200, b"not json"),
        (200, b"[]"),
    ],
    ids=str,
)
def test_passing_trouble_is_retried(sender: Callable[[Script], Sender], trouble: Step) -> None:
    """Time-outs, faults, throttles and a wrong checksum are tried again after a jittered pause."""
    script = Script([trouble, CONFIRMED])
    sender(script).send([MESSAGE])
    assert len(script.requests) == 2
    assert len(script.slept) == 1


@pytest.mark.parametrize("code", ["AccessDeniedException", "QueueDoesNotExist", "InvalidMessageContents"])
def test_final_trouble_fails_at_once(sender: Callable[[Script], Sender], code: str) -> None:
    """What no retry can mend fails the invocation at once, with SQS's name for it."""
    script = Script([(400, json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": "canary"}).encode())])
    with pytest.raises(QueueUnavailable, match=code) as raised:
        sender(script).send([MESSAGE])
    assert len(script.requests) == 1
    assert "canary" not in str(raised.value)


def test_attempts_are_few(sender: Callable[[Script], Sender]) -> None:
    """A queue that stays down is asked a bounded number of times."""
    script = Script([(500, b"")] * 10)
    with pytest.raises(QueueUnavailable):
        sender(script).send([MESSAGE])
    assert len(script.requests) == ATTEMPTS


def test_sending_stays_within_its_budget(sender: Callable[[Script], Sender]) -> None:
    """Slow failures end within about a second, however many attempts are left; no attempt may run past the budget."""
    script = Script([TimeoutError()] * 10, step_s=0.6)
    with pytest.raises(QueueUnavailable, match="TimeoutError"):
        sender(script).send([MESSAGE])
    assert script.now <= SEND_BUDGET_S + 0.6
    assert script.timeouts[-1] <= SEND_BUDGET_S - sum(script.slept) - 0.6 * (len(script.timeouts) - 1) + 1e-9


def test_idle_connection_that_was_closed_costs_no_attempt(sender: Callable[[Script], Sender]) -> None:
    """A kept connection that the other end closed is replaced at once, without a pause."""
    script = Script([CONFIRMED, http.client.RemoteDisconnected(), CONFIRMED])
    queue = sender(script)
    queue.send([MESSAGE])
    queue.send([MESSAGE])
    assert script.connections == 2
    assert script.slept == []


def test_no_part_is_reported_as_sent_when_a_later_one_fails(sender: Callable[[Script], Sender]) -> None:
    """All or nothing towards mParticle: a failed second part fails the call."""
    script = Script([CONFIRMED, *[(500, b"")] * 3])
    with pytest.raises(QueueUnavailable):
        sender(script).send([MESSAGE, MESSAGE])


class FakeSqs:
    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def change_message_visibility_batch(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call)
        return {}

    def send_message(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call)
        return {}


def test_visibility_is_changed_in_batches_of_ten() -> None:
    """Twenty-three messages take three calls, and none is hidden for longer than SQS allows."""
    sqs = FakeSqs()
    waits = {f"handle-{n}": 100_000 if n == 0 else n for n in range(23)}
    WorkerQueue(sqs, queue_url="q", dead_letter_url="d").hide(waits)
    assert [len(call["Entries"]) for call in sqs.calls] == [10, 10, 3]
    hidden = {entry["ReceiptHandle"]: entry["VisibilityTimeout"] for call in sqs.calls for entry in call["Entries"]}
    assert hidden == {**waits, "handle-0": 43_200}


def test_dead_letter_keeps_the_body_and_leaves_out_empty_attributes() -> None:
    """SQS refuses empty attribute values: they are left out, the body is not touched."""
    sqs = FakeSqs()
    WorkerQueue(sqs, queue_url="q", dead_letter_url="d").dead_letter("body", {"reason": "rejected", "status": ""})
    assert sqs.calls == [
        {
            "QueueUrl": "d",
            "MessageBody": "body",
            "MessageAttributes": {"reason": {"DataType": "String", "StringValue": "rejected"}},
        }
    ]
