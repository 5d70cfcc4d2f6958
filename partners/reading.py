"""What a request holds: identities, numbers in texts, JSON in texts. Pure, and never raises for what it reads.

values_of(request.user_identities, UserIdentityType.EMAIL)    all e-mail addresses, in order: [0] first, [-1] last
values_of(ids, DeviceIdentityType.ANDROID_ID, encodings=None) in whatever encoding they came
device_identities(request)                                    [] without an environment
first_of(email, mobile, customer_id)                          the first that is there; "" is not
sha256_of(identity)                                           its hash over the normalised value, made or as it came
in_time_order(request.events)                                 oldest first, ties as they came, each with its item name
given(product, "attributes")                                  its value if it was sent, `{}` say; None if it was absent
whole(" +5 ")                                                 5; None for "5.5", "five", "" and what has over 64 bits
whole(text, bits=32)                                          for an API whose ids are int32
json_object(event.payload)                                    what a text holds, if that is a JSON object
"""

import re
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from partners.writing import sha256
from shared.errors import InvalidRequest
from shared.firehose import (
    DeviceIdentity,
    DeviceIdentityType,
    Encoding,
    Event,
    EventProcessingRequest,
    MalformedEvent,
    UserIdentity,
    UserIdentityType,
)
from shared.firehose.json_text import decode

RAW = frozenset({Encoding.RAW, None})
"""Identities that are what they say; one without an encoding is raw."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def values_of(
    identities: Iterable[UserIdentity | DeviceIdentity],
    kind: UserIdentityType | DeviceIdentityType,
    *,
    encodings: Collection[str | None] | None = RAW,
) -> list[str]:
    """The values of a type, in order, empty ones left out. `encodings` None takes hashes too."""
    return [
        one.value
        for one in identities
        if one.type == kind and one.value and (encodings is None or one.encoding in encodings)
    ]


def device_identities(request: EventProcessingRequest) -> list[DeviceIdentity]:
    """What identifies the device, of whichever environment."""
    return request.runtime_environment.identities if request.runtime_environment else []


def first_of(*candidates: str | None) -> str | None:
    """The first candidate that is there and not empty."""
    return next((one for one in candidates if one), None)


def sha256_of(identity: UserIdentity | DeviceIdentity) -> str | None:
    """SHA-256 of an identity in hex: made of a raw one, taken from a hashed one; None where it can not be known."""
    value = (identity.value or "").strip().lower()
    if not value:
        return None
    if identity.encoding in RAW:
        return sha256(value)
    return value if identity.encoding == Encoding.SHA256 and _SHA256.fullmatch(value) else None


def in_time_order(events: Iterable[Event]) -> list[tuple[str, Event]]:
    """The events that could be read, by time; those without one last.

    With each goes the name for its delivery's `item`: its id, or its place in the request.
    """
    named = [
        (event.id or f"events[{place}]", event)
        for place, event in enumerate(events)
        if not isinstance(event, MalformedEvent)
    ]
    return sorted(named, key=lambda one: (one[1].timestamp_ms is None, one[1].timestamp_ms or 0))


def given(part: BaseModel, field: str) -> Any:
    """A field's value if it was sent, else None. The models read an absent list or map as an empty one."""
    return getattr(part, field) if field in part.model_fields_set else None


def whole(value: object, *, bits: int = 64) -> int | None:
    """A whole number, also as a text with blanks around it or as a decimal like 5.0; None for anything else."""
    number: int | None = None
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, Decimal) and value.is_finite() and value.adjusted() < 40 and value == int(value):
        number = int(value)
    limit = 1 << (bits - 1)
    return number if number is not None and -limit <= number < limit else None


def json_object(text: str | None) -> dict[str, Any] | None:
    """The JSON object that a text holds, numbers exact; None if it holds anything else."""
    try:
        content = decode(text) if text else None
    except InvalidRequest:
        return None
    return content if isinstance(content, dict) else None
