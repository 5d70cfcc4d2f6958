"""JSON text to Python objects and back with every digit kept: the one reader of what mParticle wrote.

Ingest accepts what `loads` reads, the worker reads it with the same function, and `dumps` writes what it gave. The
standard decoder with three of its hooks changed: a number with a fraction or an exponent becomes a `Number`, an integer
an `int`; `NaN` and `Infinity` are refused, as JSON has neither. The last of duplicate keys wins.

Two bounds limit time and memory: how deep a document is nested, and how many values it holds. Both are counted, so that
the answer is the same everywhere in the program, and under any recursion limit.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import Any, Self

from shared.errors import InvalidRequest

MAX_DEPTH = 254
"""Nesting of objects and lists; mParticle's requests have about ten levels. orjson writes no deeper, so ingest, which
reads with orjson, has the check from there; a test keeps the two numbers equal."""

MAX_VALUES = 500_000
"""Values of one message. A value costs up to 240 bytes, so they cost 120 MB at most; a request of 6 MB holds some
200,000 of them."""

MAX_INT_DIGITS = 1_000
"""A longer integer is kept as a `Number`: CPython refuses `int` <-> `str` beyond 4,300 digits. The SDK's reader refuses
numbers of more than 1,000 digits (Jackson 2.15)."""

_VALUES = bytes(byte for byte in range(256) if byte not in b",[{")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""A string that never ends matches, too: otherwise each quote in it would be tried as a start, up to the text's end."""


class Number(Decimal):
    """A `Decimal` that remembers its spelling: `str()` and simplejson write `1.50` and `1e3` back as they came.

    An exponent that no Decimal can hold makes the value NaN; the spelling stays.
    """

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        try:
            number = Decimal.__new__(cls, text)
        except InvalidOperation:
            number = Decimal.__new__(cls, "NaN")
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text


def _integer(text: str) -> int | Number:
    # "-0" has a spelling that no int has, and a setting "-0" must stay "-0".
    return int(text) if len(text) <= MAX_INT_DIGITS and text != "-0" else Number(text)


def _refuse_constant(_: str) -> Any:
    raise InvalidRequest("not JSON: NaN and Infinity are not JSON numbers")


DECODER = json.JSONDecoder(parse_float=Number, parse_int=_integer, parse_constant=_refuse_constant)


@contextmanager
def failure_as_invalid() -> Iterator[None]:
    """Turn what a decoder raises into InvalidRequest, which says where and never quotes the text."""
    try:
        yield
    except UnicodeDecodeError:
        raise InvalidRequest("not JSON: the bytes are not valid UTF-8") from None
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"not JSON: stops making sense at character {error.pos}") from None
    except RecursionError:
        raise InvalidRequest("nested too deeply") from None


def loads(text: bytes | str, *, depth: int = MAX_DEPTH, values: int = MAX_VALUES) -> Any:
    """Read one whole JSON document; bytes are UTF-8 without a byte order mark.

    Raises InvalidRequest for text that is no JSON document, is nested too deep, or holds too many values. The error
    never quotes the text.
    """
    check_values(text, values)
    with failure_as_invalid():
        if isinstance(text, bytes):
            text = text.decode()
        content = DECODER.decode(text)
    if text.count("[") + text.count("{") > depth:
        check_depth(content, depth)
    return content


def check_depth(content: object, depth: int = MAX_DEPTH) -> None:
    """Raise InvalidRequest for a value nested deeper than `depth`. Goes level by level, without recursion."""
    level = [content]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise InvalidRequest("nested too deeply")


def check_values(text: bytes | str, values: int) -> None:
    """Raise InvalidRequest for a document with more values than allowed, before it is parsed."""
    if len(text) <= 2 * values:  # a value takes two characters, `0,` or `{}`
        return
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    if len(text.translate(None, _VALUES)) <= values:
        return
    if len(_STRING.sub(b"", text).translate(None, _VALUES)) > values:  # not in strings, that is
        raise InvalidRequest(f"holds more than {values:,} values")


def dumps(content: Any) -> bytes:
    """Write the objects that `loads` made: integers of any size, a Number as spelled, a lone surrogate as an escape."""
    import simplejson  # noqa: PLC0415 - ingest reads with this module and rarely writes

    text: str = simplejson.dumps(content, use_decimal=True, separators=(",", ":"))
    return text.encode()
