"""JSON text to Python objects with every digit kept: what `parse_request` does before it looks at a field.

The standard decoder with three of its hooks changed. A number with a fraction or an exponent becomes a `Number`, an
integer an `int`; `NaN` and `Infinity` are refused, as JSON has neither. The last of duplicate keys wins, and text after
the first complete document is ignored, both as in mParticle's SDK.
"""

import json
from decimal import Decimal, InvalidOperation
from typing import Any, Self

from shared.errors import InvalidRequest

MAX_INT_DIGITS = 1_000
"""A longer integer is kept as a `Number`: CPython refuses `int` <-> `str` beyond 4,300 digits. The SDK's reader refuses
numbers of more than 1,000 digits (Jackson 2.15)."""


class Number(Decimal):
    """A `Decimal` that remembers its spelling: `str()` and simplejson write `1.50` and `1e3` back as they came.

    An exponent that no Decimal can hold makes the value NaN; the spelling stays.
    """

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        try:
            number = super().__new__(cls, text)
        except InvalidOperation:
            number = super().__new__(cls, "NaN")
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text


def _integer(text: str) -> int | Number:
    # "-0" has a spelling that no int has, and a setting "-0" must stay "-0".
    return int(text) if len(text) <= MAX_INT_DIGITS and text != "-0" else Number(text)


def _refuse_constant(_: str) -> Any:
    raise InvalidRequest("not JSON: NaN and Infinity are not JSON numbers")


_DECODER = json.JSONDecoder(parse_float=Number, parse_int=_integer, parse_constant=_refuse_constant)
_BOM = "\ufeff"
_BLANKS = " \t\r\n"


def decode(text: bytes | str) -> Any:
    """Decode one JSON document. Bytes are UTF-8; UTF-16 and UTF-32 are recognised, a byte order mark is skipped.

    Raises InvalidRequest for everything that cannot be decoded, and never quotes it.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode(json.detect_encoding(text))
        text = text.removeprefix(_BOM)
        return _DECODER.raw_decode(text.lstrip(_BLANKS))[0]
    except UnicodeDecodeError:
        raise InvalidRequest("not JSON: the bytes are not valid UTF-8") from None
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"not JSON: stops making sense at character {error.pos}") from None
    except RecursionError:
        raise InvalidRequest("nested too deeply") from None
