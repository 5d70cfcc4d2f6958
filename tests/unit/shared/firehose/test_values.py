from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from shared.firehose import Unknown, UserIdentityType
from shared.firehose.json_text import Number
from shared.firehose.values import epoch_ns, exact, flag, instant, one_of, real, text, well_formed, whole

NS = 10**9


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", "x"),
        ("", ""),
        (None, None),
        (5, "5"),
        (12345678901234567890, "12345678901234567890"),
        (-(2**63), "-9223372036854775808"),
        (Number("1.50"), "1.50"),
        (Number("1e3"), "1e3"),
        (Decimal("10.00"), "10.00"),
        (1.5, "1.5"),
        (True, "true"),
        (False, "false"),
        ("a\ud83d", "a\ufffd"),
        ("\udeb2\ud83d\udeb2", "\ufffd🚲"),
    ],
)
def test_text(value: object, expected: str | None) -> None:
    """A scalar reads as a string in its own spelling; a lone surrogate becomes U+FFFD, which can be sent on."""
    assert text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, 7),
        (2**63, 2**63),
        (" 12 ", 12),
        ("-1096377938905861812", -1096377938905861812),
        ("+3", 3),
        ("", None),
        (" ", None),
        (None, None),
        (1.9, 1),
        (-1.9, -1),
        (Number("1e3"), 1000),
        (Number("5.5"), 5),
        (Number("1e-999999"), 0),
    ],
)
def test_whole(value: object, expected: int | None) -> None:
    """An integer may be a string or a decimal, whose fraction is cut off."""
    assert whole(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Number("10.00"), "10.00"),
        (Number("12345678901234567890.123456789"), "12345678901234567890.123456789"),
        (Number("1e3"), "1E+3"),
        ("10.50", "10.50"),
        (" .5 ", "0.5"),
        (1.1, "1.1"),
        (11, "11"),
    ],
)
def test_exact(value: object, expected: str) -> None:
    """A decimal keeps its digits and its scale, and is a plain Decimal."""
    number = exact(value)
    assert type(number) is Decimal
    assert str(number) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("True", True),
        ("TRUE", True),
        ("false", False),
        ("False", False),
        ("FALSE", False),
        (0, False),
        (1, True),
        (2, True),
        ("", None),
        (None, None),
    ],
)
def test_flag(value: object, expected: bool | None) -> None:
    """A flag may be a word or an integer, as in the SDK."""
    assert flag(value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("47.5", 47.5), (Number("0.00001"), 0.00001), (-0.0, 0.0), (3, 3.0), ("", None), (None, None)],
)
def test_real(value: object, expected: float | None) -> None:
    """A coordinate may be a string; an empty one is absent, not zero."""
    assert real(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Number("1714592744.067235000"), 1714592744_067235000),
        (Number("1714592744.067235000123"), 1714592744_067235000),
        (Number("1.714592744067E9"), 1714592744_067000000),
        (1714592744, 1714592744 * NS),
        (1714592744067, 1714592744_067000000),
        (1714592744.25, 1714592744_250000000),
        ("1714592744", 1714592744 * NS),
        ("1714592744.067", 1714592744_067000000),
        (0, 0),
        (Number("0.0"), 0),
        (Number("-1.5"), -1_500_000_000),
        (Number("1e-99999999"), 0),
        (253402300799, 253402300799 * NS),
        (253402300800, 253402300800 * NS // 1000),
        ("2021-11-01T15:00:00Z", 1635778800 * NS),
        ("2021-11-01T15:00:00.123456789Z", 1635778800_123456789),
        ("2021-11-01T15:00:00.1234567891Z", 1635778800_123456789),
        ("2021-11-01T15:00:00+02:00", 1635771600 * NS),
        ("2021-11-01T15:00:00+0200", 1635771600 * NS),
        ("2021-11-01 15:00:00-03", 1635789600 * NS),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
        ("", None),
        (" ", None),
        (None, None),
    ],
)
def test_epoch_ns(value: object, expected: int | None) -> None:
    """Every spelling of an instant gives the same nanosecond; a number is seconds unless it cannot be."""
    assert epoch_ns(value) == expected


def test_an_instant_is_an_aware_datetime() -> None:
    """The datetime is in UTC, cut to microseconds."""
    assert instant(Number("1714592744.067235999")) == datetime(2024, 5, 1, 19, 45, 44, 67235, tzinfo=UTC)


@pytest.mark.parametrize(
    ("read", "value"),
    [
        *((text, value) for value in ({}, [], ["x"], float("nan"), float("inf"))),
        *((whole, value) for value in ("1.9", "abc", "1_0", "１２", True, {}, [], float("nan"), float("inf"))),
        *((whole, value) for value in (Number("1e999999999"), Number("1e99999999999999999999"), "9" * 41)),
        *((exact, value) for value in ("ten", "NaN", "Infinity", "1_0", "0x1", "1.2.3", True, {}, [])),
        *((exact, value) for value in (float("nan"), Number("1e99999999999999999999"))),
        *((real, value) for value in ("NaN", "Infinity", Number("1e999"), True, "north", {})),
        *((flag, value) for value in ("tRue", "yes", "1", 1.0, Number("1.0"), {}, [])),
        *((epoch_ns, value) for value in ("2021-11-01", "2021-11-01T15:00:00", "soon", True, [], {}, float("nan"))),
        *(
            (instant, value)
            for value in ("2021-13-01T15:00:00Z", "2021-11-01T25:00:00Z", 10**17, Number("1e999999999"))
        ),
        (instant, Number("-99999999999999")),
        pytest.param(exact, "1" * 50_000 + "x", id="many digits and a letter"),
    ],
)
def test_an_impossible_value_is_refused_without_being_quoted(read: Callable[[object], object], value: object) -> None:
    """What a type cannot be raises ValueError at once, and the text never holds the value."""
    with pytest.raises(ValueError, match=r"^expected ") as refused:
        read(value)
    if isinstance(value, str):
        assert value not in str(refused.value)


def test_an_int_that_has_no_spelling_is_refused() -> None:
    """An int of more digits than CPython converts, which no JSON text gives, is refused like any impossible value."""
    with pytest.raises(ValueError, match="expected a shorter number"):
        text(10**5000)


def test_an_enum_reads_what_is_new_as_unknown() -> None:
    """A known value is the enum's; any other scalar is an Unknown equal to it, and no number is a position."""
    read = one_of(UserIdentityType)
    assert read("email") is UserIdentityType.EMAIL
    assert read(" email ") is UserIdentityType.EMAIL
    assert read(None) is None
    for new, original in [
        ("pinterest", "pinterest"),
        ("EMAIL", "EMAIL"),
        ("", ""),
        (7, "7"),
        (True, "true"),
        (" x ", " x "),
    ]:
        value = read(new)
        assert isinstance(value, Unknown)
        assert value == original
    with pytest.raises(ValueError, match="expected a string"):
        read({})


def test_well_formed_leaves_sound_text_alone() -> None:
    """Text without lone surrogates is the very same object."""
    sound = "größe 🚲"
    assert well_formed(sound) is sound
