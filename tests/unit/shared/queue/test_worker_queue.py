from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from shared.errors import MessageRefused, QueueUnavailable
from shared.queue import WorkerQueue

RECEIVED = {
    "MessageId": "m",
    "ReceiptHandle": "h",
    "Body": "body",
    "Attributes": {"ApproximateReceiveCount": "1"},
    "MessageAttributes": {"account_id": {"DataType": "String", "StringValue": "7"}},
}


class FakeSqs:
    """A boto3 client that keeps a log; `failed` entries of a batch, or everything when `down`, fail."""

    def __init__(
        self, *, failed: Sequence[str] = (), failing: str = "", down: bool = False, messages: Sequence[Any] = ()
    ) -> None:
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.failing = failing
        self.failed, self.down, self.messages = failed, down, messages

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [call for _, call in self.log]

    def _answer(self, name: str, call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if self.down:
            raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, name)
        self.log.append((name, call))
        return answer

    def change_message_visibility_batch(self, **call: Any) -> dict[str, Any]:
        failed = [{"Id": name} for name in self.failed]
        return self._answer("change_message_visibility_batch", call, {"Failed": failed} if failed else {})

    def send_message(self, **call: Any) -> dict[str, Any]:
        return self._answer("send_message", call, {})

    def _batch(self, name: str, call: dict[str, Any]) -> dict[str, Any]:
        ids = [entry["Id"] for entry in call["Entries"]]
        failed = [{"Id": one} for one in ids if name in self.failing and one in self.failed]
        successful = [{"Id": one} for one in ids if {"Id": one} not in failed]
        return self._answer(name, call, {"Successful": successful, "Failed": failed})

    def send_message_batch(self, **call: Any) -> dict[str, Any]:
        return self._batch("send_message_batch", call)

    def delete_message_batch(self, **call: Any) -> dict[str, Any]:
        return self._batch("delete_message_batch", call)

    def delete_message(self, **call: Any) -> dict[str, Any]:
        return self._answer("delete_message", call, {})

    def receive_message(self, **call: Any) -> dict[str, Any]:
        return self._answer("receive_message", call, {"Messages": list(self.messages)} if self.messages else {})


def worker_queue(sqs: FakeSqs, parking: str = "p", main: str = "q") -> WorkerQueue:
    return WorkerQueue(sqs, queue_url=main, dead_letter_url="d", parking_url=parking)


def test_no_message_is_hidden_for_longer_than_sqs_allows() -> None:
    """Twelve hours is SQS's longest visibility timeout."""
    sqs = FakeSqs()
    assert worker_queue(sqs).hide({"a": 100_000, "b": 5}) == set()
    hidden = {entry["ReceiptHandle"]: entry["VisibilityTimeout"] for entry in sqs.calls[0]["Entries"]}
    assert hidden == {"a": 43_200, "b": 5}


def test_messages_that_could_not_be_hidden_are_named() -> None:
    """SQS may refuse some of a batch, or the whole call may fail: the caller learns which."""
    partly = FakeSqs(failed=["1"])
    assert worker_queue(partly).hide({"a": 5, "b": 5}) == {"b"}
    assert worker_queue(FakeSqs(down=True)).hide({"a": 5, "b": 5}) == {"a", "b"}


def test_dead_letter_keeps_the_body() -> None:
    """The body goes into the dead-letter queue as it is, with its reasons."""
    sqs = FakeSqs()
    worker_queue(sqs).dead_letter({**RECORD, "attributes": {}}, {"reason": "rejected"})
    assert sqs.calls == [
        {
            "QueueUrl": "d",
            "MessageBody": "body",
            "MessageAttributes": {"reason": {"DataType": "String", "StringValue": "rejected"}},
        }
    ]


def test_failed_send_is_one_error() -> None:
    """Whatever boto3 raises, the worker learns that the message is not there."""
    with pytest.raises(QueueUnavailable):
        worker_queue(FakeSqs(down=True)).dead_letter(RECORD, {})


RECORD = {
    "messageId": "m",
    "receiptHandle": "h",
    "body": "body",
    "attributes": {"MessageGroupId": "7"},
    "messageAttributes": {"account_id": {"dataType": "String", "stringValue": "7"}},
}


@pytest.mark.parametrize("parking", ["p", "p.fifo"])
def test_parked_message_keeps_body_attributes_and_group(parking: str) -> None:
    """Parking changes nothing of a message."""
    sqs = FakeSqs()
    worker_queue(sqs, parking).park(RECORD)
    [call] = sqs.calls
    assert (call["QueueUrl"], call["MessageBody"], call["MessageGroupId"]) == (parking, "body", "7")
    assert call["MessageAttributes"] == {"account_id": {"DataType": "String", "StringValue": "7"}}
    # Not the body's hash: parked again within five minutes, the same body must not be taken for a duplicate.
    assert call.get("MessageDeduplicationId") == ("m" if parking == "p.fifo" else None)


def parked(count: int, body: str = "body") -> list[dict[str, Any]]:
    return [{**RECORD, "messageId": f"m-{n}", "receiptHandle": f"h-{n}", "body": body} for n in range(count)]


def test_parked_messages_are_back_before_they_leave() -> None:
    """Moving back is send, then delete, ten at a time: at no moment is a message in neither queue."""
    sqs = FakeSqs()
    assert worker_queue(sqs).unpark(parked(12)) == set()
    names = [(name, call["QueueUrl"], len(call["Entries"])) for name, call in sqs.log]
    assert names == [
        ("send_message_batch", "q", 10),
        ("delete_message_batch", "p", 10),
        ("send_message_batch", "q", 2),
        ("delete_message_batch", "p", 2),
    ]
    [first, *_] = sqs.calls[0]["Entries"]
    attributes = {"account_id": {"DataType": "String", "StringValue": "7"}}
    assert first == {"Id": "0", "MessageBody": "body", "MessageAttributes": attributes, "MessageGroupId": "7"}


def test_messages_that_the_main_queue_does_not_take_stay_parked() -> None:
    """Of a batch that is sent in part only what was sent is deleted; the others are named."""
    sqs = FakeSqs(failing="send_message_batch", failed=["1", "3"])
    assert worker_queue(sqs).unpark(parked(4)) == {"h-1", "h-3"}
    deleted = [entry["ReceiptHandle"] for entry in sqs.calls[1]["Entries"]]
    assert deleted == ["h-0", "h-2"]


def test_delete_that_fails_is_tried_again() -> None:
    """What was sent and not deleted is in both queues: one more try, and then it is named."""
    sqs = FakeSqs(failing="delete_message_batch", failed=["0"])
    assert worker_queue(sqs).unpark(parked(3)) == {"h-0"}
    assert [len(call["Entries"]) for name, call in sqs.log if name == "delete_message_batch"] == [3, 1]


def test_nothing_is_moved_while_sqs_is_down() -> None:
    """Every message stays where it is, and is named."""
    assert worker_queue(FakeSqs(down=True)).unpark(parked(2)) == {"h-0", "h-1"}


def test_batches_stay_within_sqs_quota() -> None:
    """A batch carries a mebibyte at most, attributes included: large messages travel in smaller batches."""
    sqs = FakeSqs()
    assert worker_queue(sqs).unpark(parked(7, "é" * 174_000)) == set()  # 348,000 bytes each
    assert [len(call["Entries"]) for name, call in sqs.log if name == "send_message_batch"] == [3, 3, 1]


def test_fifo_messages_go_back_one_by_one_and_none_after_one_that_failed() -> None:
    """Order is worth more than speed: what is behind a message that did not move stays, too."""

    class FailsOnce(FakeSqs):
        def send_message(self, **call: Any) -> dict[str, Any]:
            if call["MessageDeduplicationId"] == "m-1":
                raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, "SendMessage")
            return super().send_message(**call)

    sqs = FailsOnce()
    assert worker_queue(sqs, "p.fifo", "q.fifo").unpark(parked(3)) == {"h-1", "h-2"}
    assert [name for name, _ in sqs.log] == ["send_message", "delete_message"]
    assert (sqs.calls[0]["MessageGroupId"], sqs.calls[0]["MessageDeduplicationId"]) == ("7", "m-0")


def test_received_message_is_a_record_like_lambdas() -> None:
    """What the tick takes by hand looks like what Lambda hands over."""
    sqs = FakeSqs(messages=[RECEIVED])
    assert worker_queue(sqs).take(30) == {**RECORD, "attributes": {"ApproximateReceiveCount": "1"}}
    assert worker_queue(FakeSqs()).take(30) is None


MEBIBYTE = 1_048_576
SAID = {"reason": "undecodable", "error": "the body can not be read", "partner": "webhook"}


class Strict(FakeSqs):
    """SQS with its quota and rules: what breaks them is refused, by name."""

    def _check(self, entry: Mapping[str, Any]) -> None:
        attributes = entry.get("MessageAttributes", {})
        size = len(entry["MessageBody"].encode())
        for name, one in attributes.items():
            value = one.get("StringValue", "").encode() or one.get("BinaryValue", b"")
            bad = not value or any(ord(c) < 32 and c not in "\t\n\r" for c in one.get("StringValue", ""))
            if bad or (one["DataType"] == "Number" and not one["StringValue"].isdigit()):
                raise ClientError({"Error": {"Code": "InvalidParameterValue"}}, "SendMessage")
            size += len(name) + len(one["DataType"]) + len(value)
        if size > MEBIBYTE or len(attributes) > 10:
            raise ClientError({"Error": {"Code": "AWS.SimpleQueueService.InvalidParameterValue"}}, "SendMessage")

    def send_message(self, **call: Any) -> dict[str, Any]:
        self._check(call)
        return super().send_message(**call)

    def send_message_batch(self, **call: Any) -> dict[str, Any]:
        for entry in call["Entries"]:
            self._check(entry)
        return super().send_message_batch(**call)


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("x" * MEBIBYTE, []),
        ("é" * (MEBIBYTE // 2), []),
        ("x" * (MEBIBYTE - 23), ["reason"]),
        ("x" * (MEBIBYTE - 10), []),
        ("x" * 100, list(SAID)),
    ],
    ids=["full", "full of two bytes", "room for one", "room for none", "small"],
)
def test_a_body_of_any_size_reaches_the_dead_letter_queue(body: str, kept: list[str]) -> None:
    """Attributes count towards the same mebibyte: as many go as have room, the first of them first; the log has all
    others.
    """
    sqs, lines = Strict(), list[dict[str, Any]]()
    queue = WorkerQueue(
        sqs, queue_url="q", dead_letter_url="d", parking_url="p", log=lambda text, **fields: lines.append(fields)
    )
    queue.dead_letter({**RECORD, "body": body}, SAID)
    [call] = sqs.calls
    assert call["MessageBody"] == body
    assert list(call["MessageAttributes"]) == kept
    left_out = {name: value for name, value in SAID.items() if name not in kept}
    assert lines == ([{"message_id": "m", **left_out}] if left_out else [])


FOREIGN = {
    "control characters": {"a": {"dataType": "String", "stringValue": "7\x00\x1b[31m"}},
    "a lone surrogate": {"a": {"dataType": "String", "stringValue": "\ud800"}},
    "U+FFFE": {"a": {"dataType": "String", "stringValue": "\ufffe"}},
    "no number": {"a": {"dataType": "Number", "stringValue": "seven"}},
    "an empty value": {"a": {"dataType": "String", "stringValue": ""}},
    "no value": {"a": {"dataType": "String"}},
    "no type": {"a": {"stringValue": "x"}},
    "bad base64": {"a": {"dataType": "Binary", "binaryValue": "%%"}},
    "a bad name": {"a b": {"dataType": "String", "stringValue": "x"}},
    "a name of AWS's": {"AWS.x": {"dataType": "String", "stringValue": "x"}},
    "eleven": {f"a{number}": {"dataType": "String", "stringValue": "x"} for number in range(11)},
    "too large": {"a": {"dataType": "String", "stringValue": "x" * MEBIBYTE}},
}


@pytest.mark.parametrize("attributes", FOREIGN.values(), ids=FOREIGN.keys())
@pytest.mark.parametrize("main", ["q", "q.fifo"])
def test_attributes_of_strangers_hold_nothing_up(attributes: dict[str, Any], main: str) -> None:
    """Whatever a message carries beside its body, it parks, moves back and is dead-lettered, and so do those around it;
    the account stays on it.
    """
    odd = {**RECORD, "messageAttributes": {**attributes, **RECORD["messageAttributes"]}}
    sqs = Strict()
    queue = worker_queue(sqs, "p.fifo" if main == "q.fifo" else "p", main)
    queue.park(odd)
    queue.dead_letter(odd, {"account_id": "7\x00"})
    if "no number" not in str(attributes) and "seven" not in str(attributes):
        assert sqs.calls[0]["MessageAttributes"]["account_id"] == {"DataType": "String", "StringValue": "7"}
    rows = [{**row, "attributes": {"MessageGroupId": str(n)}} for n, row in enumerate(parked(29))]
    rows.insert(4, {**odd, "messageId": "m-odd", "receiptHandle": "h-odd"})
    assert queue.unpark(rows) == set()


def test_a_message_that_sqs_refuses_holds_back_its_own_group_alone() -> None:
    """Also where it cannot be sent without its attributes: the others move, on a FIFO queue those of other groups."""

    class Refuses(Strict):
        def _check(self, entry: Mapping[str, Any]) -> None:
            if entry["MessageBody"] == "bad":
                raise ClientError({"Error": {"Code": "InvalidMessageContents"}}, "SendMessage")

    rows = [{**row, "attributes": {"MessageGroupId": f"g-{n % 3}"}} for n, row in enumerate(parked(9))]
    rows[1]["body"] = "bad"
    assert worker_queue(Refuses()).unpark(rows) == {"h-1"}
    assert worker_queue(Refuses(), "p.fifo", "q.fifo").unpark(rows) == {"h-1", "h-4", "h-7"}


def test_entries_that_are_their_senders_fault_are_sent_without_what_they_carry() -> None:
    """SQS says so of single entries of a batch."""

    class Faulty(FakeSqs):
        def send_message_batch(self, **call: Any) -> dict[str, Any]:
            answer = super().send_message_batch(**call)
            return {**answer, "Failed": [{"Id": "1", "SenderFault": True}, {"Id": "2", "SenderFault": False}],
                    "Successful": [{"Id": "0"}]}  # fmt: skip

    sqs = Faulty()
    assert worker_queue(sqs).unpark(parked(3)) == {"h-2"}
    assert [name for name, _ in sqs.log] == ["send_message_batch", "send_message", "delete_message_batch"]


def test_binary_attributes_are_parked_as_they_are() -> None:
    """Parking changes nothing of a message, whoever sent it."""
    received = {**RECEIVED, "MessageAttributes": {"a": {"DataType": "Binary.png", "BinaryValue": b"\x00\x01"}}}
    sqs = FakeSqs(messages=[received])
    queue = worker_queue(sqs)
    taken = queue.take(30)
    assert taken is not None
    assert taken["messageAttributes"] == {"a": {"dataType": "Binary.png", "binaryValue": "AAE="}}
    queue.park(taken)
    assert sqs.calls[-1]["MessageAttributes"] == {"a": {"DataType": "Binary.png", "BinaryValue": b"\x00\x01"}}


@pytest.mark.parametrize("error", [ParamValidationError(report="x"), UnicodeEncodeError("utf-8", "\ud800", 0, 1, "x")])
def test_what_boto3_has_no_form_for_is_the_messages_own_fault(error: Exception) -> None:
    """It never reaches SQS, whose queue is well."""

    class Formless(FakeSqs):
        def send_message(self, **call: Any) -> dict[str, Any]:
            raise error

    with pytest.raises(MessageRefused):
        worker_queue(Formless()).park(RECORD)
