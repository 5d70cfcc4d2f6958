"""Reads a request: identities, numbers, JSON in texts; and its parts one by one. Pure; no odd value makes it raise.

A partner converts foreign numbers here and nowhere else: `int()` of 1e10000000 takes a minute, and `float()` of 1e400
gives a value that JSON cannot express.

values_of(request.user_identities, UserIdentityType.EMAIL)    all e-mail addresses, in order: [0] first, [-1] last
values_of(ids, DeviceIdentityType.ANDROID_ID, encodings=None) in whatever encoding they came
device_identities(request)                                    [] without an environment
first_of(email, mobile, customer_id)                          the first that is there; "" is not
sha256_of(identity)                                           its hash over the normalised value, made or as it came
in_time_order(request.events)                                 oldest first, ties as they came, each with its item name
one_by_one(in_time_order(request.events), calls_of)           maps each by itself: what raises is left out, alone
attributes_of(event)                                          of any type of event; {} for none
given(product, "attributes")                                  its value if it was sent, `{}` say; None if it was absent
whole(" +5 ")                                                 5; None for "5.5", "five", "" and what has over 64 bits
whole(text, bits=32)                                          for an API whose ids are int32
truncated(product.quantity)                                   2 for 2.9; None for what has over 64 bits
double("1.50")                                                1.5; None for "five", "1e400", "NaN"
double_of_hex("0x1.8p1")                                      3.0
negated(event.total_amount)                                   every digit kept
json_object(event.payload)                                    what a text holds, if that is a JSON object
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from math import isfinite
from typing import Any, TypeVar

from pydantic import BaseModel

from partners.base import LeftOut
from partners.writing import sha256
from shared import firehose as mp
from shared.errors import InvalidRequest, InvalidSettings, Unmappable, raised_at
from shared.firehose import (
    DeviceIdentity,
    DeviceIdentityType,
    Encoding,
    EventProcessingRequest,
    UserIdentity,
    UserIdentityType,
)
from shared.firehose.json_text import decode

RAW = frozenset({Encoding.RAW, None})
"""Encodings of identities that are not hashed; one without an encoding is raw."""

PartT = TypeVar("PartT")
MadeT = TypeVar("MadeT")

_MOST_DIGITS = 40
"""The most digits before the point: a number that an API takes has at most 20."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_HEX = re.compile(r"[+-]?0[xX]([0-9a-fA-F]+(\.[0-9a-fA-F]*)?|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+")
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
    """The identities of the device, in any environment."""
    return request.runtime_environment.identities if request.runtime_environment else []


def first_of(*candidates: str | None) -> str | None:
    """The first candidate that is present and not empty."""
    return next((one for one in candidates if one), None)


def sha256_of(identity: UserIdentity | DeviceIdentity) -> str | None:
    """SHA-256 of an identity in hex: computed from a raw one, taken from a hashed one; None if it cannot be known."""
    value = (identity.value or "").strip().lower()
    if not value:
        return None
    if identity.encoding in RAW:
        return sha256(value)
    return value if identity.encoding == Encoding.SHA256 and _SHA256.fullmatch(value) else None


def in_time_order(events: "Iterable[mp.Event]") -> "list[tuple[str, mp.Event]]":
    """The events that could be read, by time; those without one last.

    Each comes with a name for its delivery's `item`: its id, or its place in the request.
    """
    named = [
        (event.id or f"events[{place}]", event)
        for place, event in enumerate(events)
        if not isinstance(event, mp.MalformedEvent)
    ]
    return sorted(named, key=lambda one: (one[1].timestamp_ms is None, one[1].timestamp_ms or 0))


def one_by_one(
    parts: Iterable[tuple[str, PartT] | LeftOut], calls_of: Callable[[str, PartT], Iterable[MadeT | LeftOut]]
) -> Iterator[MadeT | LeftOut]:
    """Map each part of a request, an event or a profile with its item's name. If mapping one raises, only that part is
    left out, with the line that raised.

    InvalidRequest is passed on, because it says that the whole request can never be sent (a key is missing, say), and
    so are InvalidSettings, which says it of all requests, and Unmappable. A LeftOut that `calls_of` yields stays one.
    """
    for one in parts:
        if isinstance(one, LeftOut):
            yield one
            continue
        item, part = one
        try:
            made = list(calls_of(item, part))
        except (InvalidRequest, InvalidSettings, Unmappable):
            raise
        except Exception as error:  # whatever an odd field makes of a mapping's code
            yield LeftOut(item, f"can not be mapped: {type(error).__name__} in {raised_at(error)}", raised=True)
        else:
            yield from made


def attributes_of(event: "mp.Event") -> Mapping[str, Any]:
    """An event's attributes, even of a type that should have none. Raises TypeError if they are no object."""
    attributes = getattr(event, "attributes", None)
    if attributes is not None and not isinstance(attributes, Mapping):
        raise TypeError("attributes that are no object")
    return attributes or {}


def given(part: BaseModel, field: str) -> Any:
    """A field's value if it was sent, else None. The models read an absent list or map as an empty one."""
    return getattr(part, field) if field in part.model_fields_set else None


def whole(value: object, *, bits: int = 64) -> int | None:
    """A whole number, also as a text with blanks around it or as a decimal like 5.0; None for anything else."""
    if isinstance(value, str):
        text = value.strip()
        return _within(int(text), bits) if _WHOLE.fullmatch(text) else None
    number = truncated(value, bits=bits)
    return number if number == value else None


def truncated(value: object, *, bits: int = 64) -> int | None:
    """A number cut towards zero; None for a value that is no number, or has more bits."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return _within(value, bits)
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < _MOST_DIGITS:
        return _within(int(value), bits)
    return None


def _within(number: int, bits: int) -> int | None:
    limit = 1 << (bits - 1)
    return number if -limit <= number < limit else None


def double(text: str) -> float | None:
    """The double nearest to the decimal number in a text; None if the text is no number, or the number is too large."""
    number = float(text) if _DECIMAL.fullmatch(text) else None
    return number if number is not None and isfinite(number) else None


def double_of_hex(text: str) -> float | None:
    """The double of a hexadecimal number, 3.0 for `0x1.8p1`; None if the text is no number, or it is too large."""
    try:
        return float.fromhex(text) if _HEX.fullmatch(text) else None
    except OverflowError:
        return None


def negated(amount: Decimal) -> Decimal:
    """An amount with the other sign, every digit kept; zero has none. `-amount` rounds, and raises for large ones."""
    return amount.copy_negate() if amount else amount


def json_object(text: str | None) -> dict[str, Any] | None:
    """The JSON object that a text holds, numbers exact; None if it holds anything else."""
    try:
        content = decode(text) if text else None
    except InvalidRequest:
        return None
    return content if isinstance(content, dict) else None
