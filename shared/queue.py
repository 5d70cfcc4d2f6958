"""The only module that talks to SQS.

`Sender` is ingest's way in: one signed call over a kept connection, no botocore, an answer or a clear failure within
about a second. `WorkerQueue` is the worker's way to settle what it received; it uses boto3, which the Lambda runtime
has.
"""

import base64
import hashlib
import http.client
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import orjson

from shared.aws_http import AwsHttp, Unreached, error_code
from shared.errors import MessageRefused, QueueUnavailable

SEND_BUDGET_S = 1.0
"""mParticle asks for 200 ms in 99% of its calls: trying for longer serves nobody."""

ATTEMPTS = 3
"""Of what SQS surely did not take. An attempt that was sent and not answered is waited for until the budget is used up,
and is the last one: SQS may have taken it. A second one would be a second copy whenever it had, on top of the one that
mParticle's own repetition makes; waiting for the answer makes none, and finds out more often.
"""
PAUSE_S = 0.05
"""Upper bound of the first pause between two attempts; it doubles, and each pause is drawn evenly from zero to it."""

MAX_VISIBILITY_S = 43_200
"""SQS quota: 12 hours, counted from the receive."""

ENTRIES = 10
"""SQS quota: entries of one batch call."""
MAX_BATCH_BYTES = 1_048_576
"""SQS quota, since August 2025: one message, and all messages of one SendMessageBatch together, attributes included."""
MAX_ATTRIBUTES = 10
"""SQS quota for a message."""

_REFUSED = frozenset(
    {
        "InvalidMessageContents",
        "InvalidParameterValue",
        "InvalidAttributeName",
        "InvalidAttributeValue",
        "MessageTooLong",
    }
)
"""SQS's codes for what a message carries; the queue itself is well."""

_NO_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What SQS takes in no body and no attribute."""
_NAME = re.compile(r"(?!(?i:aws|amazon)\.)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")

_TRANSIENT = ("Throttl", "ServiceUnavailable", "InternalError", "InternalFailure", "KmsThrottled", "RequestTimeout")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way to the queue. `attributes` are strings.

    `group_id` is the tenant of SQS fair queues, or what stays in order on a FIFO queue; only there is there a
    `deduplication_id`.
    """

    body: str
    attributes: Mapping[str, str]
    group_id: str | None = None
    deduplication_id: str | None = None


class Sender:
    """Sends messages to one queue and believes SQS only when its MD5 of the body is ours.

    One connection, kept open between invocations; not for several threads at once (Lambda runs one invocation a
    process).
    """

    def __init__(
        self,
        queue_url: str,
        sqs: AwsHttp,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._queue_url = queue_url
        self._sqs = sqs
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret

    def close(self) -> None:
        """Close the connection; the next send opens another."""
        self._sqs.close()

    def send(self, messages: Iterable[Outgoing]) -> None:
        """Send all messages, in order. Raises QueueUnavailable unless SQS has confirmed every one of them."""
        for message in messages:
            self._send_one(message)

    def _send_one(self, message: Outgoing) -> None:
        request: dict[str, Any] = {
            "QueueUrl": self._queue_url,
            "MessageBody": message.body,
            "MessageAttributes": _as_strings(message.attributes),
        }
        if message.group_id:
            request["MessageGroupId"] = message.group_id
        if message.deduplication_id:
            request["MessageDeduplicationId"] = message.deduplication_id
        body = orjson.dumps(request)
        expected_md5 = hashlib.md5(message.body.encode(), usedforsecurity=False).hexdigest()
        give_up_at = self._clock() + SEND_BUDGET_S
        for attempt in range(1, ATTEMPTS + 1):
            problem, transient = self._attempt(body, expected_md5, give_up_at)
            if problem is None:
                return
            pause = self._rng.uniform(0, PAUSE_S * 2 ** (attempt - 1))
            if not transient or attempt == ATTEMPTS or self._clock() + pause >= give_up_at:
                raise QueueUnavailable(f"the queue did not take the message ({problem}); nothing counts as accepted")
            self._sleep(pause)

    def _attempt(self, body: bytes, expected_md5: str, give_up_at: float) -> tuple[str | None, bool]:
        """What went wrong, if anything, and whether another attempt may help."""
        kept_open = self._sqs.is_open
        timeout_s = max(0.05, give_up_at - self._clock())
        try:
            status, answer = self._sqs.call("AmazonSQS.SendMessage", body, timeout_s=timeout_s)
        except Unreached as error:
            return type(error.__cause__).__name__, True
        except TimeoutError as error:
            return type(error).__name__, False
        except (OSError, http.client.HTTPException) as error:
            if kept_open:
                # The other end closed the idle connection: no attempt at all, so it costs none.
                return self._attempt(body, expected_md5, give_up_at)
            return type(error).__name__, True
        if status != 200:
            code = error_code(answer) or str(status)
            return code, status >= 500 or status == 429 or any(word in code for word in _TRANSIENT)
        try:
            confirmed = orjson.loads(answer).get("MD5OfMessageBody")
        except (ValueError, AttributeError):
            confirmed = None
        return (None, False) if confirmed == expected_md5 else ("the queue confirmed another body", True)


class WorkerQueue:
    """What the worker does to messages that it holds: let them wait, park or dead-letter them. `sqs` is a boto3
    client.

    A body moves unchanged, always: SQS took it once. Attributes count towards the same quota: as many move with it as
    have room beside it, and none where SQS refuses the message for theirs.
    """

    def __init__(
        self,
        sqs: Any,
        *,
        queue_url: str,
        dead_letter_url: str,
        parking_url: str,
        log: Callable[..., None] = lambda *_, **__: None,
    ) -> None:
        self._log = log
        self._sqs = sqs
        self._queue_url = queue_url
        self._dead_letter_url = dead_letter_url
        self._parking_url = parking_url

    def hide(self, waits_s: Mapping[str, int]) -> set[str]:
        """Make at most ten received messages (SQS quota) invisible for so many seconds; keys are receipt handles.

        Returns the handles for which that failed: they keep the queue's own visibility timeout, and come back all the
        same, only at another time.
        """
        handles = list(waits_s)
        entries = [
            {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": min(waits_s[handle], MAX_VISIBILITY_S)}
            for index, handle in enumerate(handles)
        ]
        try:
            with _as_unavailable():
                answer = self._sqs.change_message_visibility_batch(QueueUrl=self._queue_url, Entries=entries)
        except QueueUnavailable:
            return set(handles)
        return {handles[int(entry["Id"])] for entry in answer.get("Failed", [])}

    def dead_letter(self, record: Mapping[str, Any], attributes: Mapping[str, str]) -> None:
        """Put a record's body, unchanged, into the dead-letter queue. Raises QueueUnavailable: then it must stay.

        `attributes` stand in the order of their worth; the log has those for which there is no room.
        """
        sent = self._send(self._dead_letter_url, record, _as_strings(attributes))
        if left_out := {name: value for name, value in attributes.items() if name not in sent}:
            self._log("a dead letter has no room for all attributes", message_id=record["messageId"], **left_out)

    def park(self, record: Mapping[str, Any]) -> None:
        """Put a record's body and attributes, unchanged, into the parking queue. Raises QueueUnavailable."""
        self._send(self._parking_url, record, _kept(record))

    def take(self, visibility_s: int) -> dict[str, Any] | None:
        """Receive one message of the main queue, as a Lambda record; None if none is visible."""
        records = self._receive(self._queue_url, 1, visibility_s)
        return records[0] if records else None

    def delete(self, record: Mapping[str, Any]) -> None:
        """Delete a message from the main queue."""
        with _as_unavailable():
            self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=record["receiptHandle"])

    def parked(self, sight_s: int) -> list[dict[str, Any]]:
        """Receive up to ten parked messages (SQS quota), as records, hidden for so long."""
        return self._receive(self._parking_url, 10, sight_s)

    def unpark(self, records: Sequence[Mapping[str, Any]]) -> set[str]:
        """Move parked messages back: each is in the main queue before it leaves the parking queue.

        Returns the handles for which that failed: they stay parked and are moved again, at worst a second time. On a
        FIFO queue they go one by one, and none after one that failed: batches would break their order where they fail
        in part.
        """
        if self._queue_url.endswith(".fifo"):
            return self._unpark_singly(records)
        failed: set[str] = set()
        for batch in _batches(records):
            sent = self._send_batch(batch)
            deleted = self._delete_batch(sent)
            failed |= {record["receiptHandle"] for record in batch if record["receiptHandle"] not in deleted}
        return failed

    def _unpark_singly(self, records: Sequence[Mapping[str, Any]]) -> set[str]:
        failed, held = set[str](), set[str]()
        for index, record in enumerate(records):
            group = _group(self._queue_url, record)["MessageGroupId"]
            if group in held:
                failed.add(record["receiptHandle"])
                continue
            try:
                self._send(self._queue_url, record, _kept(record))
                with _as_unavailable():
                    self._sqs.delete_message(QueueUrl=self._parking_url, ReceiptHandle=record["receiptHandle"])
            except MessageRefused:  # which holds back its own group
                failed.add(record["receiptHandle"])
                held.add(group)
            except QueueUnavailable:
                return failed | {later["receiptHandle"] for later in records[index:]}
        return failed

    def _send_batch(self, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Send up to ten records to the main queue; gives those that it took."""
        entries = [
            {
                "Id": str(index),
                "MessageBody": record["body"],
                "MessageAttributes": _fitting(record["body"], _kept(record)),
                **_group(self._queue_url, record),
            }
            for index, record in enumerate(records)
        ]
        try:
            with _as_unavailable():
                answer = self._sqs.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        except MessageRefused:  # one of them, and the call does not say which
            return [record for record in records if self._was_sent(record)]
        except QueueUnavailable:
            return []
        refused = {int(entry["Id"]) for entry in answer.get("Failed", []) if entry.get("SenderFault")}
        sent = {int(entry["Id"]) for entry in answer.get("Successful", [])}
        sent |= {index for index in refused if self._was_sent(records[index])}
        return [records[index] for index in sorted(sent)]

    def _was_sent(self, record: Mapping[str, Any]) -> bool:
        """Send one record to the main queue by itself."""
        try:
            self._send(self._queue_url, record, _kept(record))
        except QueueUnavailable:
            return False
        return True

    def _delete_batch(self, records: Sequence[Mapping[str, Any]]) -> set[str]:
        """Delete records of the parking queue; gives the handles of those that are gone. What failed is tried again:
        they are in both queues.
        """
        handles = [record["receiptHandle"] for record in records]
        deleted: set[str] = set()
        for _ in range(2):
            left = [handle for handle in handles if handle not in deleted]
            if not left:
                break
            entries = [{"Id": str(index), "ReceiptHandle": handle} for index, handle in enumerate(left)]
            with suppress(QueueUnavailable), _as_unavailable():
                answer = self._sqs.delete_message_batch(QueueUrl=self._parking_url, Entries=entries)
                deleted |= {left[int(entry["Id"])] for entry in answer.get("Successful", [])}
        return deleted

    def _receive(self, url: str, count: int, visibility_s: int) -> list[dict[str, Any]]:
        with _as_unavailable():
            answer = self._sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=count,
                VisibilityTimeout=visibility_s,
                WaitTimeSeconds=1,  # a short poll asks only some of SQS's servers
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        return [_as_record(message) for message in answer.get("Messages", [])]

    def _send(self, url: str, record: Mapping[str, Any], attributes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a record's body on, in its group; gives the attributes that went with it."""
        fitting = _fitting(record["body"], attributes)
        try:
            self._send_with(url, record, fitting)
        except MessageRefused:
            if not fitting:
                raise
            fitting = {}
            self._send_with(url, record, fitting)
        return fitting

    def _send_with(self, url: str, record: Mapping[str, Any], attributes: Mapping[str, Any]) -> None:
        with _as_unavailable():
            self._sqs.send_message(
                QueueUrl=url, MessageBody=record["body"], MessageAttributes=attributes, **_group(url, record)
            )


@contextmanager
def _as_unavailable() -> Iterator[None]:
    """Turn boto3's errors into QueueUnavailable; of these, into MessageRefused what is said of the message alone."""
    from botocore.exceptions import (  # noqa: PLC0415 - ingest has this module without boto3
        BotoCoreError,
        ClientError,
        ParamValidationError,
    )

    try:
        yield
    except (ParamValidationError, UnicodeError) as error:
        raise MessageRefused(f"SQS has no form for it ({type(error).__name__})") from None
    except (BotoCoreError, ClientError) as error:
        code = error.response["Error"]["Code"].rpartition(".")[2] if isinstance(error, ClientError) else ""
        if code in _REFUSED:
            raise MessageRefused(f"SQS does not take this message ({code})") from None
        raise QueueUnavailable(f"SQS did not do it ({type(error).__name__})") from None


def _as_strings(attributes: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    return {name: {"DataType": "String", "StringValue": _clean(value)} for name, value in attributes.items() if value}


def _clean(text: str) -> str:
    return _NO_CHARACTER.sub("\ufffd", text)


def _fitting(body: str, attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The attributes that have room beside a body, the first ones first."""
    room = MAX_BATCH_BYTES - len(body.encode("utf-8", "surrogatepass"))
    fitting: dict[str, Mapping[str, Any]] = {}
    for name, one in attributes.items():
        used = _attribute_bytes(name, one)
        if used <= room and len(fitting) < MAX_ATTRIBUTES:
            fitting[name] = one
            room -= used
    return fitting


def _group(url: str, record: Mapping[str, Any]) -> dict[str, str]:
    """A record's group, for whatever queue it goes to.

    On a FIFO queue the id of the message that is moved is what it is a duplicate of: SQS drops another move of the
    same one, and takes a later one of the same content.
    """
    group_id = record["attributes"].get("MessageGroupId")
    group = {"MessageGroupId": group_id} if group_id else {}
    if url.endswith(".fifo"):
        group |= {"MessageGroupId": group_id or record["messageId"], "MessageDeduplicationId": record["messageId"]}
    return group


def _batches(records: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Cut records into what one SendMessageBatch may carry."""
    batch: list[Mapping[str, Any]] = []
    used = 0
    for record in records:
        size = _size(record)
        if batch and (len(batch) == ENTRIES or used + size > MAX_BATCH_BYTES):
            yield batch
            batch, used = [], 0
        batch.append(record)
        used += size
    if batch:
        yield batch


def _size(record: Mapping[str, Any]) -> int:
    """Bytes that SQS counts: the body, and of each attribute its name, type and value."""
    attributes = _fitting(record["body"], _kept(record))
    body_bytes = len(record["body"].encode("utf-8", "surrogatepass"))
    return body_bytes + sum(_attribute_bytes(name, one) for name, one in attributes.items())


def _attribute_bytes(name: str, one: Mapping[str, Any]) -> int:
    value = one["BinaryValue"] if "BinaryValue" in one else one["StringValue"].encode()
    return len(name.encode()) + len(one["DataType"].encode()) + len(value)


def _as_record(message: Mapping[str, Any]) -> dict[str, Any]:
    """A received message as Lambda hands it over."""
    attributes = {
        name: {"dataType": value["DataType"], "binaryValue": base64.b64encode(value["BinaryValue"]).decode()}
        if "BinaryValue" in value
        else {"dataType": value["DataType"], "stringValue": value.get("StringValue", "")}
        for name, value in message.get("MessageAttributes", {}).items()
    }
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": attributes,
    }


def _kept(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A Lambda record's message attributes as SendMessage takes them, ours before others'; what SQS cannot have handed
    over is left out.
    """
    given = record.get("messageAttributes") or {}
    kept = {}
    for name in sorted(given, key=lambda name: name not in OURS):
        one = _attribute(given[name])
        if one is not None and _NAME.fullmatch(name):
            kept[name] = one
    return kept


OURS = ("account_id", "type")
"""The attributes that ingest gives a message."""


def _attribute(value: Mapping[str, Any]) -> dict[str, Any] | None:
    kind, text, binary = value.get("dataType"), value.get("stringValue"), value.get("binaryValue")
    if not isinstance(kind, str):
        return None
    if isinstance(text, str) and text:
        return {"DataType": kind, "StringValue": _clean(text)}
    try:
        content = base64.b64decode(binary, validate=True) if isinstance(binary, str) else b""
    except ValueError:
        return None
    return {"DataType": kind, "BinaryValue": content} if content else None
