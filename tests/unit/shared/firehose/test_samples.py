import json
from itertools import pairwise
from typing import Any

import pytest

from shared.firehose import EnvironmentType, EventProcessingRequest, EventType, Unknown, parse_request
from testkit.requests import ENVIRONMENTS, EVENT_TYPES, KINDS, make_request

SEEDS = range(60)


def _values(name: str, wire: Any) -> set[Any]:
    """All values of a field, anywhere in a JSON value."""
    if isinstance(wire, dict):
        own = {wire[name]} if isinstance(wire.get(name), str | int | bool) else set()
        return own.union(*(_values(name, item) for item in wire.values()))
    if isinstance(wire, list):
        return set().union(*(_values(name, item) for item in wire))
    return set()


@pytest.mark.parametrize("kind", KINDS)
def test_every_sample_is_a_valid_request(kind: str, differences: Any) -> None:
    """A made request has nothing in it that the protocol does not know."""
    for seed in SEEDS:
        wire = make_request(kind, seed=seed)
        request = parse_request(wire)
        assert request.type == kind
        assert request.malformed == ()
        unknown = [p for p in differences(request, wire) if p.endswith("is not a field")]
        assert unknown == []
        assert not any(isinstance(value, Unknown) for value in _enum_values(request.model_dump()))


def _enum_values(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [found for item in (*value, *value.values()) for found in _enum_values(item)]
    if isinstance(value, list):
        return [found for item in value for found in _enum_values(item)]
    return [value]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_request(kind: str) -> None:
    """A seed gives one request, another seed another one, with another id."""
    made = [make_request(kind, seed=seed) for seed in SEEDS]
    assert made == [make_request(kind, seed=seed) for seed in SEEDS]
    assert all(a["timestamp_ms"] < b["timestamp_ms"] for a, b in pairwise(made))
    assert len({request["id"] for request in made}) == len(made)


def test_a_request_as_large_as_asked_for() -> None:
    """The number of events, the environment and the account are as asked for, and every event has its own id."""
    wire = make_request("event_processing_request", seed=7, events=1000, environment="roku", account_id=42)
    assert len({event["id"] for event in wire["events"]}) == 1000
    assert wire["runtime_environment"]["type"] == "roku"
    for kind in KINDS[1:]:
        assert make_request(kind, seed=7, account_id=42)["account"]["account_id"] == 42
    probe = make_request("event_processing_request", seed=8, events=0)
    assert probe["events"] == []
    assert "system_notifications" not in probe


def test_a_few_seeds_cover_the_protocol() -> None:
    """Sixty requests hold all event types, environments, identities, audience actions and regulations."""
    made = [make_request(kind, seed=seed) for kind in KINDS for seed in SEEDS]
    assert set(EVENT_TYPES) == set(EventType) <= _values("type", made)
    assert set(ENVIRONMENTS) == set(EnvironmentType) <= _values("type", made)
    assert {"email", "other10", "phone_number_3", "roku_publisher_id", "ccpa_consent_state"} <= _values("type", made)
    assert {"raw", "md5", "sha1", "sha256"} == _values("encoding", made)
    assert {"add", "update", "remove", "delete", "attribute_update", "upsert", "purchase"} <= _values("action", made)
    assert {"gdpr", "ccpa"} == _values("regulation", made)
    assert {type(mpid) for mpid in _values("mpid", made)} == {str, int}
    assert any(abs(session) > 2**53 for session in _values("session_id", made))
    dsr = [parse_request(make_request("dsr_processing_request", seed=seed)) for seed in SEEDS]
    assert len({key for request in dsr for key in request.subject_identities}) == 11  # type: ignore[union-attr]


def test_a_request_survives_json() -> None:
    """A made request holds JSON types only and is the same after a trip through text."""
    for kind in KINDS:
        wire = make_request(kind, seed=3)
        assert json.loads(json.dumps(wire)) == wire


def test_there_are_as_many_events_as_read() -> None:
    """Every made event is read as the type that it was made as."""
    wire = make_request("event_processing_request", seed=0, events=16)
    request = parse_request(wire)
    assert isinstance(request, EventProcessingRequest)
    assert [event.type for event in request.events] == list(EVENT_TYPES)


@pytest.mark.parametrize(("kind", "environment"), [("event", None), ("event_processing_request", "desktop")])
def test_what_there_is_not_is_refused(kind: str, environment: str | None) -> None:
    """An unknown kind or environment is a mistake of the caller."""
    with pytest.raises(ValueError, match="must be one of"):
        make_request(kind, seed=1, environment=environment)
