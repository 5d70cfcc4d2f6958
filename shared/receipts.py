"""Receipts of erasure requests: when one was accepted, and how it ended, to answer "was it forwarded?".

Ingest writes a receipt when it has queued the request, the worker when the message ends; `spillway dsr` reads them. A
receipt holds ids, times and a reason, and nothing of the person. It has both mParticle's id of the subject's request
and our id of the message, because the same subject request may come for several accounts, or again.

A receipt's key is the subject's request and, within it, account and request. The previous release left the account out;
a receipt that it began keeps its key, if it is of this account.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from shared.message import is_text, of_account

RECEIPT_PREFIX = "dsr#"

RECEIPT_KEPT_S = 400 * 86_400
"""Longer than a year, so that a year's requests can be accounted for at its end; then the state table deletes it."""


class Standing(StrEnum):
    OPEN = "open"
    """Accepted, and on its way: in the queue, in the parking queue, or at the partner."""
    DELIVERED = "delivered"
    NOT_FORWARDED = "not forwarded"
    """The partner's code makes no call for it: nothing was sent, and nothing will be."""
    DEAD_LETTERED = "dead-lettered"
    """In the dead-letter queue; mend the reason and redrive it."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One erasure's receipt. Times in ms since the epoch."""

    subject_request_id: str
    request_id: str
    account_id: str | None
    accepted_ms: int
    delivered_ms: int | None = None
    dead_lettered_ms: int | None = None
    reason: str | None = None
    no_call_ms: int | None = None
    redriven_ms: int | None = None
    """When a worker received it again after that."""

    @classmethod
    def from_value(cls, pk: str, sk: str, value: Mapping[str, Any]) -> Self:
        """Read an item of the state table; fields of later versions are ignored, and so are invalid times."""
        known = {name: _time_ms(value.get(name)) for name in _TIMES}
        return cls(
            pk.removeprefix(RECEIPT_PREFIX),
            str(value.get("request_id", sk)),
            value.get("account_id"),
            _time_ms(value.get("accepted_ms")) or 0,
            reason=value.get("reason"),
            **known,
        )

    def value(self) -> dict[str, Any]:
        """The item for the state table; fields without a value are left out."""
        fields = {
            "account_id": self.account_id,
            "request_id": self.request_id,
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


_TIMES = ("delivered_ms", "dead_lettered_ms", "no_call_ms", "redriven_ms")


def _time_ms(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def receipt_key(subject_request_id: str) -> str:
    return f"{RECEIPT_PREFIX}{subject_request_id}"


def receipt_name(account_id: str | None, request_id: str) -> str:
    """The receipt's sort key under its subject's request."""
    return of_account(account_id, request_id)


def subject_of(request: Mapping[str, Any], request_id: str) -> str:
    """The id of the subject's request, a GUID; for a request without one, our own id of it."""
    given = request.get("subject_request_id")
    return given if isinstance(given, str) and is_text(given) else request_id
