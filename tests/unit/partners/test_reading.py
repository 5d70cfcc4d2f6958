import ast
import hashlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from partners import LeftOut
from partners.reading import (
    attributes_of,
    device_identities,
    double,
    double_of_hex,
    first_of,
    given,
    in_time_order,
    json_object,
    negated,
    one_by_one,
    sha256_of,
    truncated,
    values_of,
    whole,
)
from shared.errors import InvalidRequest, InvalidSettings, SpillwayError
from shared.firehose import (
    DeviceIdentityType,
    EventProcessingRequest,
    ProductActionEvent,
    UserIdentity,
    UserIdentityType,
    parse_request,
)
from shared.firehose.json_text import Number


def batch(**fields: Any) -> EventProcessingRequest:
    request = parse_request({"type": "event_processing_request", **fields})
    assert isinstance(request, EventProcessingRequest)
    return request


def identity(value: str | None, encoding: str | None = "raw", kind: str = "email") -> dict[str, str | None]:
    return {"type": kind, "encoding": encoding, "value": value}


def test_values_are_those_of_a_type_in_order() -> None:
    """The first and the last are places in the list; empty values, hashes and other types are not in it."""
    request = batch(
        user_identities=[
            identity("a"),
            identity("x", kind="customer"),
            identity(""),
            identity(None),
            identity("h", "md5"),
            identity("n", None),
            identity("brand new", kind="telegram"),
            identity("z"),
        ]
    )
    assert values_of(request.user_identities, UserIdentityType.EMAIL) == ["a", "n", "z"]
    assert values_of(request.user_identities, UserIdentityType.EMAIL, encodings=None) == ["a", "h", "n", "z"]
    assert values_of(request.user_identities, UserIdentityType.FACEBOOK) == []


def test_device_identities_are_those_of_the_environment() -> None:
    """Of any environment; without one there are none."""
    device = {"type": "roku", "identities": [{"type": "roku_advertising_id", "encoding": "raw", "value": "r"}]}
    found = device_identities(batch(runtime_environment=device))
    assert values_of(found, DeviceIdentityType.ROKU_ADVERTISING_ID) == ["r"]
    assert device_identities(batch()) == []


def test_first_of_several() -> None:
    """What is None or empty is not there."""
    assert first_of(None, "", "b", "c") == "b"
    assert first_of(None, "") is None
    assert first_of() is None


def test_hash_of_an_identity() -> None:
    """Made of a raw value, taken from a SHA-256, not to be had of another hash or of nothing."""
    expected = hashlib.sha256(b"ann@example.com").hexdigest()
    assert sha256_of(UserIdentity(**identity(" Ann@Example.com"))) == expected
    assert sha256_of(UserIdentity(**identity(" Ann@Example.com", None))) == expected
    assert sha256_of(UserIdentity(**identity(expected.upper(), "sha256"))) == expected
    assert sha256_of(UserIdentity(**identity("ann@example.com", "sha256"))) is None
    assert sha256_of(UserIdentity(**identity("9b37c9d5dc2732d61e15bbf2c84e7247", "md5"))) is None
    assert sha256_of(UserIdentity(**identity("x", "sha512"))) is None
    assert sha256_of(UserIdentity(**identity("  "))) is None


def test_events_go_oldest_first() -> None:
    """Ties keep their place, those without a time go last, those that can not be read are left out."""
    events = [
        {"type": "custom_event", "name": "no time"},
        {"type": "custom_event", "id": "late", "timestamp_ms": 20},
        {"type": "custom_event", "name": "tie", "timestamp_ms": 5},
        {"type": "brand_new", "id": "new", "timestamp_ms": 5},
        {"type": "custom_event", "id": "bad", "timestamp_ms": [], "name": "unreadable"},
        {"type": "custom_event", "id": "early", "timestamp_ms": -1},
    ]
    names = [name for name, _ in in_time_order(batch(events=events).events)]
    assert names == ["early", "events[2]", "new", "late", "events[0]"]


def test_an_empty_field_was_given_and_an_absent_one_was_not() -> None:
    """Both read as empty; only one was sent."""
    [event] = batch(
        events=[{"type": "product_action", "products": [{"id": "a", "attributes": {}}, {"id": "b"}]}]
    ).events
    assert isinstance(event, ProductActionEvent)
    assert [given(product, "attributes") for product in event.products] == [{}, None]
    assert given(event, "products") == event.products
    assert given(event, "attributes") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5", 5),
        (" +5 ", 5),
        ("-0", 0),
        ("007", 7),
        (5, 5),
        (Decimal("5.0"), 5),
        (Decimal("1e3"), 1000),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ("9" * 5_000, None),
        (Decimal("1e999999"), None),
        (Decimal("5.5"), None),
        (Decimal("NaN"), None),
        ("5.5", None),
        ("５", None),
        ("1_000", None),
        ("0x10", None),
        ("", None),
        (True, None),
        (None, None),
        ([5], None),
    ],
)
def test_whole_numbers(value: object, expected: int | None) -> None:
    """Text, ints and whole decimals within the bits; everything else is none, and nothing raises."""
    assert whole(value) == expected


def test_whole_numbers_of_an_api_with_32_bits() -> None:
    """The limits belong to it."""
    assert whole("2147483647", bits=32) == 2**31 - 1
    assert whole("2147483648", bits=32) is None
    assert whole("-2147483648", bits=32) == -(2**31)


@pytest.mark.parametrize("text", [None, "", "null", "[]", '"{}"', "{", '{"a": NaN}', "[" * 100_000])
def test_text_that_holds_no_json_object(text: str | None) -> None:
    """It is none, however broken it is."""
    assert json_object(text) is None


def test_json_object_in_a_text() -> None:
    """Its numbers are exact."""
    assert json_object('{"a": 1.10}') == {"a": Decimal("1.10")}


HUGE = [Number("1e10000000"), Number("1e99999999999999999999"), Number("1e5000"), Decimal("1e400"), 10**4_000]
"""What `int()` takes a minute for, what no Decimal holds, what has more digits than `str()` writes."""


@pytest.mark.parametrize("number", [*HUGE, *(-one for one in HUGE[2:]), Decimal("NaN"), Decimal("-Infinity")])
def test_a_number_that_no_api_has_is_none(number: Any) -> None:
    """At once, whatever its exponent."""
    assert whole(number) is None
    assert truncated(number) is None
    assert whole(str(number) if isinstance(number, Decimal) else "9" * 4_001) is None


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        *((Decimal("2.9"), 2), (Decimal("-0.5"), 0), (Decimal("-2"), -2), (Decimal(0), 0), (5, 5), (True, None)),
        *((2**63 - 1, 2**63 - 1), (2**63, None), (-(2**63), -(2**63)), (None, None), ("5", None), ([], None)),
        *((Number("1e-99999999999999999"), 0), (Decimal("0." + "9" * 50_000), 0)),
    ],
)
def test_a_fraction_is_cut_off(number: object, expected: int | None) -> None:
    """Towards zero; what is no number, or has more bits, is none."""
    assert truncated(number) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("1.50", 1.5), ("-.5e1", -5.0), ("1.", 1.0), ("1e-400", 0.0), ("1" * 300, float("1" * 300))),
        *(("1e400", None), ("-1e400", None), ("1" * 400, None), ("1e" + "9" * 5_000, None), ("NaN", None)),
        *(("inf", None), ("Infinity", None), ("", None), (".", None), ("1_0", None), ("٣.٣", None), ("1.5\n", None)),
    ],
)
def test_doubles_are_finite(text: str, expected: float | None) -> None:
    """JSON has no word for the others; digits of other alphabets are none."""
    assert double(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0x1.8p1", 3.0), ("0x1p5000", None), ("0x1p" + "9" * 5_000, None), ("0x1.8", None), ("0x1p1\n", None)],
)
def test_doubles_in_hexadecimal(text: str, expected: float | None) -> None:
    """As Java writes them."""
    assert double_of_hex(text) == expected


def test_an_amount_is_negated_with_every_digit() -> None:
    """`-amount` would round to 28 digits, and raise for a large exponent."""
    assert str(negated(Decimal("0." + "7" * 60))) == "-0." + "7" * 60
    assert str(negated(Decimal("1e10000000"))) == "-1E+10000000"
    assert str(negated(Decimal("0.00"))) == "0.00"


def test_what_raises_is_left_out_alone() -> None:
    """All of it, also what it gave before it raised; the reason names the line and nothing of the part."""

    def calls_of(item: str, part: str) -> Iterator[str]:
        yield item
        yield str(1 / len(part))

    parts = [("a", "x"), ("b", ""), LeftOut("c", "no id")]
    first, second, out, also_kept = one_by_one(parts, calls_of)
    assert (first, second) == ("a", "1.0")
    assert isinstance(out, LeftOut)
    assert (out.item, out.raised) == ("b", True)
    assert out.why.startswith("can not be mapped: ZeroDivisionError in test_reading.py:")
    assert also_kept == LeftOut("c", "no id")


@pytest.mark.parametrize(
    "error",
    [InvalidRequest("must be set", "account.account_settings.apiKey"), InvalidSettings("ACME_HEADERS was not read")],
)
def test_what_is_about_more_than_a_part_is_raised(error: SpillwayError) -> None:
    """InvalidRequest is about the request and InvalidSettings about all of them, wherever it is found out."""

    def calls_of(item: str, part: str) -> Iterator[str]:
        raise error

    with pytest.raises(type(error)) as raised:
        list(one_by_one([("a", "x")], calls_of))
    assert raised.value is error


@pytest.mark.parametrize(
    ("field", "expected"), [({}, {}), ({"attributes": None}, {}), ({"attributes": {"a": 1}}, {"a": 1})]
)
def test_attributes_of_a_type_that_should_have_none(field: dict[str, Any], expected: dict[str, Any]) -> None:
    """They are what came; null is none."""
    [event] = batch(events=[{"type": "session_start", **field}]).events
    assert attributes_of(event) == expected


@pytest.mark.parametrize("attributes", ["", "x", 5, 0, True, [], [1]])
def test_attributes_that_are_no_object_cost_their_event(attributes: Any) -> None:
    """As those of a type that has them do, which the protocol's reader leaves out."""
    [event] = batch(events=[{"type": "session_start", "attributes": attributes}]).events
    [out] = one_by_one([("e", event)], lambda _, event: [attributes_of(event)])
    assert isinstance(out, LeftOut)


CONVERSIONS = {
    "int",
    "float",
    "Decimal",
    "round",
    "complex",
    "fromhex",
    "fromtimestamp",
    "utcfromtimestamp",
    "Fraction",
}
CONVERTS = {
    "address.py": "the port of the operator's URL, five digits at most",
    "reading.py": "where every foreign number is read",
    "settings.py": "the operator's rate",
    "wire.py": "the clock",
}


def test_numbers_are_read_in_one_place() -> None:
    """No other file of a partner makes a number of something: each way has inputs that take a minute, or raise."""
    folder = Path(__file__).parents[3] / "partners"
    found = {
        file.name
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and (node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")) in CONVERSIONS
    }
    assert found == set(CONVERTS)
