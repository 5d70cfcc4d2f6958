import hashlib
from decimal import Decimal

import pytest

from partners.writing import cut, cut_bytes, iso8601, present, seconds, sha256, to_json


def test_present_leaves_out_what_is_none_and_nothing_else() -> None:
    """Empty texts, empty lists, zero and false are values."""
    assert present(a=None, b="", c=[], d=0, e=False) == {"b": "", "c": [], "d": 0, "e": False}


def test_amounts_keep_every_digit() -> None:
    """A Decimal is written with its own scale, an int of any size as it is."""
    amounts = {"price": Decimal("10.00"), "tiny": Decimal("0.1000000000000000000001"), "big": 2**70}
    assert to_json(amounts) == b'{"price":10.00,"tiny":0.1000000000000000000001,"big":1180591620717411303424}'


@pytest.mark.parametrize(
    ("timestamp_ms", "expected"),
    [(None, None), (0, 0), (999, 0), (1_999, 1), (-1, 0), (-1_500, -1), (-2_000, -2), (2**62, 2**62 // 1_000)],
)
def test_seconds_are_cut_towards_zero(timestamp_ms: int | None, expected: int | None) -> None:
    """Milliseconds are cut off before and after 1970; no time stays none."""
    assert seconds(timestamp_ms) == expected


def test_seconds_are_held_within_the_bits_of_the_api() -> None:
    """What an int32 can not hold becomes its largest or smallest."""
    assert seconds(10**15, bits=32) == 2**31 - 1
    assert seconds(-(10**15), bits=32) == -(2**31)


def test_iso8601_has_milliseconds_and_utc() -> None:
    """Before 1970 too; None without a time and outside of the years that have four digits."""
    assert iso8601(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"
    assert iso8601(0) == "1970-01-01T00:00:00.000Z"
    assert iso8601(-1) == "1969-12-31T23:59:59.999Z"
    assert iso8601(None) is None
    assert iso8601(10**17) is None


def test_texts_are_cut_by_characters_or_by_bytes() -> None:
    """A character of several bytes is never halved."""
    assert cut("añb", 2) == "añ"
    assert cut_bytes("añb", 2) == "a"
    assert cut_bytes("añb", 3) == "añ"
    assert cut_bytes("añb", 100) == "añb"
    assert cut_bytes("", 5) == ""


def test_hashes_are_over_the_trimmed_lower_cased_text() -> None:
    """Spelling and blanks make no difference, as in mParticle's own hashes."""
    expected = hashlib.sha256(b"ann@example.com").hexdigest()
    assert sha256(" Ann@Example.COM\n") == expected
