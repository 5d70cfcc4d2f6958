import json
from typing import Any

import pytest

from partners.reading import given
from shared.errors import InvalidRequest, Unmappable
from shared.firehose import (
    AudienceSubscriptionRequest,
    CcpaConsentStateNotification,
    CustomEvent,
    EventProcessingRequest,
    ProductActionEvent,
    PushSubscriptionEvent,
    Unknown,
    UnknownEnvironment,
    UnknownEvent,
    UnknownSystemNotification,
    UserAttributeChangeEvent,
    parse_request,
)
from tests.unit.shared.firehose.parsed import dsr_request, events_request, profiles_request

# What is new


def test_unknown_fields_are_kept() -> None:
    """A field that no model knows is kept at every level."""
    request = events_request(
        {"type": "custom_event", "new": [1]},
        data_plan={"id": 1},
        account={"region": "eu"},
        user_identities=[{"type": "email", "since": 5}],
    )
    assert request.model_extra == {"data_plan": {"id": 1}}
    assert request.account is not None
    assert request.account.model_extra == {"region": "eu"}
    assert request.user_identities[0].model_extra == {"since": 5}
    assert request.events[0].model_extra == {"new": [1]}
    assert request.malformed == ()


def test_an_unknown_event_type_costs_no_other_event() -> None:
    """One event of a new type among a thousand is an UnknownEvent; all others are what they are."""
    known = {"type": "custom_event", "name": "x"}
    new = {"type": "hologram_event", "id": "h", "timestamp_ms": 5, "session_id": 6, "hue": 7}
    request = events_request(*[known] * 999, new)
    assert [type(event) for event in request.events] == [CustomEvent] * 999 + [UnknownEvent]
    hologram = request.events[-1]
    assert hologram.type == Unknown("hologram_event")
    assert isinstance(hologram.type, Unknown)
    assert (hologram.id, hologram.timestamp_ms, hologram.session_id) == ("h", 5, 6)
    assert hologram.model_extra == {"hue": 7}


@pytest.mark.parametrize("tag", ["Custom_Event", " custom_event ", "", 7, True, None])
def test_an_event_type_is_matched_exactly(tag: object) -> None:
    """A type in another case, with blanks, or that is no string makes an UnknownEvent which carries it."""
    event = events_request({"type": tag, "id": "e"}).events[0]
    assert type(event) is UnknownEvent
    assert event.id == "e"
    assert event.type is None if tag is None else isinstance(event.type, Unknown)


def test_an_event_without_a_type_is_unknown() -> None:
    """An object without a type is still an event, of no known type."""
    event = events_request({"id": "e"}).events[0]
    assert type(event) is UnknownEvent
    assert event.type is None


@pytest.mark.parametrize("tag", ["desktop", "IOS", "", None, 3])
def test_an_unknown_environment(tag: object) -> None:
    """An environment of a new type keeps what all environments have, and the rest as unknown fields."""
    request = events_request(
        runtime_environment={"type": tag, "sdk_version": "9", "identities": None, "screens": 3}, mpid=1
    )
    environment = request.runtime_environment
    assert isinstance(environment, UnknownEnvironment)
    assert environment.sdk_version == "9"
    assert environment.identities == []
    assert environment.model_extra == {"screens": 3}
    assert request.malformed == ()


def test_an_unknown_system_notification() -> None:
    """A notification of a new type is explicit and costs no other."""
    request = events_request(system_notifications=[{"type": "tcf_state", "x": 1}, {"type": "ccpa_consent_state"}])
    new, ccpa = request.system_notifications
    assert isinstance(new, UnknownSystemNotification)
    assert new.type == Unknown("tcf_state")
    assert isinstance(ccpa, CcpaConsentStateNotification)
    assert ccpa.purpose == "data_sale_opt_out"


def test_unknown_enum_values_carry_the_original() -> None:
    """New identity types, encodings, actions and states are Unknown and equal to what was sent."""
    request = events_request(
        {"type": "product_action", "action": "remove_from_wishlist"},
        {"type": "push_subscription", "action": "snooze", "token": "t"},
        user_identities=[{"type": "pinterest", "encoding": "sha512", "value": "p"}],
        runtime_environment={"type": "ios", "att_authorization_status": "AUTHORIZED"},
    )
    product, push = request.events
    assert isinstance(product, ProductActionEvent)
    assert isinstance(push, PushSubscriptionEvent)
    identity = request.user_identities[0]
    found = [product.action, push.action, identity.type, identity.encoding]
    assert found == ["remove_from_wishlist", "snooze", "pinterest", "sha512"]
    assert all(isinstance(value, Unknown) for value in found)
    assert repr(found[0]) == "Unknown('remove_from_wishlist')"
    assert request.malformed == ()


def test_unknown_values_of_the_other_requests() -> None:
    """New actions, request types, regulations and identity types of audiences and erasures are Unknown."""
    profile = profiles_request({"audiences": [{"audience_id": 1, "action": "remove"}]}).user_profiles[0]
    assert isinstance(profile.audiences[0].action, Unknown)
    erasure = dsr_request(
        subject_request_type="access",
        regulation="lgpd",
        subject_identities={"other6": {"encoding": "md5", "value": "x"}, "EMAIL": {}, "email": {"value": "y"}},
    )
    assert isinstance(erasure.subject_request_type, Unknown)
    assert isinstance(erasure.regulation, Unknown)
    assert list(erasure.subject_identities) == ["other6", "EMAIL", "email"]
    assert [isinstance(key, Unknown) for key in erasure.subject_identities] == [True, True, False]
    subscription = parse_request({"type": "audience_subscription_request", "action": "pause"})
    assert isinstance(subscription, AudienceSubscriptionRequest)
    assert isinstance(subscription.action, Unknown)


# What is missing


@pytest.mark.parametrize("fields", [{}, {"events": None}, {"events": []}])
def test_missing_null_and_empty_events_are_alike(fields: dict[str, Any]) -> None:
    """A request without events has an empty list, however it says so."""
    request = parse_request({"type": "event_processing_request", **fields})
    assert isinstance(request, EventProcessingRequest)
    assert request.events == []


@pytest.mark.parametrize("empty", ["missing", "null", "empty"])
def test_lists_and_maps_are_never_none(empty: str) -> None:
    """Every list and every map of a request is there, empty, when it is missing, null or empty."""
    lists = ("partner_identities", "user_identities", "system_notifications", "events")
    maps = ("user_attributes", "user_attribute_lists", "integration_attributes")
    fields: dict[str, Any] = {
        "missing": {},
        "null": dict.fromkeys((*lists, *maps)),
        "empty": {name: [] for name in lists} | {name: {} for name in maps},
    }[empty]
    request = parse_request({"type": "event_processing_request", **fields})
    assert [getattr(request, name) for name in lists] == [[]] * 4
    assert [getattr(request, name) for name in maps] == [{}] * 3
    assert request.malformed == ()


def test_nothing_is_invented() -> None:
    """Missing ids, times, versions and coordinates are None: no random id, no current time, no place at 0 degrees."""
    request = events_request({"type": "session_start", "location": {"accuracy": 1}})
    event = request.events[0]
    assert (request.id, request.timestamp_ms, request.firehose_version) == (None, None, None)
    assert (event.id, event.timestamp_ms, event.session_id) == (None, None, None)
    assert event.location is not None
    assert (event.location.latitude, event.location.longitude, event.location.accuracy) == (None, None, 1.0)


def test_an_account_may_be_missing_anywhere() -> None:
    """No kind of request needs an account."""
    for kind in (
        "event_processing_request",
        "audience_membership_change_request",
        "audience_subscription_request",
        "dsr_processing_request",
    ):
        assert parse_request({"type": kind}).account is None  # type: ignore[union-attr]


def test_null_and_empty_elements_of_lists() -> None:
    """Null elements of a list are left out, an empty object stays as an element without values."""
    profile = profiles_request(
        {
            "audiences": [None, {"user_attributes": [{"key": "k", "list_value": [None, "x", ""]}, {}, None]}],
            "user_identities": [None],
        }
    ).user_profiles[0]
    (audience,) = profile.audiences
    assert [attribute.key for attribute in audience.user_attributes] == ["k", None]
    assert audience.user_attributes[0].list_value == ["x", ""]
    assert profile.user_identities == []
    assert profile.malformed == ()


def test_null_values_of_maps() -> None:
    """An attribute without a value stays, as None; a setting without a value is not set."""
    request = events_request(
        {"type": "user_attribute_change", "added": {"tag": None}, "removed": None},
        user_attributes={"tag": None, "a": ""},
        user_attribute_lists={"a": None, "b": [None, "x"]},
        account={"account_settings": {"a": None, "b": ""}},
        consent_state={"gdpr_consent_state": {"p": None, "q": {}}, "ccpa_consent_state": None},
    )
    change = request.events[0]
    assert isinstance(change, UserAttributeChangeEvent)
    assert (change.added, change.removed) == ({"tag": None}, {})
    assert request.user_attributes == {"tag": None, "a": ""}
    assert request.user_attribute_lists == {"b": ["x"]}
    assert request.account is not None
    assert request.account.settings == {"b": ""}
    assert request.consent_state is not None
    assert list(request.consent_state.gdpr_consent_state) == ["q"]
    assert request.consent_state.gdpr_consent_state["q"].consented is None


def test_an_identity_without_encoding_or_value() -> None:
    """An incomplete identity is kept with what it has."""
    request = events_request(user_identities=[{"type": "email", "value": "x"}, {"type": "email"}, {}])
    assert [(i.type, i.encoding, i.value) for i in request.user_identities] == [
        ("email", None, "x"),
        ("email", None, None),
        (None, None, None),
    ]


def test_a_null_subject_identity_is_left_out() -> None:
    """A data subject's identity that is null is none."""
    assert dsr_request(subject_identities={"email": None}).subject_identities == {}
    assert dsr_request(subject_identities=None).subject_identities == {}


# What has another type than declared, but can be read


@pytest.mark.parametrize(
    ("mpid", "expected"),
    [
        ("-4600434991045375050", "-4600434991045375050"),
        (-4600434991045375050, "-4600434991045375050"),
        (9007199254740993, "9007199254740993"),
        ("1" * 60, "1" * 60),
        (int("1" * 60), "1" * 60),
        (None, None),
    ],
)
def test_mpid_is_exact_text(mpid: object, expected: str | None) -> None:
    """An mpid is a string of exactly the digits that were sent, as a string or as a number of any length."""
    text = json.dumps({"type": "event_processing_request", "mpid": mpid})
    for payload in (text, text.encode(), json.loads(text)):
        request = parse_request(payload)
        assert isinstance(request, EventProcessingRequest)
        assert request.mpid == expected


def test_settings_are_strings_in_the_spelling_of_the_sender() -> None:
    """Numbers and bools among the settings become strings, digit for digit."""
    request = parse_request(
        b'{"type": "event_processing_request", "account": {"account_settings":'
        b'{"a": 5, "b": 1.50, "c": true, "d": 1e3, "e": 12345678901234567890, "f": false, "g": -0, "h": "x"}}}'
    )
    assert isinstance(request, EventProcessingRequest)
    assert request.account is not None
    assert request.account.settings == {
        "a": "5",
        "b": "1.50",
        "c": "true",
        "d": "1e3",
        "e": "12345678901234567890",
        "f": "false",
        "g": "-0",
        "h": "x",
    }


def test_strings_with_lone_surrogates_can_be_sent_on() -> None:
    """Half a surrogate pair in a value or a key costs nothing: models have U+FFFD for it, `raw` has it as it came."""
    request = parse_request(
        rb'{"type": "event_processing_request", "mpid": [], "\ud800": 1,'
        rb'"user_attributes": {"\ud83d": "\ud83d", "a": {}},'
        rb'"user_identities": [{"type": "email", "\udc00": 1, "value": "\ud83dx"}],'
        rb'"events": [{"type": "custom_event", "\ud83d": {"\ud83d": []}}, {"type": "custom_event", "name": "\ud83d"}]}'
    )
    assert isinstance(request, EventProcessingRequest)
    assert request.user_attributes == {"\ufffd": "\ufffd"}
    assert request.user_identities[0].value == "\ufffdx"
    assert [type(event) for event in request.events] == [CustomEvent, CustomEvent]
    assert [where for where, _ in request.malformed] == ["user_attributes[*]", "mpid"]
    assert request.raw["\ud800"] == 1
    assert request.events[0].raw is request.raw["events"][0]
    request.model_dump_json().encode()


def test_only_what_is_asked_for_is_read() -> None:
    """The rest is in `raw` as it came, and as a field an error; what is no request is refused all the same."""
    content: dict[str, Any] = {
        "type": "event_processing_request",
        "id": "r-1",
        "mpid": 5,
        "account": {"account_id": 7, "account_settings": {"apiKey": "k"}},
        "user_attributes": {"a": "b"},
        "events": [{"type": "custom_event", "id": "e-1"}],
        "runtime_environment": {"type": "ios"},
        "user_identities": [],
        "newer": {"a": 1},
        "newer_list": [1],
    }
    request = parse_request(content, only={"account"})
    assert isinstance(request, EventProcessingRequest)
    assert request.account is not None
    assert (request.id, request.mpid, request.account.settings) == ("r-1", "5", {"apiKey": "k"})
    for name in ("events", "user_attributes", "runtime_environment", "newer", "newer_list"):
        with pytest.raises(Unmappable, match=f"reads `{name}`"):
            getattr(request, name, None)
    assert request.model_extra == {}
    for whole in (dict, EventProcessingRequest.model_dump, EventProcessingRequest.model_dump_json):
        with pytest.raises(Unmappable):
            whole(request)
        assert whole(parse_request(content))
    with pytest.raises(Unmappable):
        given(request, "user_attributes")
    assert (request.user_identities, request.system_notifications, request.consent_state) == ([], [], None)
    assert (request.malformed, request.raw) == ((), content)
    assert request.raw is content
    for wrong in ({"a": 1}, [1]):
        odd = parse_request({**content, "mpid": wrong, "id": wrong}, only={"account"})
        assert (odd.mpid, odd.id, len(odd.malformed)) == (None, None, 2)
    for name in ("events", "system_notifications"):
        for wrong in ({}, {"a": 1}, "text", 5, True):
            with pytest.raises(InvalidRequest, match=name):
                parse_request({**content, name: wrong}, only={"account"})
