"""Requests are what mParticle would send: to what was registered, with what was asked for."""

import json
import uuid
from typing import Any

import pytest

from ops.certify.checks import CHECKS
from ops.certify.exchange import Sent
from ops.certify.mark import CERTIFY_MARK
from ops.certify.script import CERTIFY_ACCOUNT_ID, Registered, Script
from shared.firehose import (
    AudienceProcessingRegistration,
    BooleanSetting,
    DeviceIdentityPermission,
    DeviceIdentityType,
    Encoding,
    EnvironmentType,
    EventProcessingRegistration,
    EventType,
    FloatSetting,
    IntegerSetting,
    Permissions,
    Registration,
    TextSetting,
    UserIdentityPermission,
    UserIdentityType,
    parse_request,
)
from shared.message import AUDIENCE, ERASURE, EVENTS
from testkit.requests import ENVIRONMENTS, EVENT_TYPES

NOW_MS = 1_790_000_000_000


def registered(**declared: Any) -> Registered:
    return Registered.of(Registration(name="Velo", version="1.0.0", **declared))


def everything(script: Script) -> list[Sent]:
    return [sent for check in CHECKS for sent in check.sends(script) if sent.request]


EVENTS_ALONE = EventProcessingRegistration(
    supported_event_types=[EventType.CUSTOM_EVENT, EventType.SCREEN_VIEW],
    supported_runtime_environments=[EnvironmentType.ANDROID],
)


def test_every_registered_type_and_environment_is_sent() -> None:
    """All of them where all are registered, and the environments in turn."""
    (events,) = [check for check in CHECKS if check.name == "events"]
    requests = [sent.request for sent in events.sends(Script(now_ms=NOW_MS))]
    sent = {event["type"] for request in requests for event in request["events"]}
    assert sent == set(EVENT_TYPES)
    assert [one["runtime_environment"]["type"] for one in requests if "runtime_environment" in one] == list(
        ENVIRONMENTS
    )


def test_nothing_is_sent_that_was_not_asked_for() -> None:
    """Events alone, of two types, from one environment: no audience, no erasure, and no other type but a new one."""
    script = Script(registered(event_processing_registration=EVENTS_ALONE), now_ms=NOW_MS, http=True)
    sent = everything(script)
    assert {one.kind for one in sent} <= {EVENTS, "certify_unknown_request", ""}
    types = {event["type"] for one in sent for event in one.request.get("events", ())}
    assert types == {"custom_event", "screen_view", "certify_new_value"}


def test_without_permissions_nothing_personal_is_sent() -> None:
    """What a permission opens is left out, in the request, its environment and its events."""
    script = Script(registered(event_processing_registration=EVENTS_ALONE), now_ms=NOW_MS)
    for number in range(20):
        request = script.events(number, "android", ["custom_event"])
        closed = {"user_attributes", "user_attribute_lists", "mpid", "consent_state", "platform_fields"}
        closed |= {"device_application_stamp", "partner_identities", "system_notifications"}
        assert not closed & request.keys()
        assert request["user_identities"] == request["runtime_environment"]["identities"] == []
        assert not {"client_ip_address", "http_header_user_agent"} & request["runtime_environment"].keys()
        assert "location" not in request["events"][0]


def test_identities_are_those_that_were_asked_for() -> None:
    """Of the types and with the encoding that were registered; one that is required is always there."""
    permissions = Permissions(
        user_identities=[
            UserIdentityPermission(type=UserIdentityType.EMAIL, encoding=Encoding.SHA256),
            UserIdentityPermission(type=UserIdentityType.CUSTOMER, required=True),
        ],
        device_identities=[DeviceIdentityPermission(type=DeviceIdentityType.ANDROID_ID, encoding=Encoding.MD5)],
    )
    declared = registered(event_processing_registration=EVENTS_ALONE, permissions=permissions)
    digits = {"sha256": 64, "md5": 32}
    for number in range(20):
        request = Script(declared, now_ms=NOW_MS).events(number, "android", ["custom_event"])
        users, devices = request["user_identities"], request["runtime_environment"]["identities"]
        assert "customer" in {one["type"] for one in users}
        assert [one["type"] for one in devices] == ["android_id"]
        for one in (*users, *devices):
            assert one["encoding"] == {"email": "sha256", "customer": "raw", "android_id": "md5"}[one["type"]]
            assert len(one["value"]) == digits.get(one["encoding"], len(one["value"]))


def test_settings_are_given_or_made_up_as_text() -> None:
    """mParticle sends settings of each type as text; limits and defaults are kept."""
    settings = [
        TextSetting(id="apiKey", name="API key"),
        TextSetting(id="region", name="Region", default_value="eu"),
        IntegerSetting(id="port", name="Port", min_value=1024),
        FloatSetting(id="share", name="Share", max_value=0.5),
        BooleanSetting(id="dryRun", name="Dry run", default_value=True),
    ]
    audiences = AudienceProcessingRegistration(
        account_settings=settings, audience_subscription_settings=[TextSetting(id="listId", name="List")]
    )
    declared = registered(audience_processing_registration=audiences)
    request = Script(declared, {"apiKey": "given"}, now_ms=NOW_MS).audience(0)
    assert request["account"] == {
        "account_id": CERTIFY_ACCOUNT_ID,
        "account_settings": {"apiKey": "given", "region": "eu", "port": "1024", "share": "0.5", "dryRun": "true"},
    }
    (first, *_) = request["user_profiles"][0]["audiences"]
    assert first["audience_subscription_settings"] == {"listId": "certify-listId"}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ids_and_times_are_fresh(seed: int) -> None:
    """No id occurs twice in a run but where the same request is sent again, none in two runs, and all is of now."""
    first, second = Script(seed=seed, now_ms=NOW_MS), Script(seed=seed, now_ms=NOW_MS + 1)

    def ids(script: Script) -> list[str]:
        found = []
        for check in CHECKS:
            if check.name not in {"repeats", "malformed", "subscriptions"}:
                mine = Script(seed=seed, now_ms=script.now_ms, check=check.name)
                found += [sent.request["id"] for sent in check.sends(mine)]
        return found

    assert len(ids(first)) == len(set(ids(first)))
    assert not set(ids(first)) & set(ids(second))
    for sent in everything(first):
        assert sent.request.get("timestamp_ms", NOW_MS) == NOW_MS
        for event in sent.request.get("events") or ():
            assert NOW_MS - 60_000 <= event.get("timestamp_ms", NOW_MS) <= NOW_MS


def test_made_up_requests_are_known_by_their_ids() -> None:
    """Receipts, logs and dead letters tell them from mParticle's own, whose ids are GUIDs as these are."""
    erasures = 0
    for sent in everything(Script(seed=1, now_ms=NOW_MS)):
        request = sent.request
        assert request["id"].startswith(CERTIFY_MARK)
        if "subject_request_id" in request:
            erasures += 1
            assert request["subject_request_id"].startswith(CERTIFY_MARK)
            assert str(uuid.UUID(request["subject_request_id"])) == request["subject_request_id"]
    assert erasures


def test_what_is_sent_can_be_read_by_the_protocol() -> None:
    """Every request but the malformed ones is one of mParticle's."""
    for check in CHECKS:
        if check.name != "malformed":
            for sent in check.sends(Script(now_ms=NOW_MS, http=True)):
                if sent.body:
                    parse_request(sent.body)


def test_a_large_request_fits_into_a_lambda() -> None:
    """Between 5.5 MB and Lambda's 6 MB, in events below what mParticle takes in."""
    (size,) = [check for check in CHECKS if check.name == "size"]
    (sent,) = size.sends(Script(now_ms=NOW_MS))
    assert 5_500_000 < len(sent.body) < 6 * 1024 * 1024
    assert all(len(json.dumps(event)) < 128_000 for event in json.loads(sent.body)["events"])


def test_an_integration_of_audiences_alone_is_played_with_audiences() -> None:
    """Burst, times and the large request are made of what it takes."""
    declared = registered(audience_processing_registration=AudienceProcessingRegistration())
    script = Script(declared, now_ms=NOW_MS)
    assert script.main_kind == AUDIENCE
    assert {one.kind for one in everything(script)} <= {AUDIENCE, "audience_subscription_request", "", *_NO_REQUESTS}
    (size,) = [check for check in CHECKS if check.name == "size"]
    (sent,) = size.sends(script)
    assert 5_500_000 < len(sent.body) < 6 * 1024 * 1024


_NO_REQUESTS = ("certify_unknown_request", "event_processing_response")


def test_a_kind_that_is_refused_throughout_is_not_varied() -> None:
    """Later checks send what was accepted, and nothing if nothing was."""
    script = Script(now_ms=NOW_MS, refused=frozenset({EVENTS, AUDIENCE}))
    assert script.main_kind == ERASURE
    assert Script(now_ms=NOW_MS, refused=frozenset({EVENTS, AUDIENCE, ERASURE})).several("x", 3) == []


def test_events_without_types_are_not_varied() -> None:
    """An integration that registers events and lists none is told so, and is sent nothing but probes of them."""
    declared = registered(event_processing_registration=EventProcessingRegistration())
    script = Script(declared, now_ms=NOW_MS)
    assert script.main_kind is None
    assert all(not sent.request.get("events") for sent in everything(script) if sent.kind == EVENTS)


def test_without_a_registration_that_can_be_read_settings_go_as_they_are() -> None:
    """It is still looked at, and its credentials are needed for that."""
    request = Script(settings={"apiKey": "given"}, now_ms=NOW_MS).plain(EVENTS, 0)
    assert request["account"]["account_settings"] == {"apiKey": "given"}
