import hashlib
from decimal import Decimal
from typing import Any

import pytest

from partners.reading import (
    device_identities,
    first_of,
    given,
    in_time_order,
    json_object,
    sha256_of,
    values_of,
    whole,
)
from shared.firehose import (
    DeviceIdentityType,
    EventProcessingRequest,
    ProductActionEvent,
    UserIdentity,
    UserIdentityType,
    parse_request,
)


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
