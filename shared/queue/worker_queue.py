"""How the worker settles messages that it received: by boto3, which the Lambda runtime has."""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from shared.errors import MessageRefused, QueueUnavailable
from shared.queue.attributes import (
    fitting_attributes,
    in_batches,
    kept_attributes,
    message_bytes,
    string_attributes,
)

MAX_VISIBILITY_S = 43_200
"""SQS quota: 12 hours, counted from the receive."""

_REFUSED = frozenset(
    {
        "InvalidMessageContents",
        "InvalidParameterValue",
        "InvalidAttributeName",
        "InvalidAttributeValue",
        "MessageTooLong",
    }
)
"""SQS's error codes for a message's content; the queue itself is well."""


class WorkerQueue:
    """Hides, parks or dead-letters messages that the worker received. `sqs` is a boto3 client.

    A body always moves unchanged: SQS took it once. Attributes count towards the same quota: as many move with the body
    as have room beside it, and none if SQS refuses the message because of them.
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
        """Make at most ten received messages (SQS quota) invisible, each for its number of seconds, by receipt handle.

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

        `attributes` are in order of importance; the log has those for which there is no room.
        """
        sent = self._send(self._dead_letter_url, record, string_attributes(attributes))
        if left_out := {name: value for name, value in attributes.items() if name not in sent}:
            self._log("a dead letter has no room for all attributes", message_id=record["messageId"], **left_out)

    def park(self, record: Mapping[str, Any]) -> None:
        """Put a record's body and attributes, unchanged, into the parking queue. Raises QueueUnavailable."""
        self._send(self._parking_url, record, kept_attributes(record))

    def take(self, visibility_s: int) -> dict[str, Any] | None:
        """Receive one message of the main queue, as a Lambda record; None if none is visible."""
        records = self._receive(self._queue_url, 1, visibility_s)
        return records[0] if records else None

    def delete(self, record: Mapping[str, Any]) -> None:
        """Delete a message from the main queue."""
        with _as_unavailable():
            self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=record["receiptHandle"])

    def parked(self, sight_s: int) -> list[dict[str, Any]]:
        """Receive up to ten parked messages (SQS quota), as records, hidden for `sight_s` seconds."""
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
        for batch in in_batches(records, message_bytes):
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
                self._send(self._queue_url, record, kept_attributes(record))
                with _as_unavailable():
                    self._sqs.delete_message(QueueUrl=self._parking_url, ReceiptHandle=record["receiptHandle"])
            except MessageRefused:  # which holds back its own group
                failed.add(record["receiptHandle"])
                held.add(group)
            except QueueUnavailable:
                return failed | {later["receiptHandle"] for later in records[index:]}
        return failed

    def _send_batch(self, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Send up to ten records to the main queue; returns those that it took."""
        entries = [
            {
                "Id": str(index),
                "MessageBody": record["body"],
                "MessageAttributes": fitting_attributes(record["body"], kept_attributes(record)),
                **_group(self._queue_url, record),
            }
            for index, record in enumerate(records)
        ]
        try:
            with _as_unavailable():
                answer = self._sqs.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        except MessageRefused:  # one of them is to blame, and the answer does not say which
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
            self._send(self._queue_url, record, kept_attributes(record))
        except QueueUnavailable:
            return False
        return True

    def _delete_batch(self, records: Sequence[Mapping[str, Any]]) -> set[str]:
        """Delete records of the parking queue; returns the handles of those that are gone. Failed ones are tried again,
        because they are in both queues.
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
        """Send a record's body on, in its group; returns the attributes that went with it."""
        fitting = fitting_attributes(record["body"], attributes)
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
    """Turn boto3's errors into QueueUnavailable; into MessageRefused, a kind of it, if only the message is at fault."""
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


def _group(url: str, record: Mapping[str, Any]) -> dict[str, str]:
    """A record's group, for the queue that it is sent to.

    On a FIFO queue the deduplication id is the id of the message that is moved: SQS drops another move of the same
    message, but takes a later message with the same content.
    """
    group_id = record["attributes"].get("MessageGroupId")
    group = {"MessageGroupId": group_id} if group_id else {}
    if url.endswith(".fifo"):
        group |= {"MessageGroupId": group_id or record["messageId"], "MessageDeduplicationId": record["messageId"]}
    return group


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
