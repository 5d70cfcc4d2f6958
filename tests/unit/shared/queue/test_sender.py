import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from shared import http11
from shared.aws_http import CONNECT_TIMEOUT_S, AwsHttp
from shared.errors import QueueUnavailable
from shared.queue import SEND_ATTEMPTS, SEND_BUDGET_S, Outgoing, Sender
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
        self.unreached: list[Exception] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Connection:
    def __init__(self, script: Script, timeout_s: float) -> None:
        self.script, self.is_kept = script, True
        script.connections += 1
        self.settimeout(timeout_s)
        if script.unreached:
            raise script.unreached.pop(0)

    def settimeout(self, timeout_s: float) -> None:
        self.script.timeouts.append(timeout_s)

    def close(self) -> None: ...

    def post(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        assert headers["authorization"].startswith("AWS4-HMAC-SHA256 ")
        self.script.requests.append(json.loads(body))
        self.script.now += self.script.step_s
        step = self.script.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], Sender]:
    def make(script: Script, **options: Any) -> Sender:
        monkeypatch.setattr(http11, "connect", lambda host, port, timeout_s, tls: Connection(script, timeout_s))
        return Sender(
            "http://localhost/000000000000/q",
            AwsHttp(
                "sqs",
                endpoint="http://localhost:4566",
                region="us-east-1",
                credentials=lambda: Credentials("a", "b"),
            ),
            clock=lambda: script.now,
            sleep=script.sleep,
            rng=random.Random(1),
            **options,
        )

    return make


def test_the_ids_of_what_was_queued_are_given(sender: Callable[..., Sender]) -> None:
    """SQS's own, one for each message, in order."""
    other = (200, json.dumps({"MessageId": "2", "MD5OfMessageBody": MD5}).encode())
    assert sender(Script([CONFIRMED, other])).send([MESSAGE, MESSAGE]) == ["1", "2"]


def test_a_trace_travels_beside_the_message_if_it_is_switched_on(sender: Callable[..., Sender]) -> None:
    """As SQS's own attribute, which is none of the message's ten; without one nothing is said."""
    script = Script([CONFIRMED, CONFIRMED])
    sender(script, trace=lambda: "Root=1-2-3;Sampled=1").send([MESSAGE])
    sender(script).send([MESSAGE])
    traced, plain = script.requests
    header = {"DataType": "String", "StringValue": "Root=1-2-3;Sampled=1"}
    assert traced["MessageSystemAttributes"] == {"AWSTraceHeader": header}
    assert traced["MessageAttributes"] == plain["MessageAttributes"]
    assert "MessageSystemAttributes" not in plain


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
    """Faults, throttles and a wrong checksum are tried again after a jittered pause."""
    script = Script([trouble, CONFIRMED])
    sender(script).send([MESSAGE])
    assert len(script.requests) == 2
    assert len(script.slept) == 1


def test_what_sqs_may_have_taken_is_not_sent_again(sender: Callable[[Script], Sender]) -> None:
    """An attempt that is not answered has all of the budget, and is the last: a second one could be a second copy."""
    script = Script([TimeoutError(), CONFIRMED], step_s=SEND_BUDGET_S)
    with pytest.raises(QueueUnavailable, match="TimeoutError"):
        sender(script).send([MESSAGE])
    assert len(script.requests) == 1
    assert script.timeouts == [CONNECT_TIMEOUT_S, SEND_BUDGET_S]


def test_what_did_not_reach_sqs_is_tried_again(sender: Callable[[Script], Sender]) -> None:
    """No connection within a moment: nothing was sent, so nothing can be there twice."""
    script = Script([CONFIRMED])
    script.unreached = [TimeoutError(), ConnectionRefusedError()]
    sender(script).send([MESSAGE])
    assert (script.connections, len(script.requests)) == (3, 1)


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
    assert len(script.requests) == SEND_ATTEMPTS


def test_sending_stays_within_its_budget(sender: Callable[[Script], Sender]) -> None:
    """Slow failures end within about a second, however many attempts are left; no attempt may run past the budget."""
    script = Script([(503, b"")] * 10, step_s=0.6)
    with pytest.raises(QueueUnavailable, match="503"):
        sender(script).send([MESSAGE])
    assert script.now <= SEND_BUDGET_S + 0.6
    assert script.timeouts[-1] <= SEND_BUDGET_S - sum(script.slept) - 0.6 * (len(script.requests) - 1) + 1e-9


def test_idle_connection_that_was_closed_costs_no_attempt(sender: Callable[[Script], Sender]) -> None:
    """A kept connection that the other end closed is replaced at once, without a pause."""
    script = Script([CONFIRMED, ConnectionResetError(), CONFIRMED])
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


def test_fifo_message_carries_its_deduplication_id(sender: Callable[[Script], Sender]) -> None:
    """On a FIFO queue a message says what it is a duplicate of."""
    script = Script([CONFIRMED])
    sender(script).send([Outgoing(MESSAGE.body, {}, group_id="g", deduplication_id="d")])
    assert (script.requests[0]["MessageGroupId"], script.requests[0]["MessageDeduplicationId"]) == ("g", "d")
