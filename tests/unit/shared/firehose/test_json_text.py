import decimal
import json
import pickle

import pytest
import simplejson

from shared.errors import InvalidRequest
from shared.firehose.json_text import MAX_INT_DIGITS, Number, decode
from shared.json_text import check_values


@pytest.mark.parametrize(
    "spelling",
    ["1.50", "1e3", "-0", "-0.0", "1E-7", "0.1000000000000000055511151231257827", "9" * 5000, "1e99999999999999999999"],
)
def test_a_number_keeps_its_spelling(spelling: str) -> None:
    """A number that no int or float holds as it was is written back, by simplejson, digit for digit."""
    assert simplejson.dumps(decode(f"[{spelling}]"), use_decimal=True) == f"[{spelling}]"


def test_integers_are_ints_of_any_size() -> None:
    """Integers are plain ints, exact far beyond 64 bits."""
    assert decode("[9223372036854775807, -123456789012345678901234567890]") == [
        9223372036854775807,
        -123456789012345678901234567890,
    ]
    assert type(decode("1" * MAX_INT_DIGITS)) is int


def test_a_number_computes_as_a_decimal() -> None:
    """A number from the text is a Decimal in every computation, and survives a pickle."""
    number = decode("10.00")
    assert number + 1 == decimal.Decimal("11.00")
    assert pickle.loads(pickle.dumps(number)) == number
    assert str(pickle.loads(pickle.dumps(number))) == "10.00"


def test_an_exponent_that_no_decimal_holds_is_not_a_number() -> None:
    """An absurd exponent costs that number alone."""
    number, other = decode("[1e99999999999999999999, 2.5]")
    assert isinstance(number, Number)
    assert number.is_nan()
    assert other == decimal.Decimal("2.5")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_unicode_encodings_are_recognised(encoding: str) -> None:
    """Bytes in any Unicode encoding, with or without a byte order mark, give the same object."""
    assert decode('{"größe": "自 🚲"}'.encode(encoding)) == {"größe": "自 🚲"}


def test_a_byte_order_mark_and_blanks_before_text_are_skipped() -> None:
    """A string may start with a byte order mark, and any document with blanks."""
    assert decode("\ufeff \r\n\t{}") == {}
    assert decode(b" \n[]") == []


def test_the_last_of_duplicate_keys_wins() -> None:
    """Of duplicate keys the last one counts, as for every other reader on the way."""
    assert decode('{"a": 1, "a": 2}') == {"a": 2}


def test_text_after_the_document_is_ignored() -> None:
    """What follows the first document is ignored, as by mParticle's SDK."""
    assert decode('{"a": 1}{"b": 2} and more') == {"a": 1}


def test_lone_surrogates_are_kept() -> None:
    """An escaped half of a surrogate pair is decoded as it is; two halves that belong together are one character."""
    assert decode(r'"a\ud83d"') == "a\ud83d"
    assert decode(r'"\ud83d\udeb2"') == "🚲"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"\xef\xbb\xbf",
        b"{",
        b'{"a":}',
        b"{'a': 1}",
        b'{"a": 1,}',
        b"{/**/}",
        b'{"a": NaN}',
        b"[Infinity, -Infinity]",
        b'"\x01"',
        b'{"a": 01}',
        b'"\xff"',
        b'"\xed\xa0\xbd"',
        b"\xff\xfe\x00",
        b"\x00\x00\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        "",
        "nul",
        "\ufeff\ufeff{}",
    ],
)
def test_what_is_not_json_is_refused(text: bytes | str) -> None:
    """Text that is not JSON, not Unicode or nested without end is an invalid request, and nothing else is raised."""
    with pytest.raises(InvalidRequest) as refused:
        decode(text)
    assert refused.value.where == ""


def test_the_standard_decoder_agrees() -> None:
    """Ordinary JSON is decoded as by the standard library."""
    text = '{"a": [1, -2, null, true, false, "x\\u00e9\\n", {}, []], "b": {"c": ""}}'
    assert decode(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        *((b"[0,0,0,0,0,0]", False), (b'["[,,{,,,"]', True), (b'["\\",[,,{,,","\\\\"]', True)),
        *((b'["\\\\",0,0,0,0,0,0]', False), (b'[0,"\\",,,,,,,', True), (b'[0,",,,,,,,\\', True), (b'[,,,,,"a"', False)),
    ],
)
def test_only_what_stands_outside_of_texts_is_a_value(text: bytes, fits: bool) -> None:
    """A text that never ends, which the reader refuses afterwards, holds none either."""
    if fits:
        check_values(text, 4)
    else:
        with pytest.raises(InvalidRequest, match="more than 4 values"):
            check_values(text, 4)
