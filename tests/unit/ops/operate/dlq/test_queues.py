from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from ops.operate.dlq.letters import Letter
from ops.operate.dlq.queues import LetterQueue, LettersUnavailable
from tests.fakes.clock import Clock
from tests.fakes.sqs import MemorySqs


class Refusing:
    """A client that answers every call with an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, _: str) -> Any:
        def call(**_: Any) -> Any:
            raise self.error

        return call


def said(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "arn:aws:iam::123456789012:user/CANARY"}}, "Call")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (said("AccessDenied"), "sqs:ReceiveMessage is denied. infra/operator-policy.json allows it"),
        (said("AWS.SimpleQueueService.NonExistentQueue"), "the stack's queue is gone: make deploy makes it again"),
        (said("QueueDoesNotExist"), "the stack's queue is gone: make deploy makes it again"),
        (said("RequestThrottled"), "SQS does not hand out a letter (RequestThrottled): give the same command again"),
        (EndpointConnectionError(endpoint_url="x"), "SQS does not hand out a letter (EndpointConnectionError)"),
    ],
)
def test_what_sqs_does_not_do_is_a_line_that_says_what_to_do(error: Exception, text: str) -> None:
    """And nothing of what it said itself."""
    with pytest.raises(LettersUnavailable) as raised:
        LetterQueue(Refusing(error), "dlq").receive(10)
    assert text in str(raised.value)
    assert "CANARY" not in str(raised.value)


@pytest.mark.parametrize("code", ["AccessDenied", "ServiceUnavailable"])
def test_letters_that_cannot_be_given_back_come_back_by_themselves(code: str) -> None:
    assert LetterQueue(Refusing(said(code)), "dlq").give_back(["a", "b"]) == 2


class Doubling(MemorySqs):
    """SQS that hides nothing: it hands its letters to everybody who asks."""

    def receive_message(self, **asked: Any) -> dict[str, Any]:
        return super().receive_message(**{**asked, "VisibilityTimeout": 0})


def test_a_letter_that_two_hands_received_is_one() -> None:
    """Standard queues hand out a message twice now and then: a redrive would send both."""
    sqs = Doubling(Clock())
    for number in range(3):
        sqs.put("dlq", f"b{number}")
    found = LetterQueue(sqs, "dlq").receive(10, most=30)
    assert sorted(letter.body for letter in found) == ["b0", "b1", "b2"]


class Picky(MemorySqs):
    """SQS that takes no message with this body, and refuses a batch with it whole or in part."""

    bad = "bad"
    is_whole = True

    def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> dict[str, Any]:  # noqa: N803
        refused = [entry for entry in Entries if entry["MessageBody"] == self.bad]
        if refused and self.is_whole:
            raise said("InvalidMessageContents")
        answer = super().send_message_batch(QueueUrl=QueueUrl, Entries=[one for one in Entries if one not in refused])
        return {**answer, "Failed": [{"Id": one["Id"], "SenderFault": True} for one in refused]}


@pytest.mark.parametrize("url", ["main", "main.fifo"])
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_letter_that_sqs_refuses_costs_its_neighbours_nothing(url: str, is_whole: bool) -> None:
    sqs = Picky(Clock())
    sqs.is_whole = is_whole
    sent = LetterQueue(sqs, url).send([Letter(f"i{n}", "bad" if n == 3 else f"b{n}") for n in range(25)])
    assert (len(sent.taken), sent.refused) == (24, ["i3"])
    assert len(sqs.bodies(url)) == 24


def test_a_batch_carries_what_sqs_takes_at_once() -> None:
    """Ten messages and a mebibyte."""
    sizes: list[tuple[int, int]] = []

    class Weighing(MemorySqs):
        def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> dict[str, Any]:  # noqa: N803
            sizes.append((len(Entries), sum(len(one["MessageBody"]) for one in Entries)))
            return super().send_message_batch(QueueUrl=QueueUrl, Entries=Entries)

    letters = [Letter(f"i{n}", "x" * size) for n, size in enumerate([400_000] * 5 + [10] * 25 + [1_048_576] * 2)]
    assert len(LetterQueue(Weighing(Clock()), "main").send(letters).taken) == 32
    assert all(count <= 10 and size <= 1_048_576 for count, size in sizes)
