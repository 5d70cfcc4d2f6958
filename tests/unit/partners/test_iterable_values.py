import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners import LeftOut
from partners.iterable_values import Call, coerce, data_fields, item, push, subscriptions, user_fields
from shared.firehose import Product


@pytest.mark.parametrize(("text", "value"), [("true", True), ("TRUE", True), ("False", False), ("false", False)])
def test_true_and_false_in_any_case_are_booleans(text: str, value: bool) -> None:
    """With blanks around them they are texts."""
    assert coerce(text) is value
    assert coerce(f"{text} ") == f"{text} "


@pytest.mark.parametrize(
    ("text", "number"),
    [("5", 5), ("+5", 5), ("007", 7), ("-0", 0), ("-2147483648", -(2**31)), ("2147483647", 2**31 - 1)],
)
def test_whole_numbers_of_32_bits_are_ints(text: str, number: int) -> None:
    """Signs and leading zeros are taken."""
    coerced = coerce(text)
    assert coerced == number
    assert type(coerced) is int


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.5", 1.5),
        (".5", 0.5),
        ("+.5", 0.5),
        ("1.50", 1.5),
        ("1e-3", 0.001),
        (" 1.5\t", 1.5),
        ("1.5f", 1.5),
        ("2.5D", 2.5),
        ("0x1.8p0", 1.5),
        ("-0X.8P0d", -0.5),
        ("4.9e-324", 5e-324),
        ("0.30000000000000004", 0.30000000000000004),
    ],
)
def test_numbers_with_a_fraction_are_doubles(text: str, number: float) -> None:
    """In every spelling that the types of existing fields came from."""
    coerced = coerce(text)
    assert coerced == number
    assert type(coerced) is float


@pytest.mark.parametrize(
    "text",
    [
        *("1.0", "1e3", "2147483648", "-2147483649", " 12 ", "1d", "1.79e308", "1e-400", "-0.0", "0x1p3"),
        *("", " ", "yes", "null", "1,5", "1_000", "1_0.5", "0x10", "１２", "nan", "inf", "1e", ".", "1.5ff", "1.5 f"),
        "9" * 5_000,
    ],
)
def test_everything_else_stays_text(text: str) -> None:
    """Whole numbers that are no int32, and what is no number."""
    assert coerce(text) == text


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "+NaN", "1e400", "-1e400", "0x1p5000"])
def test_numbers_without_a_json_form_stay_text(text: str) -> None:
    """D04: they cost neither their call nor those behind it."""
    assert coerce(text) == text


@given(st.text())
def test_no_text_breaks_the_coercion(text: str) -> None:
    """It gives a value that JSON has, or the text itself."""
    value = coerce(text)
    assert value == text or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def test_attributes_without_a_value_vanish() -> None:
    """With coercion and without; an empty text is a value."""
    assert data_fields({"a": None, "b": "", "c": "7"}, coerced=False) == {"b": "", "c": "7"}
    assert data_fields({"a": None, "b": "", "c": "7"}, coerced=True) == {"b": "", "c": 7}


def test_mobile_number_is_the_phone_number() -> None:
    """Its digits and + are kept, it wins over one that is there, and no other name is changed."""
    attributes = {"$Mobile": "+1 (555) 876-5309", "phoneNumber": "0", "$Zip": "1"}
    assert user_fields(attributes, coerced=False) == {"phoneNumber": "+15558765309", "$Zip": "1"}
    assert user_fields({"$Mobile": "no digits"}, coerced=False) == {"phoneNumber": ""}
    assert user_fields({"$Mobile": None, "phoneNumber": "5"}, coerced=False) == {"phoneNumber": "5"}


@pytest.mark.parametrize("number", ["+12 345 6789", "030 123456", "5"])
def test_phone_numbers_stay_text(number: str) -> None:
    """D15: a number would lose its + and its leading zeros."""
    expected = number.replace(" ", "")
    assert user_fields({"$Mobile": number}, coerced=True) == {"phoneNumber": expected}
    assert user_fields({"phoneNumber": number}, coerced=True) == {"phoneNumber": number}


def test_subscription_lists_are_split_at_commas() -> None:
    """Blanks around an id and empty pieces do not matter; an empty list is one, an absent list is none."""

    def body(**attributes: str | None) -> dict[str, Any]:
        call = subscriptions("events[0]", "a@example.com", attributes)
        assert isinstance(call, Call)
        assert (call.endpoint, call.item, call.body.pop("email")) == (
            "users/updateSubscriptions",
            "events[0]",
            "a@example.com",
        )
        return call.body

    lists = body(emailListIds="10,,+11, 12 ,", unsubscribedChannelIds="", campaignId=" 5 ", templateId="x")
    assert lists == {"emailListIds": [10, 11, 12], "unsubscribedChannelIds": [], "campaignId": 5}
    assert body(emailListIds=",") == {"emailListIds": []}
    assert body(emailListIds=None, campaignId="99999999999") == {}


@pytest.mark.parametrize("text", ["1,two", "1.5", "1, ", "2147483648"])
def test_a_list_with_a_bad_id_is_no_list(text: str) -> None:
    """D05: Iterable replaces the whole list, so half of one must not be sent."""
    said = subscriptions("events[3]", "a@example.com", {"emailListIds": text, "unsubscribedChannelIds": "1"})
    assert said == LeftOut("events[3]", "subscriptions: one of the lists holds what is no id")


PUSH = '{"campaignId": 5, "templateId": 6, "messageId": "m"}'


@pytest.mark.parametrize("payload", [f'{{"itbl": {PUSH}}}', f'{{"itbl": {json.dumps(PUSH)}}}'])
def test_push_of_either_platform(payload: str) -> None:
    """D05: an object or JSON text, on both; a payload of the other shape cost the rest of the batch."""
    assert push(payload) == {"campaignId": 5, "templateId": 6, "messageId": "m"}


@pytest.mark.parametrize(
    "content",
    [
        '{"campaignId": 0, "templateId": 6}',
        '{"templateId": 6}',
        '{"campaignId": 5, "templateId": null}',
        '{"campaignId": 5, "templateId": 1.5}',
        '{"campaignId": true, "templateId": 6}',
        "[5, 6]",
        '"text"',
        "null",
    ],
)
def test_push_without_a_campaign_is_none(content: str) -> None:
    """A proof has no campaign or template; what is no push of Iterable's has neither."""
    assert push(f'{{"itbl": {content}}}') is None


@pytest.mark.parametrize("payload", [None, "", "text", "[]", "{}", '{"other": {}}'])
def test_payload_of_somebody_else(payload: str | None) -> None:
    """No payload, no JSON, no `itbl`."""
    assert push(payload) is None


@pytest.mark.parametrize(("spelling", "number"), [('"77"', 77), ("5.0", 5), ("3000000000", 3_000_000_000), ("-3", -3)])
def test_push_ids_in_any_spelling(spelling: str, number: int) -> None:
    """D13: text, 5.0 and ids above int32 are ids."""
    found = push(f'{{"itbl": {{"campaignId": {spelling}, "templateId": 6}}}}')
    assert found == {"campaignId": number, "templateId": 6}


def test_item_of_a_purchase() -> None:
    """The product's id is its sku too; attributes are converted as a user's; what is absent is left out."""
    product = Product(
        id="A",
        name="Shoe",
        category="Shoes",
        price=Decimal("10.00"),
        quantity=2,
        attributes={"$Mobile": "1 2", "n": "5"},
    )
    expected: dict[str, Any] = {"id": "A", "sku": "A", "name": "Shoe", "categories": ["Shoes"], "quantity": 2}
    found = item(product, coerced=True)
    assert found == expected | {"price": Decimal("10.00"), "dataFields": {"phoneNumber": "12", "n": 5}}
    assert str(found["price"]) == "10.00"
    assert item(Product(), coerced=True) == {"quantity": 1}


@pytest.mark.parametrize(
    ("quantity", "pieces"), [("0.5", 1), ("2.9", 2), ("3000000000", 3_000_000_000), ("0", 0), ("-0.5", 0), ("-2", -2)]
)
def test_quantity_is_whole_pieces(quantity: str, pieces: int) -> None:
    """D18: a part of a piece is one, large numbers stay what they are."""
    assert item(Product(quantity=quantity), coerced=False)["quantity"] == pieces
