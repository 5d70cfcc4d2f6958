"""How one JSON value is read as a string, a number, a flag, an instant or an enum value.

The field types of the models (`Text`, `Whole`, ...) are these readers. Each takes what mParticle's SDK takes for that
type (Jackson's coercions), gives None for null and for `""` where a string cannot be meant, and raises ValueError with
a text that never quotes the value. A value that is merely new is never an error: an enum reads it as `Unknown`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Context, Decimal
from enum import StrEnum
from math import isfinite
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, GetCoreSchemaHandler, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_plain_validator_function

EnumT = TypeVar("EnumT", bound=StrEnum)
ItemT = TypeVar("ItemT")

_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")
_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,9})?")
_INSTANT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[Tt ](?P<time>\d\d:\d\d(:\d\d)?)(\.(?P<fraction>\d+))?"
    r"(?P<zone>[Zz]|[+-]\d\d(:?\d\d)?)",
    re.ASCII,
)
_MAX_INT_DIGITS = 40
"""Every integer of the protocol has 64 bits (19 digits); as an int, `1e999999999` would fill the memory."""
_NANOSECONDS = Context(prec=_MAX_INT_DIGITS, rounding=ROUND_DOWN)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = 253_402_300_799
"""9999-12-31T23:59:59Z, the last second that a datetime holds."""


@dataclass(frozen=True, slots=True)
class Read:
    """Marks a field as read by a function. Its result is written as it is, whatever the annotation says."""

    by: Callable[[object], object]

    def __get_pydantic_core_schema__(self, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_plain_validator_function(self.by)


class Unknown(str):
    """A value that this version of the protocol does not know, as it came. Equal to the plain string."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Unknown({str.__repr__(self)})"


def well_formed(text: str) -> str:
    """The same text with U+FFFD for lone surrogates: JSON's `"\\ud83d"` has no UTF-8 form and could not be sent on."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def text(value: object) -> str | None:
    """A string; a number in its own spelling; `true` and `false` for a bool."""
    if isinstance(value, str):
        return well_formed(value)
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _spelled(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, float) and isfinite(value):
        return repr(value)
    raise ValueError("expected a string")


def _spelled(number: int) -> str:
    try:
        return str(number)
    except ValueError:  # CPython's limit of 4,300 digits: only an object made in Python can hold such an int
        raise ValueError("expected a shorter number") from None


def key(value: object) -> str:
    """A key of a JSON object."""
    if isinstance(value, str):
        return well_formed(value)
    raise ValueError("expected a string as key")


def whole(value: object) -> int | None:
    """An integer of up to 40 digits, also as a string; a fraction is cut off. No bool."""
    if type(value) is int:
        return value
    if value is None:
        return None
    if isinstance(value, str):
        digits = value.strip()
        if not digits:
            return None
        if _INTEGER.fullmatch(digits):
            return int(digits)
    elif isinstance(value, float | Decimal):
        number = exact(value)
        if number is not None and number.adjusted() < _MAX_INT_DIGITS:
            return int(number)
    raise ValueError("expected an integer")


def exact(value: object) -> Decimal | None:
    """A decimal with its own scale (`10.00` stays `10.00`), also as a string. No bool, no NaN."""
    if value is None:
        return None
    number = None
    if isinstance(value, str):
        digits = value.strip()
        if not digits:
            return None
        number = Decimal(digits) if _DECIMAL.fullmatch(digits) else None
    elif isinstance(value, float):
        number = Decimal(repr(value))
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
    if number is None or not number.is_finite():
        raise ValueError("expected a number")
    return number


def real(value: object) -> float | None:
    """A double, also as a string. `"NaN"` and `"Infinity"`, which the SDK reads, are refused: JSON has no such."""
    number = exact(value)
    if number is None:
        return None
    double = float(number)
    if not isfinite(double):
        raise ValueError("expected a number that fits a double")
    return double


def flag(value: object) -> bool | None:
    """A bool, also as `"true"`, `"True"`, `"TRUE"` (and false alike) or as an integer, where only 0 is false."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value != 0
    if isinstance(value, str):
        match value.strip():
            case "true" | "True" | "TRUE":
                return True
            case "false" | "False" | "FALSE":
                return False
            case "":
                return None
    raise ValueError("expected true or false")


def one_of(enum: type[EnumT]) -> Callable[[object], EnumT | Unknown | None]:
    """A reader of `enum`'s values, blanks around them allowed; any other scalar is `Unknown`."""
    values = {member.value: member for member in enum}

    def read(value: object) -> EnumT | Unknown | None:
        word = text(value)
        if word is None:
            return None
        return values.get(word.strip()) or Unknown(word)

    return read


def unknown(value: object) -> Unknown | None:
    """The tag of an object whose `type` is unknown."""
    word = text(value)
    return None if word is None else Unknown(word)


def epoch_ns(value: object) -> int | None:
    """Nanoseconds since the epoch of an instant. A number, also in a string, is seconds (digits past nine are cut), or
    milliseconds if as seconds it were past the year 9999; other strings are ISO 8601 with a zone."""
    if value is None:
        return None
    if isinstance(value, str):
        value = value.strip()
        if not value:
            return None
        if moment := _INSTANT.fullmatch(value):
            return _iso_ns(moment)
    try:
        seconds = exact(value)
    except ValueError:
        raise ValueError("expected a time: seconds since 1970, or ISO 8601 with a zone") from None
    if seconds is None or seconds.adjusted() > 15:
        raise ValueError("expected a time before the year 10000")
    if abs(seconds) > _LAST_SECOND:
        seconds = seconds.scaleb(-3, _NANOSECONDS)
    return int(_NANOSECONDS.quantize(seconds, Decimal("1e-9")).scaleb(9, _NANOSECONDS))


def _iso_ns(moment: re.Match[str]) -> int:
    zone = moment["zone"].upper().replace("Z", "+00:00")
    try:
        at = datetime.fromisoformat(f"{moment['day']}T{moment['time']}{zone}")
    except ValueError:  # its text quotes the value
        raise ValueError("expected a day and time that exist") from None
    whole_seconds = (at - _EPOCH) // timedelta(seconds=1)
    return whole_seconds * 10**9 + int((moment["fraction"] or "").ljust(9, "0")[:9])


def instant(value: object) -> datetime | None:
    """The same moment as an aware datetime in UTC, cut to microseconds."""
    ns = epoch_ns(value)
    if ns is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=ns // 1000)
    except OverflowError:
        raise ValueError("expected a time between the years 1 and 9999") from None


def no_items() -> list[Any]:
    """A default. For `list` itself pydantic would read the signature with Python's tokenizer: 2 ms of a cold start."""
    return []


def _or_empty_list(value: object) -> object:
    return [] if value is None else value


def _or_empty_map(value: object) -> object:
    return {} if value is None else value


def _unless_null(value: object, read: ValidatorFunctionWrapHandler) -> object:
    return None if value is None else read(value)


def _without_nulls(items: list[ItemT]) -> list[ItemT]:
    return [item for item in items if item is not None]


def _without_null_values(items: dict[str, ItemT]) -> dict[str, ItemT]:
    return {name: item for name, item in items.items() if item is not None}


Text = Annotated[str | None, Read(text)]
Whole = Annotated[int | None, Read(whole)]
Real = Annotated[float | None, Read(real)]
Exact = Annotated[Decimal | None, Read(exact)]
Flag = Annotated[bool | None, Read(flag)]
Instant = Annotated[datetime | None, Read(instant)]
Key = Annotated[str, Read(key)]

Items = Annotated[
    list[Annotated[ItemT, WrapValidator(_unless_null)]],
    BeforeValidator(_or_empty_list),
    AfterValidator(_without_nulls),
]
"""A list; null and missing are `[]`, null elements are left out."""
Map = Annotated[
    dict[Key, Annotated[ItemT, WrapValidator(_unless_null)]],
    BeforeValidator(_or_empty_map),
    AfterValidator(_without_null_values),
]
"""An object with free keys; null and missing are `{}`, entries with null are left out."""
Texts = Items[Annotated[str, Read(text)]]
Settings = Map[Annotated[str, Read(text)]]
"""Values are strings whatever the declared type of the setting; one that is null is not set."""
Attributes = Annotated[dict[Key, Text], BeforeValidator(_or_empty_map)]
"""Attributes by name. A null value stays None: an attribute without a value (a tag) is still there."""
