import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.firehose import EventProcessingRequest, MalformedEvent, UnknownEvent, parse_request
from testkit.requests import KINDS, make_request

TEXT = st.text(st.characters(), max_size=12)  # lone surrogates included
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**60, max_value=2**70)
    | st.floats()
    | TEXT
    | st.sampled_from(["2024-05-01T00:00:00Z", "1e3", "true", "raw", "email", "custom_event", "9" * 400])
)
NAMES = """type id timestamp_ms account account_settings events name attributes products price location latitude
user_identities value user_attributes user_profiles audiences system_notifications purpose submitted_time
subject_identities runtime_environment identities consent_state gdpr_consent_state mpid added"""
FIELDS = st.sampled_from(NAMES.split())
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS | TEXT, inner, max_size=5),
    max_leaves=20,
)
BODIES = st.dictionaries(FIELDS | TEXT, JSON, max_size=6)
SEEDS = st.integers(min_value=0, max_value=2000)
ENUM_FIELDS = {
    "type",
    "encoding",
    "action",
    "custom_event_type",
    "application_state",
    "setting",
    "att_authorization_status",
    "subject_request_type",
    "regulation",
}
MAPS = {
    "account_settings",
    "added",
    "apple_search_ads_attribution",
    "attributes",
    "audience_subscription_settings",
    "ccpa_consent_state",
    "custom_flags",
    "gdpr_consent_state",
    "integration_attributes",
    "previous_audience_subscription_settings",
    "removed",
    "subject_identities",
    "user_attribute_lists",
    "user_attributes",
    "Version3.1",
}
quickly = settings(max_examples=150, deadline=None)


def _parse(payload: Any) -> None:
    try:
        parse_request(payload)
    except InvalidRequest as refused:
        assert refused.problem  # noqa: PT017 - either outcome is right; any other exception fails the test


@quickly
@given(JSON)
def test_any_value_is_read_or_refused(value: Any) -> None:
    """Whatever JSON value arrives is a request or an InvalidRequest."""
    _parse(value)


@quickly
@given(st.sampled_from(KINDS), BODIES)
def test_any_body_of_a_known_type_is_read_or_refused(kind: str, body: dict[str, Any]) -> None:
    """A request of a known type with any content at all is read, or refused as an InvalidRequest."""
    _parse(body | {"type": kind})


@quickly
@given(st.binary(max_size=80) | TEXT)
def test_any_text_is_read_or_refused(text: bytes | str) -> None:
    """Whatever bytes or characters arrive are a request or an InvalidRequest."""
    _parse(text)


@quickly
@given(st.sampled_from(KINDS), SEEDS, st.data())
def test_damaged_text_is_read_or_refused(kind: str, seed: int, data: st.DataObject) -> None:
    """A valid request of which a few bytes were changed or lost is read or refused."""
    text = bytearray(json.dumps(make_request(kind, seed=seed, events=2)).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(1, 3))] = data.draw(st.binary(max_size=3))
        if not text:
            break
    _parse(bytes(text))


@quickly
@given(st.sampled_from(KINDS), SEEDS, st.data())
def test_what_is_new_or_missing_costs_nothing(kind: str, seed: int, data: st.DataObject) -> None:
    """A request with unknown fields, new enum values and nulls in any places is read, with every event in its place."""
    wire = make_request(kind, seed=seed, events=4)
    places = list(_places(wire))
    for holder, name, is_map in data.draw(st.lists(st.sampled_from(places), max_size=12)):
        if holder is wire and name in ("type", "events"):
            continue
        match data.draw(st.sampled_from(["unknown field", "new value", "null"])):
            case "unknown field" if not is_map:
                holder["new_" + data.draw(TEXT)] = data.draw(JSON)
            case "new value" if name in ENUM_FIELDS:
                holder[name] = "new_" + data.draw(TEXT)
            case "null":
                holder[name] = None
    request = parse_request(wire)
    assert request.malformed == ()
    if isinstance(request, EventProcessingRequest):
        assert [id(event.raw) for event in request.events] == [id(event) for event in wire["events"]]
        assert not any(isinstance(event, MalformedEvent) for event in request.events)


@quickly
@given(SEEDS, st.integers(0, 5), JSON)
def test_any_event_leaves_the_others_as_they_are(seed: int, position: int, odd: Any) -> None:
    """Whatever stands among the events, the others are read as if it were not there."""
    wire = make_request("event_processing_request", seed=seed, events=5)
    expected = _events(wire)
    wire["events"].insert(position, odd)
    events = _events(wire)
    assert events[position].raw is odd
    assert isinstance(events[position], MalformedEvent | UnknownEvent) or odd["type"] == events[position].type
    assert events[:position] + events[position + 1 :] == expected


@quickly
@given(SEEDS, st.sampled_from(KINDS))
def test_text_and_object_give_the_same(seed: int, kind: str) -> None:
    """A request is the same whether it comes as text or as the object that Lambda's runtime makes of it."""
    wire = make_request(kind, seed=seed)
    assert parse_request(json.dumps(wire)) == parse_request(json.dumps(wire).encode()) == parse_request(wire)


def _events(wire: dict[str, Any]) -> list[Any]:
    request = parse_request(wire)
    assert isinstance(request, EventProcessingRequest)
    return list(request.events)


def _places(value: Any, is_map: bool = False) -> Iterator[tuple[dict[str, Any], str, bool]]:
    """Every field in a JSON value: its object, its name, and whether the object's keys are free."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield value, name, is_map
            yield from _places(item, name in MAPS)
    elif isinstance(value, list):
        for item in value:
            yield from _places(item)
