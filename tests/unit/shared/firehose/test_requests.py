import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from shared.firehose import (
    AudienceMembershipChangeRequest,
    AudienceMembershipChangeResponse,
    AudienceSubscriptionRequest,
    AudienceSubscriptionResponse,
    CustomEvent,
    DsrProcessingRequest,
    DsrProcessingResponse,
    EventProcessingRequest,
    EventProcessingResponse,
    EventType,
    GenericEnvironment,
    ImpressionEvent,
    ModuleRegistrationRequest,
    ProductActionEvent,
    SessionEndEvent,
    SessionStartEvent,
    parse_request,
)

Text = Callable[[str], bytes]
Differences = Callable[[object, object], list[str]]
REQUESTS = {
    "module_registration_request": ModuleRegistrationRequest,
    "event_processing_request": EventProcessingRequest,
    "audience_membership_change_request": AudienceMembershipChangeRequest,
    "audience_subscription_request": AudienceSubscriptionRequest,
    "dsr_processing_request": DsrProcessingRequest,
}
ENVIRONMENTS = {"android", "ios", "tvos", "mobileweb", "roku", "xbox", "firetv", "unknown", "smarttv", "alexa"}


def _as_lambda_does(text: bytes) -> Any:
    return json.loads(text)


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("arrive", [bytes, bytes.decode, _as_lambda_does], ids=["bytes", "str", "dict"])
def test_a_request_is_read_completely(
    kind: str, arrive: Callable[[bytes], Any], fixture_text: Text, independent: Callable[[bytes], Any], differences: Any
) -> None:
    """Each kind of request gives its own type, in which every field of the JSON is found, however it arrives."""
    text = fixture_text(f"{kind}.json")
    request = parse_request(arrive(text))
    assert type(request) is REQUESTS[kind]
    assert request.malformed == ()
    if arrive is not _as_lambda_does:
        assert differences(request, independent(text)) == []


def test_all_event_types_have_their_model(fixture_text: Text) -> None:
    """The 16 event types are all known, and each has a model of its own."""
    request = parse_request(fixture_text("event_processing_request.json"))
    assert isinstance(request, EventProcessingRequest)
    assert [event.type for event in request.events] == list(EventType)
    assert len({type(event) for event in request.events}) == len(EventType) == 16


def test_all_environments_are_read_completely(fixture_text: Text, differences: Differences) -> None:
    """Each of the ten environments is read into a model that knows all its fields."""
    wire = json.loads(fixture_text("environments.json"))
    assert {environment["type"] for environment in wire} == ENVIRONMENTS
    for environment in wire:
        request = parse_request({"type": "event_processing_request", "runtime_environment": environment})
        assert isinstance(request, EventProcessingRequest)
        assert request.malformed == ()
        assert differences(request.runtime_environment, environment) == []
        assert request.runtime_environment is not None
        assert request.runtime_environment.raw is environment


def test_environments_of_the_same_fields_stay_apart(fixture_text: Text) -> None:
    """A smart TV stays one: unlike in the SDK, its type does not become `unknown`."""
    request = parse_request(fixture_text("event_processing_request.json"))
    assert isinstance(request, EventProcessingRequest)
    assert isinstance(request.runtime_environment, GenericEnvironment)
    assert request.runtime_environment.type == "smarttv"


def test_numbers_are_exact(fixture_text: Text) -> None:
    """Session ids use all 64 bits, and amounts keep every digit and their scale."""
    request = parse_request(fixture_text("event_processing_request.json"))
    assert isinstance(request, EventProcessingRequest)
    by_type = {type(event): event for event in request.events}
    start, end, purchase = (by_type[kind] for kind in (SessionStartEvent, SessionEndEvent, ProductActionEvent))
    assert (start.session_id, end.session_id) == (-(2**63), 2**63 - 1)
    assert isinstance(purchase, ProductActionEvent)
    assert str(purchase.total_amount) == "1299.00"
    assert str(purchase.tax_amount) == "207.4000000000000000001"
    assert purchase.shipping_amount == Decimal("1E-7")
    assert str(purchase.products[0].price) == "10.00"
    assert str(purchase.products[0].total_amount) == "123456789012345678901234567890.5"
    assert request.mpid == "-8070450532247928832"


def test_what_a_partner_reaches_for(fixture_text: Text) -> None:
    """Settings, identities and attributes are plain dictionaries, lists and strings."""
    request = parse_request(fixture_text("event_processing_request.json"))
    assert isinstance(request, EventProcessingRequest)
    assert request.account is not None
    assert request.account.settings == {"apiKey": "velo-key-1", "sendRides": "true", "limit": "2.50", "note": ""}
    assert {identity.type: identity.value for identity in request.user_identities}["other2"] == "o2-5"
    custom = request.events[2]
    assert isinstance(custom, CustomEvent)
    assert custom.attributes == {"km": "12.50", "größe": "XL"}
    impression = request.events[14]
    assert isinstance(impression, ImpressionEvent)
    assert impression.impressions[0].products[0].id == "p-2"


def test_subject_identities_are_found_by_name(fixture_text: Text) -> None:
    """Identities of a data subject are keyed by a type that is also a plain string."""
    request = parse_request(fixture_text("dsr_processing_request.json"))
    assert isinstance(request, DsrProcessingRequest)
    assert request.subject_identities["email"].value == "rider@example.org"  # type: ignore[index]
    assert request.submitted_time == datetime(2026, 1, 1, 0, 5, 2, 987654, tzinfo=UTC)
    assert request.submitted_time_ns == 1767225902987654321


def test_raw_is_the_very_object_that_came() -> None:
    """A dictionary is not copied: the request's and each part's `raw` are its objects, unreadable parts included."""
    payload: dict[str, Any] = {
        "type": "event_processing_request",
        "events": [{"type": "session_start"}, {"type": "custom_event", "name": {}}, {"type": "new"}, None, 5],
        "system_notifications": [{"type": "ccpa_consent_state"}, {"type": "new"}],
        "mpid": [],
    }
    request = parse_request(payload)
    assert isinstance(request, EventProcessingRequest)
    assert request.raw is payload
    assert all(event.raw is wire for event, wire in zip(request.events, payload["events"], strict=True))
    assert all(
        notification.raw is wire
        for notification, wire in zip(request.system_notifications, payload["system_notifications"], strict=True)
    )
    profiles = {"type": "audience_membership_change_request", "user_profiles": [{"mpid": 1}, {"audiences": 5}, None]}
    changed = parse_request(profiles)
    assert isinstance(changed, AudienceMembershipChangeRequest)
    assert all(p.raw is wire for p, wire in zip(changed.user_profiles, profiles["user_profiles"], strict=True))


def test_raw_is_no_part_of_a_model() -> None:
    """`raw` takes no part in comparing or writing a model, and a field of that name in the JSON does not touch it."""
    plain = parse_request({"type": "module_registration_request", "id": "a"})
    spelled = parse_request(b'{"id": "a", "type": "module_registration_request"}')
    assert plain == spelled
    assert "raw" not in plain.model_dump()
    odd = parse_request({"type": "module_registration_request", "raw": 1, "malformed": 2, "_aside": 3})
    assert odd.raw["raw"] == 1
    assert odd.malformed == ()
    assert odd.model_extra == {"raw": 1, "malformed": 2, "_aside": 3}


def test_writing_a_model_keeps_its_parts(fixture_text: Text) -> None:
    """A dumped request has the fields of its events' own types, and dumping warns of nothing."""
    request = parse_request(fixture_text("event_processing_request.json"))
    assert request.model_dump()["events"][2]["custom_flags"] == {"Velo.beta": "1"}
    assert json.loads(request.model_dump_json())["runtime_environment"]["type"] == "smarttv"


def test_a_model_shows_no_personal_data(fixture_text: Text) -> None:
    """The `repr` of a model names ids at most, so that it may end up in a log."""
    request = parse_request(fixture_text("event_processing_request.json"))
    assert isinstance(request, EventProcessingRequest)
    shown = f"{request!r} {request} {request.account!r} {request.events!r} {request.user_identities!r}"
    assert request.id in shown
    assert not any(word in shown for word in ("velo-key-1", "o2-5", "Zoë", "ride finished"))


def test_a_copy_keeps_raw(fixture_text: Text) -> None:
    """A model copied with another value still has the JSON it came from."""
    request = parse_request(fixture_text("audience_subscription_request.json"))
    assert request.model_copy(update={"id": "x"}).raw is request.raw


@pytest.mark.parametrize(
    ("model", "wire", "field", "expected"),
    [
        (EventProcessingResponse, {"type": "event_processing_response"}, "suspend_subscription", False),
        (
            EventProcessingResponse,
            {"type": "event_processing_response", "suspend_subscription": True},
            "suspend_subscription",
            True,
        ),
        (
            AudienceMembershipChangeResponse,
            {"type": "audience_membership_change_response", "suspend_subscription": False},
            "suspend_subscription",
            False,
        ),
        (
            AudienceSubscriptionResponse,
            {"type": "audience_subscription_response", "audience_subscription_settings": {"listId": 7}},
            "audience_subscription_settings",
            {"listId": "7"},
        ),
        (DsrProcessingResponse, {"type": "dsr_processing_response", "id": "x"}, "id", "x"),
    ],
)
def test_responses(model: Any, wire: dict[str, Any], field: str, expected: object) -> None:
    """Each response is read, and an event response that says nothing about suspension does not ask for it."""
    response = model.model_validate(wire)
    assert getattr(response, field) == expected
    assert response.malformed == ()
    assert response.type == wire["type"]
