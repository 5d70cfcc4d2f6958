"""How ingest enqueues: one signed call over a kept connection, without botocore, with an answer or a clear failure
within about a second.
"""

import hashlib
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from shared.aws_http import SHORTEST_S, AwsHttp, Unreached, error_code
from shared.errors import QueueUnavailable
from shared.queue.attributes import string_attributes

SEND_BUDGET_S = 1.0
"""mParticle asks for 200 ms in 99% of its calls: trying for longer is of no use."""

SEND_ATTEMPTS = 3
"""The most attempts: after no connection, a broken one, a throttle, a 5xx or a wrong checksum. If one was sent and is
not answered, SQS may have taken it: it is the last, and ingest waits for its answer until the budget is used up.
Another attempt could make a second copy, on top of the one from mParticle's own repetition; waiting makes none, and
more often learns that SQS has taken it.
"""
PAUSE_S = 0.05
"""Upper bound of the first pause between two attempts; it doubles, and each pause is drawn evenly from zero to it."""

_TRANSIENT = ("Throttl", "ServiceUnavailable", "InternalError", "InternalFailure", "KmsThrottled", "RequestTimeout")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way to the queue. `attributes` are strings.

    `group_id` is the tenant of SQS fair queues, or the group that stays in order on a FIFO queue; only a FIFO queue has
    a `deduplication_id`.
    """

    body: str
    attributes: Mapping[str, str]
    group_id: str | None = None
    deduplication_id: str | None = None


class Sender:
    """Sends messages to one queue and believes SQS only when its MD5 of the body is ours.

    `trace` gives the X-Ray header that a message carries on; it is not part of the body, nor of its quota.

    One connection, kept open between invocations; not to be used by several threads at once (Lambda runs one invocation
    a process).
    """

    def __init__(
        self,
        queue_url: str,
        sqs: AwsHttp,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
        trace: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._queue_url = queue_url
        self._sqs = sqs
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._trace = trace
        self._message_id = ""
        """SQS's id of the message that it confirmed last."""

    def close(self) -> None:
        """Close the connection; the next send opens another."""
        self._sqs.close()

    def send(self, messages: Iterable[Outgoing]) -> list[str]:
        """Send all messages, in order; returns SQS's ids of them. Raises QueueUnavailable unless SQS has confirmed
        every one of them.
        """
        return [self._send_one(message) for message in messages]

    def _send_one(self, message: Outgoing) -> str:
        request: dict[str, Any] = {
            "QueueUrl": self._queue_url,
            "MessageBody": message.body,
            "MessageAttributes": string_attributes(message.attributes),
        }
        if message.group_id:
            request["MessageGroupId"] = message.group_id
        if message.deduplication_id:
            request["MessageDeduplicationId"] = message.deduplication_id
        if trace := self._trace():
            request["MessageSystemAttributes"] = {"AWSTraceHeader": {"DataType": "String", "StringValue": trace}}
        body = orjson.dumps(request)
        expected_md5 = hashlib.md5(message.body.encode(), usedforsecurity=False).hexdigest()
        give_up_at = self._clock() + SEND_BUDGET_S
        for attempt in range(1, SEND_ATTEMPTS + 1):
            problem, transient = self._attempt(body, expected_md5, give_up_at)
            if problem is None:
                return self._message_id
            pause = self._rng.uniform(0, PAUSE_S * 2 ** (attempt - 1))
            if not transient or attempt == SEND_ATTEMPTS or self._clock() + pause >= give_up_at:
                raise QueueUnavailable(f"the queue did not take the message ({problem}); nothing counts as accepted")
            self._sleep(pause)
        raise AssertionError  # the last attempt returned or raised

    def _attempt(self, body: bytes, expected_md5: str, give_up_at: float) -> tuple[str | None, bool]:
        """Try to send; returns the problem, if there is one, and whether another attempt may help."""
        timeout_s = max(SHORTEST_S, give_up_at - self._clock())
        try:
            status, answer = self._sqs.call("AmazonSQS.SendMessage", body, timeout_s=timeout_s)
        except Unreached as error:
            return type(error.__cause__).__name__, True
        except TimeoutError as error:
            return type(error).__name__, False
        except OSError as error:
            return type(error).__name__, True
        if status != 200:
            code = error_code(answer) or str(status)
            return code, status >= 500 or status == 429 or any(word in code for word in _TRANSIENT)
        try:
            said = orjson.loads(answer)
            confirmed, self._message_id = said.get("MD5OfMessageBody"), str(said.get("MessageId") or "")
        except (ValueError, AttributeError):
            confirmed = None
        return (None, False) if confirmed == expected_md5 else ("the queue confirmed another body", True)
