"""Amplitude's events: what requests become."""

import hashlib
import json
from decimal import Decimal
from typing import Any

import pytest

from partners.amplitude import Amplitude
from shared.errors import InvalidRequest
from shared.firehose import parse_request
from shared.firehose.json_text import decode
from testkit import left_out
from tests.unit.partners.amplitude_requests import ANN, DEVICE, SETTINGS, batch, custom, sent


def test_event_has_who_when_what_and_on_which_device() -> None:
    """Ids, time, name, properties and the device's facts; the id of mParticle's event lets Amplitude know a repeat."""
    [event] = sent(batch(custom("Search", attributes={"term": "shoes"}, location={"latitude": 1.5, "longitude": -2})))
    assert event == {
        "user_id": "ann-1",
        "device_id": "VENDOR-1",
        "event_type": "Search",
        "time": 0,
        "event_properties": {"term": "shoes"},
        "location_lat": Decimal("1.5"),
        "location_lng": -2,
        "platform": "iOS",
        "os_name": "iOS",
        "os_version": "17.1",
        "device_model": "iPhone15,2",
        "app_version": "2.3",
        "ip": "192.0.2.7",
        "idfv": "VENDOR-1",
        "insert_id": "e0",
    }


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ({"type": "screen_view", "screen_name": "Cart"}, "Viewed Cart"),
        ({"type": "screen_view"}, "Viewed Screen"),
        ({"type": "custom_event"}, "Custom Event"),
        ({"type": "product_action", "action": "add_to_cart"}, "Product add_to_cart"),
        ({"type": "product_action", "action": "brand_new"}, "Product brand_new"),
        ({"type": "session_start"}, "Session Start"),
        ({"type": "application_state_transition", "application_state": "install"}, "Application State"),
        (custom("x" * 2_000), "x" * 1_024),
    ],
)
def test_event_has_a_name(event: dict[str, Any], name: str) -> None:
    """A custom event's own, or one made of its type."""
    assert [one["event_type"] for one in sent(batch(event))] == [name]


def test_properties_are_what_the_event_says() -> None:
    """Its own fields and its attributes, long texts cut; flags that are meant for others are left out."""
    error = {"type": "error", "message": "x" * 2_000, "is_crash": True, "stack_trace": None, "attributes": {"a": None}}
    [event] = sent(batch({**error, "custom_flags": {"f": "1"}}))
    assert event["event_properties"] == {"message": "x" * 1_024, "is_crash": True, "a": True}


def test_purchase_is_revenue_and_a_refund_takes_it_back() -> None:
    """Amounts keep every digit; everything else of the purchase is properties."""
    purchase = {"type": "product_action", "action": "purchase", "products": [{"id": "p-1", "price": 10.10}]}
    text = json.dumps(batch(purchase, {**purchase, "action": "refund"})).replace(
        '"action"', '"total_amount": 10.10, "action"'
    )
    bought, refunded = [
        event for one in Amplitude().deliveries(parse_request(text)) for event in decode(one.body)["events"]
    ]
    assert (str(bought["revenue"]), bought["revenueType"], bought["productId"]) == ("10.10", "Purchase", "p-1")
    assert (str(refunded["revenue"]), refunded["revenueType"]) == ("-10.10", "Refund")
    assert bought["event_properties"]["products"][0]["id"] == "p-1"
    assert "revenue" not in sent(batch({"type": "product_action", "action": "add_to_cart", "total_amount": 5}))[0]


def test_user_attributes_are_identified_before_the_events() -> None:
    """Attributes and lists are set once for a request, a tag as true; a batch without events does it, too."""
    fields = {"user_attributes": {"plan": "pro", "tag": None}, "user_attribute_lists": {"likes": ["a", "b"]}}
    identify, event = sent(batch(custom(), **fields))
    assert identify["event_type"] == "$identify"
    assert identify["user_properties"] == {"$set": {"plan": "pro", "tag": True, "likes": ["a", "b"]}}
    assert event["event_type"] == "Viewed"
    assert [one["event_type"] for one in sent(batch(**fields))] == ["$identify"]


def test_change_of_an_attribute_sets_and_unsets() -> None:
    """At its own time; what was removed is unset."""
    change = {"type": "user_attribute_change", "added": {"a": "1"}, "removed": {"b": "2"}}
    first, untimed = sent(batch(change, {**change, "timestamp_ms": None}))
    assert first["user_properties"] == {"$set": {"a": "1"}, "$unset": {"b": "-"}}
    assert [(one["time"], one["insert_id"]) for one in (first, untimed)] == [(0, "e0"), (9_000, "e1")]


def test_event_without_an_id_is_known_by_what_it_says() -> None:
    """Sent again it has the same insert id; another event, or that of another request, has another."""
    bare = {**custom("a"), "id": None}
    [first], [again] = sent(batch(bare)), sent(batch(bare))
    others = [sent(batch({**bare, "name": "A"}))[0], sent(batch(bare, id="r-2"))[0]]
    assert first["insert_id"] == again["insert_id"]
    assert len({first["insert_id"], *(one["insert_id"] for one in others)}) == 3


def test_accounts_of_one_project_do_not_hide_each_others_events() -> None:
    """Requests of one id say the same for two of them: Amplitude has both. An account may be a number or a text."""
    fields = {"user_attributes": {"plan": "pro"}}

    def insert_ids(**account: object) -> list[str]:
        bare = batch({**custom("a"), "id": None}, **fields)
        return [one["insert_id"] for one in sent({**bare, "account": {"account_settings": SETTINGS, **account}})]

    of_accounts = [insert_ids(account_id=7), insert_ids(account_id=8), insert_ids(account_id="acme"), insert_ids()]
    assert len({one for ids in of_accounts for one in ids}) == 8
    assert insert_ids(account_id="7") == insert_ids(account_id=7)
    assert insert_ids(account_id=None) == insert_ids()


def test_what_is_known_by_its_content_stays_known() -> None:
    """Other bytes would have what is sent again across a release counted twice."""
    bare = batch({**custom("a"), "id": None}, runtime_environment=None)
    [event], [of_nobody] = sent(bare), sent({**bare, "account": {"account_settings": SETTINGS}})
    content = b'{"id":null,"timestamp_ms":0,"type":"custom_event","name":"a"}'
    assert event["insert_id"] == hashlib.sha256(b'["7","r-1",' + content + b"]").hexdigest()
    assert of_nobody["insert_id"] == hashlib.sha256(b'["r-1",' + content + b"]").hexdigest()


@pytest.mark.parametrize(
    ("field", "user_id"), [("customerId", "ann-1"), ("email", "ann@example.com"), ("mpid", "-77"), ("", "ann-1")]
)
def test_customer_decides_what_the_user_id_is(field: str, user_id: str) -> None:
    """One setting, for events and audiences alike."""
    assert sent(batch(custom(), settings={"userIdField": field}))[0]["user_id"] == user_id


def test_unknown_user_id_field_is_named() -> None:
    """A setting that means nothing is refused in words."""
    with pytest.raises(InvalidRequest, match="userIdField: must be customerId, email or mpid"):
        sent(batch(custom(), settings={"userIdField": "phone"}))


@pytest.mark.parametrize("value", ["unknown", "NULL", "0", "00000000-0000-0000-0000-000000000000", ""])
def test_id_that_amplitude_takes_for_none_is_left_out(value: str) -> None:
    """One bad id must not have the whole batch refused; without any, the request says so."""
    nobody = {"user_identities": [{"type": "customer", "value": value}], "runtime_environment": {"type": "ios"}}
    [event] = sent(batch(custom(), **nobody, device_application_stamp="stamp-1"))
    assert ("user_id" in event, event["device_id"]) == (False, "stamp-1")
    with pytest.raises(InvalidRequest, match="user_identities: no user id and no device id"):
        sent(batch(custom(), **nobody))


def test_events_that_can_not_be_read_or_are_unknown_are_left_out() -> None:
    """They cost their neighbours nothing."""
    odd = [{"type": "product_action", "action": "purchase", "total_amount": "ten"}, {"type": "brand_new"}, 5]
    request = batch(custom())
    request["events"] += odd
    assert [one["event_type"] for one in sent(request)] == ["Viewed"]


@pytest.mark.parametrize("kind", ["session_start", "session_end", "application_state_transition", "promotion_action"])
@pytest.mark.parametrize("attributes", ["text", "", ["a"], [], 5, 0, True])
def test_an_odd_field_costs_its_event(kind: str, attributes: Any) -> None:
    """Attributes that are no object, of whichever type of event: the neighbours are sent as if it were not there."""
    request = batch(custom("before"), {"type": kind, "attributes": attributes}, custom("after"))
    assert [event["event_type"] for event in sent(request)] == ["before", "after"]


@pytest.mark.parametrize("kind", ["session_start", "session_end", "application_state_transition"])
def test_null_is_no_attributes(kind: str) -> None:
    """The event is sent without any."""
    assert len(sent(batch({"type": kind, "attributes": None}))) == 1


@pytest.mark.parametrize("amount", ["1e10000000", "-1e10000000", "1e5000", "0", "12345678901234567890.123456789012345"])
def test_a_refund_of_any_amount_keeps_its_digits_and_its_neighbours(amount: str) -> None:
    """No context of decimal arithmetic rounds it, or raises for it."""
    refund = {"type": "product_action", "action": "refund", "total_amount": amount}
    [before, back, after] = sent(batch(custom("before"), refund, custom("after")))
    assert back["revenue"] == Decimal(amount).copy_negate()
    assert (before["event_type"], after["event_type"]) == ("before", "after")


def test_a_device_s_fact_that_is_no_text_is_left_out() -> None:
    """An environment keeps fields of others as they came; one odd one would cost all events at Amplitude."""
    device = {"type": "roku", "network_carrier": {"a": 1}, "manufacturer": "Roku", "identities": DEVICE["identities"]}
    [event] = sent(batch(custom(), runtime_environment=device))
    assert "carrier" not in event
    assert event["device_manufacturer"] == "Roku"


def audience_change(*profiles: dict[str, Any], **settings: str) -> dict[str, Any]:
    account = {"account_id": 7, "account_settings": SETTINGS | settings}
    return {
        "type": "audience_membership_change_request",
        "id": "r-2",
        "timestamp_ms": 9_000,
        "account": account,
        "user_profiles": list(profiles),
    }


def test_audience_is_a_user_property() -> None:
    """True and false by its name, or by the name that the customer gave it; attributes with it."""
    audiences = [
        {"audience_id": 1, "audience_name": "Fans", "action": "add"},
        {"audience_id": 2, "action": "delete", "audience_subscription_settings": {"propertyName": "is_new"}},
        {
            "audience_id": 3,
            "action": "attribute_update",
            "user_attributes": [
                {"key": "plan", "value": "pro", "action": "upsert"},
                {"key": "old", "action": "delete"},
            ],
        },
    ]
    request = audience_change({"user_identities": ANN, "audiences": audiences}, {"audiences": audiences}, {})
    [event] = sent(request)
    assert event["user_id"] == "ann-1"
    assert event["user_properties"] == {
        "$set": {"Audience Fans": True, "is_new": False, "plan": "pro"},
        "$unset": {"old": "-"},
    }
    why = "a profile without a user id or device id that Amplitude takes"
    assert left_out(Amplitude(), parse_request(json.dumps(request))) == [("user_profiles[1]", why)]
