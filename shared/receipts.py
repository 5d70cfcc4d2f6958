"""Receipts of erasure requests: when one was accepted and what became of it, to answer "was it forwarded?".

Ingest writes a receipt when it has queued the request, the worker when the message ends; `spillway dsr` reads them. A
receipt holds ids, times and a reason, and nothing of the person. What mParticle calls the request and what we call its
message are kept apart: the same subject request may come for several accounts, or again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from shared.message import MAX_TEXT

PREFIX = "dsr#"

KEPT_S = 400 * 86_400
"""Longer than a year, so that a year's requests can be accounted for at its end; then the state table forgets."""


class Standing(StrEnum):
    OPEN = "open"
    """Accepted, and on its way: in the queue, in the parking queue, or at the partner."""
    DELIVERED = "delivered"
    NOT_FORWARDED = "not forwarded"
    """The partner's code makes no call of it: nothing was sent, and nothing will be."""
    DEAD_LETTERED = "dead-lettered"
    """In the dead-letter queue; mend the reason and redrive it."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is known of one erasure. Times in ms since the epoch."""

    subject_request_id: str
    request_id: str
    account_id: str | None
    accepted_ms: int
    delivered_ms: int | None = None
    dead_lettered_ms: int | None = None
    reason: str | None = None
    no_call_ms: int | None = None
    redriven_ms: int | None = None
    """A worker had it again after that."""

    @classmethod
    def from_value(cls, pk: str, sk: str, value: Mapping[str, Any]) -> Self:
        """Read an item of the state table; what a later version added is passed over."""
        names = ("delivered_ms", "dead_lettered_ms", "reason", "no_call_ms", "redriven_ms")
        known = {name: value.get(name) for name in names}
        return cls(pk.removeprefix(PREFIX), sk, value.get("account_id"), value["accepted_ms"], **known)

    def value(self) -> dict[str, Any]:
        """What stands in the state table; what is not known is left out."""
        fields = {
            "account_id": self.account_id,
            "accepted_ms": self.accepted_ms,
            "delivered_ms": self.delivered_ms,
            "dead_lettered_ms": self.dead_lettered_ms,
            "reason": self.reason,
            "no_call_ms": self.no_call_ms,
            "redriven_ms": self.redriven_ms,
        }
        return {name: value for name, value in fields.items() if value is not None or name == "account_id"}

    @property
    def standing(self) -> Standing:
        if self.delivered_ms is not None:
            return Standing.DELIVERED
        if self.no_call_ms is not None and self.no_call_ms >= (self.redriven_ms or 0):
            return Standing.NOT_FORWARDED
        if self.dead_lettered_ms is not None and self.dead_lettered_ms >= (self.redriven_ms or 0):
            return Standing.DEAD_LETTERED
        return Standing.OPEN


def receipt_key(subject_request_id: str) -> str:
    return f"{PREFIX}{subject_request_id}"


def subject_of(request: Mapping[str, Any], request_id: str) -> str:
    """The id of the subject's request, a GUID; of a request without one, our own id of it."""
    given = request.get("subject_request_id")
    usable = isinstance(given, str) and 0 < len(given) <= MAX_TEXT and given.isprintable()
    return str(given) if usable else request_id
