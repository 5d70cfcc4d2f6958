"""The dead-letter queue and the main one, as an operator reaches them: by hand, with boto3.

Only `delete` takes anything out of the dead-letter queue, and whoever moves a letter sends it first.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ops.operate.depth import Depth, depth
from ops.operate.dlq.letters import KNOWN, Letter
from shared.errors import SpillwayError
from shared.queue.attributes import ENTRIES, attribute_bytes, fitting_attributes, in_batches

MOST_HANDS = 16
POLL_S = 1
"""A long poll: a short one asks only some of SQS's servers, and may miss all letters."""
_OF_THE_MESSAGE = frozenset(
    {"InvalidMessageContents", "InvalidParameterValue", "MessageTooLong", "BatchRequestTooLong"}
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_GONE = frozenset({"QueueDoesNotExist", "NonExistentQueue"})


class LettersUnavailable(SpillwayError):
    """SQS refused a call or did not answer; the text says what to do."""


@dataclass(slots=True)
class Sent:
    """Ids of the letters that a queue took, and of those that it never takes."""

    taken: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class LetterQueue:
    """One queue with letters in it. `sqs` is a boto3 client, good for several threads."""

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs = sqs
        self.url = url
        self.is_fifo = url.endswith(".fifo")

    def depth(self) -> Depth:
        with _unavailable("say how much lies there", "sqs:GetQueueAttributes"):
            return depth(self._sqs, self.url)

    def receive(self, visibility_s: int, *, most: int = ENTRIES) -> list[Letter]:
        """Receive up to `most` letters, hidden from others for so long: with several hands where that is more than ten.

        A FIFO queue is asked by one hand, as its order has to hold. A letter that SQS hands to two hands is given once.
        """
        full, rest = (0, min(most, ENTRIES)) if self.is_fifo else divmod(most, ENTRIES)
        sizes = [ENTRIES] * full + ([rest] if rest else [])
        received = _side_by_side(partial(self._receive, visibility_s), sizes)
        return list({one.id: one for found in received for one in found}.values())

    def give_back(self, handles: Sequence[str]) -> int:
        """Make received letters visible again; returns for how many that failed: they come back by themselves."""
        failed = 0
        batches = [handles[start : start + ENTRIES] for start in range(0, len(handles), ENTRIES)]
        for _ in range(0, len(batches), MOST_HANDS):
            some, batches = batches[:MOST_HANDS], batches[MOST_HANDS:]
            failed += sum(_side_by_side(self._show, some))
        return failed

    def send(self, letters: Sequence[Letter]) -> Sent:
        """Put letters into the queue, one by one if it is FIFO, because a batch that fails in part breaks its order."""
        sent = Sent()
        batches = [[one] for one in letters] if self.is_fifo else list(in_batches(letters, _bytes))
        for one in map(self._send_batch, batches) if self.is_fifo else _side_by_side(self._send_batch, batches):
            sent.taken += one.taken
            sent.refused += one.refused
        return sent

    def delete(self, letters: Sequence[Letter]) -> set[str]:
        """Delete received letters; returns the ids of those that are gone."""
        batches = [letters[start : start + ENTRIES] for start in range(0, len(letters), ENTRIES)]
        return {one for gone in _side_by_side(self._delete, batches) for one in gone}

    def _receive(self, visibility_s: int, most: int) -> list[Letter]:
        with _unavailable("hand out a letter", "sqs:ReceiveMessage"):
            answer = self._sqs.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=most,
                VisibilityTimeout=visibility_s,
                WaitTimeSeconds=POLL_S,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        return [Letter.from_sqs(message) for message in answer.get("Messages", [])]

    def _show(self, handles: Sequence[str]) -> int:
        entries = [
            {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": 0} for index, handle in enumerate(handles)
        ]
        try:
            answer = self._sqs.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)
        except (BotoCoreError, ClientError):
            return len(handles)
        return len(answer.get("Failed", []))

    def _send_batch(self, letters: Sequence[Letter]) -> Sent:
        entries = [{"Id": str(index), **_message(self, one)} for index, one in enumerate(letters)]
        try:
            with _unavailable("take a letter", "sqs:SendMessage"):
                answer = self._sqs.send_message_batch(QueueUrl=self.url, Entries=entries)
        except _Refused:  # one of them, and the call does not say which
            if len(letters) == 1:
                return Sent(refused=[letters[0].id])
            sent = Sent()
            for one in letters:
                alone = self._send_batch([one])
                sent.taken += alone.taken
                sent.refused += alone.refused
            return sent
        failed = [entry for entry in answer.get("Failed", []) if entry.get("SenderFault")]
        return Sent(
            [letters[int(entry["Id"])].id for entry in answer.get("Successful", [])],
            [letters[int(entry["Id"])].id for entry in failed],
        )

    def _delete(self, letters: Sequence[Letter]) -> list[str]:
        gone: list[str] = []
        for _ in range(2):  # what failed is tried again: it is in both queues
            left = [one for one in letters if one.id not in gone]
            if not left:
                break
            entries = [{"Id": str(index), "ReceiptHandle": one.handle} for index, one in enumerate(left)]
            with _unavailable("delete a letter", "sqs:DeleteMessage"):
                answer = self._sqs.delete_message_batch(QueueUrl=self.url, Entries=entries)
            gone += [left[int(entry["Id"])].id for entry in answer.get("Successful", [])]
        return gone


class _Refused(Exception):
    """SQS does not take this message as it is."""


@contextmanager
def _unavailable(what: str, action: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"].rpartition(".")[2]
        if code in _OF_THE_MESSAGE and action == "sqs:SendMessage":
            raise _Refused from None
        if code in _DENIED:
            raise LettersUnavailable(
                f"you may not {what}: {action} is denied."
                " infra/operator-policy.json allows it (docs/deploy.md, section 2)"
            ) from None
        if code in _GONE:
            raise LettersUnavailable("the stack's queue is gone: make deploy makes it again") from None
        raise LettersUnavailable(f"SQS does not {what} ({code}): give the same command again") from None
    except BotoCoreError as error:
        raise LettersUnavailable(f"SQS does not {what} ({type(error).__name__}): give the same command again") from None


def _side_by_side(call: Any, arguments: Sequence[Any]) -> list[Any]:
    if len(arguments) < 2:
        return [call(one) for one in arguments]
    with ThreadPoolExecutor(min(len(arguments), MOST_HANDS)) as hands:
        return list(hands.map(call, arguments))


def _message(queue: LetterQueue, letter: Letter) -> dict[str, Any]:
    """A letter as SendMessageBatch takes it.

    On a FIFO queue its id is the deduplication id: SQS takes one letter once within five minutes, and another letter
    with the same content, such as one that was dead-lettered again, at any time.
    """
    group = {"MessageGroupId": letter.group_id} if letter.group_id else {}
    if queue.is_fifo:
        group = {"MessageGroupId": letter.group_id or letter.id, "MessageDeduplicationId": letter.id[:128]}
    return {"MessageBody": letter.body, "MessageAttributes": _fitting(letter), **group}


def _fitting(letter: Letter) -> dict[str, Mapping[str, Any]]:
    """The attributes that have room beside the body, ours first."""
    names = [*(name for name in KNOWN if name in letter.attributes), *sorted(set(letter.attributes) - set(KNOWN))]
    return fitting_attributes(letter.body, {name: letter.attributes[name] for name in names})


def _bytes(letter: Letter) -> int:
    """The bytes that SQS counts: the body, and the attributes that fit beside it."""
    return len(letter.body.encode()) + sum(attribute_bytes(*pair) for pair in _fitting(letter).items())
