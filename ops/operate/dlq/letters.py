"""A dead letter, and what may be shown of it.

Anything may lie in the queue: messages that SQS itself moved there without a reason, those of another program, a body
that cannot be read. By default only values in the form in which Spillway writes them are shown; all else is `other`.
`--reveal` shows the body and the other attributes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from ops.console.addresses import without_addresses
from shared.errors import UndecodableMessage
from shared.message import QUEUED_TYPES, Message, decode
from worker_fn.batch.disposition import Reason

REASONS = frozenset(map(str, Reason))
NO_REASON = "none"
"""SQS moved the letter after 1,000 receives: a worker died of it each time."""
OTHER = "other"
"""A value that Spillway does not write."""

KNOWN = (
    "redriven_ms",
    "history",
    "account_id",
    "type",
    "reason",
    "error",
    "status",
    "attempts",
    "partner",
    "first_received_ms",
)
"""Spillway's attributes of a letter, the most important first."""

MAX_ERROR = 256
_ACCOUNT = re.compile(r"[0-9]{1,19}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HISTORY = re.compile(r"[0-9]{1,6}( [a-z_]{1,20}(:[0-9]{3})?)*")


def counted(letters: int) -> str:
    """How many letters, in words."""
    return "1 letter" if letters == 1 else f"{letters:,} letters"


@dataclass(frozen=True)
class Letter:
    """A message of the dead-letter queue, as it was received. `attributes` are as SendMessage takes them."""

    id: str
    body: str = field(repr=False)
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    sent_ms: int = 0
    """When it came into the dead-letter queue, by SQS's clock."""
    group_id: str | None = None
    handle: str = field(default="", repr=False)

    @classmethod
    def from_sqs(cls, message: Mapping[str, Any]) -> Self:
        """The letter that ReceiveMessage gave."""
        system = message.get("Attributes", {})
        given = message.get("MessageAttributes", {})
        sent = str(system.get("SentTimestamp", ""))
        return cls(
            id=message["MessageId"],
            body=message["Body"],
            attributes={name: _plain(one) for name, one in given.items()},
            sent_ms=int(sent) if sent.isdecimal() and len(sent) < 16 else 0,
            group_id=system.get("MessageGroupId"),
            handle=message["ReceiptHandle"],
        )

    def said(self, name: str) -> str:
        """An attribute's text; empty if it is missing or no text."""
        value = self.attributes.get(name, {}).get("StringValue", "")
        return value if isinstance(value, str) else ""

    @cached_property
    def message(self) -> Message | None:
        """The message in its body; None if it cannot be read."""
        try:
            return decode(self.body)
        except UndecodableMessage:
            return None

    @property
    def reason(self) -> str:
        return _known(self.said("reason"), self.said("reason") in REASONS, NO_REASON)

    @property
    def status(self) -> str:
        """The partner's status, `-` if it did not answer."""
        said = self.said("status")
        return _known(said, said.isascii() and said.isdecimal() and len(said) == 3, "-")

    @property
    def error(self) -> str:
        """The error in the worker's words, which hold nothing of the payload; empty if the words are not its own."""
        said = self.said("error")
        return without_addresses(said[:MAX_ERROR]) if self.reason in REASONS and said.isprintable() else ""

    @property
    def type(self) -> str:
        said = self.said("type") or (self.message.type if self.message else "")
        return _known(said, said in QUEUED_TYPES, "-")

    @property
    def account(self) -> str:
        """The account's id as the letter has it: to compare with, and not to show."""
        return self.said("account_id") or ((self.message and self.message.account_id) or "")

    @property
    def account_id(self) -> str:
        """The account's id, if it has the form of mParticle's."""
        return _known(self.account, bool(_ACCOUNT.fullmatch(self.account)), "-")

    @property
    def history(self) -> str:
        """How often it was redriven, and its reasons each time before: `2 rejected:422 unmappable`."""
        said = self.said("history")
        return said if len(said) <= MAX_ERROR and _HISTORY.fullmatch(said) else ""

    @property
    def attempts(self) -> int | None:
        """Calls that carried a part of it; None if the letter does not say."""
        said = self.said("attempts")
        return int(said) if said.isascii() and said.isdecimal() and len(said) < 10 else None

    @property
    def request_id(self) -> str | None:
        """mParticle's id of the request that it is a part of."""
        return self.message.id if self.message else None


def _known(said: str, is_ours: bool, absent: str) -> str:
    if not said:
        return absent
    return said if is_ours else OTHER


def _plain(one: Mapping[str, Any]) -> dict[str, Any]:
    """An attribute as it may be sent again."""
    return {name: one[name] for name in ("DataType", "StringValue", "BinaryValue") if name in one}
