import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from shared.errors import InvalidRequest
from shared.firehose import (
    MalformedEvent,
    MalformedSystemNotification,
    UserIdentityChangeEvent,
    parse_request,
)
from tests.unit.shared.firehose.parsed import dsr_request, events_request, profiles_request

ROOT = Path(__file__).parents[4]
CANARY = "canary-7f3a"


# What has an impossible shape


@pytest.mark.parametrize(
    ("event", "where"),
    [
        (None, ""),
        (5, ""),
        ("custom_event", ""),
        ([], ""),
        ({"type": {}}, "type"),
        ({"type": "custom_event", "name": ["x"]}, "name"),
        ({"type": "custom_event", "attributes": {"a": ["x"]}}, "attributes[*]"),
        ({"type": "custom_event", "attributes": []}, "attributes"),
        ({"type": "session_start", "timestamp_ms": "soon"}, "timestamp_ms"),
        ({"type": "session_start", "location": 5}, "location"),
        ({"type": "session_start", "location": {"latitude": True}}, "location.latitude"),
        ({"type": "product_action", "total_amount": True}, "total_amount"),
        ({"type": "product_action", "products": [None, {}, {"price": "free"}]}, "products[2].price"),
        ({"type": "impression", "impressions": [{"products": [{"id": {}}]}]}, "impressions[0].products[0].id"),
        ({"type": "hologram_event", "id": {}}, "id"),
    ],
)
def test_an_unreadable_event_costs_no_other(event: Any, where: str) -> None:
    """An event with an impossible value becomes a MalformedEvent in its place and says where; the others are read."""
    good = {"type": "custom_event", "name": "x"}
    request = events_request(good, event, good)
    first, bad, last = request.events
    assert first == last == parse_events(good)[0]
    assert type(bad) is MalformedEvent
    assert bad.raw is event
    assert [place for place, _ in bad.malformed] == [where]
    assert [place for place, _ in request.malformed] == [f"events[1].{where}" if where else "events[1]"]


def parse_events(*events: Any) -> list[Any]:
    return list(events_request(*events).events)


def test_a_malformed_event_still_says_what_it_can() -> None:
    """A MalformedEvent has its type, id and time when these can be read."""
    (event,) = parse_events(
        {"type": "product_action", "id": "e", "timestamp_ms": 5, "tax_amount": {}, "action": "click"}
    )
    assert isinstance(event, MalformedEvent)
    assert (event.type, event.id, event.timestamp_ms) == ("product_action", "e", 5)


def test_an_unreadable_notification_costs_no_other() -> None:
    """A notification with an impossible value is explicit and in its place."""
    request = events_request(system_notifications=[{"type": "gdpr_consent_state", "purpose": {}}, 5, None])
    assert [type(n) for n in request.system_notifications] == [MalformedSystemNotification] * 3
    assert [where for where, _ in request.malformed] == [
        "system_notifications[0].purpose",
        "system_notifications[1]",
        "system_notifications[2]",
    ]


def test_an_unreadable_value_takes_only_its_own_unit_with_it() -> None:
    """An unreadable identity, attribute or setting goes alone and is named; its neighbours stay."""
    request = events_request(
        account={"account_id": "x", "account_settings": {"apiKey": "k", "bad": {}}},
        user_identities=[{"type": "email", "value": "a"}, {"type": "other", "value": {}}, 5, {"type": "customer"}],
        user_attributes={"good": "1", "bad": ["2"]},
        user_attribute_lists={"good": ["1"], "bad": "2", "half": ["3", {}]},
        runtime_environment={"type": "android", "brand": {}, "model": "m", "identities": [{"value": []}]},
        consent_state={"ccpa_consent_state": {"consented": True}},
        mpid="7",
    )
    assert request.account is not None
    assert (request.account.account_id, request.account.settings) == (None, {"apiKey": "k"})
    assert [identity.type for identity in request.user_identities] == ["email", "customer"]
    assert request.user_attributes == {"good": "1"}
    assert request.user_attribute_lists == {"good": ["1"], "half": ["3"]}
    assert request.runtime_environment is not None
    assert request.runtime_environment.model_dump(include={"brand", "model"}) == {"brand": None, "model": "m"}
    assert request.mpid == "7"
    assert sorted(where for where, _ in request.malformed) == [
        "account.account_id",
        "account.account_settings[*]",
        "consent_state.ccpa_consent_state[*]",
        "runtime_environment.brand",
        "runtime_environment.identities[0].value",
        "user_attribute_lists[*]",
        "user_attribute_lists[*][1]",
        "user_attributes[*]",
        "user_identities[1].value",
        "user_identities[2]",
    ]


def test_findings_that_read_alike_are_one_object() -> None:
    """A map of half a million unreadable values costs no text for each."""
    request = parse_request({"type": "event_processing_request", "user_attributes": {"a": [], "b": [], "c": {}}})
    assert len(request.malformed) == 3
    assert len({id(one) for one in request.malformed}) == 1


def test_an_unreadable_attribute_change_does_not_look_like_a_tag() -> None:
    """A change whose value is unreadable is left out: without its value it would set a tag."""
    profile = profiles_request(
        {
            "audiences": [
                {"audience_id": 1, "user_attributes": [{"key": "k", "value": ["a"], "action": "upsert"}, {"key": "l"}]},
                {"audience_id": "many"},
            ]
        }
    ).user_profiles[0]
    (audience,) = profile.audiences
    assert [attribute.key for attribute in audience.user_attributes] == ["l"]
    assert [where for where, _ in profile.malformed] == [
        "audiences[0].user_attributes[0].value",
        "audiences[1].audience_id",
    ]


@pytest.mark.parametrize("profile", [None, 5, "x", []])
def test_an_unreadable_profile_costs_no_other(profile: Any) -> None:
    """Something else than an object among the profiles is an empty profile in its place, and named."""
    request = profiles_request({"mpid": 1}, profile, {"mpid": 2})
    assert [p.mpid for p in request.user_profiles] == ["1", None, "2"]
    assert [where for where, _ in request.malformed] == ["user_profiles[1]"]


def test_an_identity_change_without_its_unreadable_identity_is_malformed() -> None:
    """An event is one unit: an unreadable identity in it makes the event malformed, not the list shorter."""
    (event,) = parse_events({"type": "user_identity_change", "added": [{"value": {}}]})
    assert not isinstance(event, UserIdentityChangeEvent)


# What is no request


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        (b"", ""),
        (b"[]", ""),
        (b"null", ""),
        (b'"x"', ""),
        (b"5", ""),
        (b'["event_processing_request", {}]', ""),
        (b"{}", "type"),
        ({}, "type"),
        ({"type": None}, "type"),
        ({"type": 1}, "type"),
        ({"type": ["module_registration_request"]}, "type"),
        ({"type": "MODULE_REGISTRATION_REQUEST"}, "type"),
        ({"type": " module_registration_request "}, "type"),
        ({"type": "portability_request"}, "type"),
        ({"type": "event_processing_response"}, "type"),
        ({"type": "event_processing_request", "events": {}}, "events"),
        ({"type": "event_processing_request", "events": ""}, "events"),
        ({"type": "event_processing_request", "system_notifications": "x"}, "system_notifications"),
        ({"type": "audience_membership_change_request", "user_profiles": {}}, "user_profiles"),
        ({"type": "dsr_processing_request", "subject_identities": []}, "subject_identities"),
        (None, ""),
        ([], ""),
    ],
)
def test_what_is_no_request_is_refused(payload: Any, where: str) -> None:
    """What is no object, has no request's type, or hides what it carries is refused, and the error says where."""
    with pytest.raises(InvalidRequest) as refused:
        parse_request(payload)
    assert refused.value.where == where


def test_endless_nesting_is_refused() -> None:
    """Where an unreadable value makes a look at every key necessary, nesting without end is refused."""
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"x": deep}
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        parse_request({"type": "event_processing_request", "mpid": [], "new": deep})
    assert parse_request({"type": "event_processing_request", "new": deep}).malformed == ()


def test_no_error_and_no_finding_quotes_the_payload() -> None:
    """Neither an error with its traceback nor any finding holds a key or a value of the payload."""
    odd: list[Any] = [CANARY, [CANARY], {CANARY: CANARY}, {CANARY: {CANARY: [CANARY]}}, [[{CANARY: CANARY}]]]
    for value in odd:
        names = ("id", "timestamp_ms", "account", "mpid", "user_identities", "user_attributes", "user_attribute_lists")
        request = events_request(
            value,
            {"type": "custom_event", "attributes": {CANARY: value}, "location": value, CANARY: value},
            {"type": "product_action", "products": [value], "total_amount": value},
            **dict.fromkeys(names, value),
            runtime_environment={"type": value, "apple_search_ads_attribution": {CANARY: {CANARY: value}}},
            consent_state={"gdpr_consent_state": {CANARY: value}},
            system_notifications=[value],
        )
        request_2 = dsr_request(submitted_time=value, subject_identities={CANARY: value}, regulation=value)
        assert request.malformed
        assert CANARY not in repr((request.malformed, request_2.malformed))
    refused = [
        f'{{"{CANARY}": {CANARY}',
        f'"{CANARY}"',
        f'{{"type": "{CANARY}"}}',
        f'{{"type": ["{CANARY}"]}}',
        f'{{"type": "event_processing_request", "events": "{CANARY}"}}',
        f'{{"type": "dsr_processing_request", "subject_identities": ["{CANARY}"]}}',
        CANARY.encode() + b"\xff",
        f'{{"type": "event_processing_request", "x": "{CANARY}", "y": NaN}}',
    ]
    for payload in refused:
        with pytest.raises(InvalidRequest) as error:
            parse_request(payload)
        assert CANARY not in "".join(traceback.format_exception(error.value))
        assert CANARY not in f"{error.value!r} {error.value.problem} {error.value.where}"


def test_the_error_tree_stays_light() -> None:
    """Importing the errors does not import pydantic, which would cost ingest its cold start."""
    code = "import sys, shared.errors; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
