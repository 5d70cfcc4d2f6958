"""The models against the protocol's own data, which lies beside the repository."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.errors import InvalidRequest
from shared.firehose import (
    AudienceMembershipChangeRequest,
    AudienceMembershipChangeResponse,
    AudienceSubscriptionResponse,
    DsrProcessingResponse,
    EventProcessingRequest,
    EventProcessingResponse,
    MalformedEvent,
    ModuleRegistrationResponse,
    UnknownEvent,
    parse_request,
    registration_response,
)

SHARED = Path(__file__).parents[5] / "shared" / "firehose"
PARTNERS = SHARED.parent / "partners"
LINES = (SHARED / "requests.ndjson").read_bytes().split(b"\n")
PROBES = [line.split("\t") for line in (SHARED / "probes.tsv").read_bytes().decode().split("\n")[1:] if line]
RESPONSES = {
    "AudienceMembershipChangeResponse": AudienceMembershipChangeResponse,
    "AudienceSubscriptionResponse": AudienceSubscriptionResponse,
    "DsrProcessingResponse": DsrProcessingResponse,
    "EventProcessingResponse": EventProcessingResponse,
}

REFUSED = {
    "dsr/identities_list",
    "msg/NaN",
    "msg/array",
    "msg/comment",
    "msg/number",
    "msg/single_quotes",
    "msg/string",
    "msg/trailing_comma",
    "msg/truncated",
    "msg/type_null",
    "msg/type_number",
    "msg/type_uppercase",
}
"""What is no request at all, here as in the SDK."""

MALFORMED = {
    "account/arr": "account",
    "account/set_arr": "account.account_settings[*]",
    "account/set_obj": "account.account_settings[*]",
    "consent_state/ccpa_single": "consent_state.ccpa_consent_state[*]",
    "dsr/submitted_time_bool": "submitted_time",
    "dsr/submitted_time_iso_date": "submitted_time",
    "events/custom_flags_list": "events[0].custom_flags[*]",
    "events/decimal_bool": "events[0].total_amount",
    "events/ua_change_list": "events[0].added[*]",
    "firehose_version/arr": "firehose_version",
    "firehose_version/obj": "firehose_version",
    "mpid/arr": "mpid",
    "runtime_environment/Boolean_yes": "runtime_environment.is_tablet",
    "runtime_environment/boolean_strtRue": "runtime_environment.is_debug",
    "runtime_environment/boolean_yes": "runtime_environment.is_debug",
    "runtime_environment/emptystr": "runtime_environment",
    "runtime_environment/int_bool": "runtime_environment.screen_height",
    "timestamp_ms/arr": "timestamp_ms",
    "timestamp_ms/bool": "timestamp_ms",
    "timestamp_ms/floatstr": "timestamp_ms",
    "timestamp_ms/obj": "timestamp_ms",
    "timestamp_ms/strbad": "timestamp_ms",
    "user_attribute_lists/nested": "user_attribute_lists[*][0]",
    "user_attributes/arr": "user_attributes[*]",
    "user_attributes/list": "user_attributes",
    "user_attributes/obj": "user_attributes[*]",
    "user_identities/single_object_not_list": "user_identities",
    "user_profiles/ua_list_in_value": "user_profiles[0].audiences[0].user_attributes[0].value",
    "user_profiles/ua_map": "user_profiles[0].audiences[0].user_attributes",
}
"""What has an impossible shape: the SDK refuses the whole request, here the value counts as absent and is named."""

READ = {
    "dsr/identity_md5",
    "dsr/key_unknown",
    "dsr/key_upper",
    "dsr/submitted_time_iso_offset_nocolon",
    "dsr/type_ERASURE",
    "dsr/type_access",
    "events/ast_bad",
    "events/product_action_remove_from_wishlist",
    "events/push_action_bad",
    "events/unknown_type",
    "events/unknown_type_among_good",
    "id/bool",
    "id/braces",
    "id/invalid",
    "partner_identities/type_empty",
    "runtime_environment/att_empty",
    "runtime_environment/att_upper",
    "runtime_environment/device_identity_unknown",
    "runtime_environment/empty",
    "runtime_environment/int_big",
    "runtime_environment/unknown_type",
    "runtime_environment/uppercase",
    "user_identities/empty_obj",
    "user_identities/enc_null",
    "user_identities/enc_unknown",
    "user_identities/no_encoding",
    "user_identities/no_type",
    "user_identities/type_ordinal_oob",
    "user_identities/type_unknown",
    "user_identities/value_null",
    "user_profiles/aud_action_unknown",
    "user_profiles/aud_id_big",
}
"""What is merely new, incomplete or larger than the SDK's types: the SDK refuses the whole request, here it is read."""


@pytest.mark.parametrize("path", sorted((SHARED / "samples").glob("*Request*.json")), ids=lambda path: path.stem)
def test_sample_request(
    path: Path, independent: Callable[[bytes], Any], differences: Callable[[object, object], list[str]]
) -> None:
    """Every sample request is read completely and says what its JSON says."""
    request = parse_request(path.read_bytes())
    assert request.malformed == ()
    assert differences(request, independent(path.read_bytes())) == []


@pytest.mark.parametrize("name", RESPONSES)
def test_sample_response(name: str, differences: Callable[[object, object], list[str]]) -> None:
    """Every sample response is read completely."""
    wire = json.loads((SHARED / "samples" / f"{name}.json").read_bytes())
    response = RESPONSES[name].model_validate(wire)
    assert response.malformed == ()
    assert differences(response, wire) == []


def test_sample_registration_is_written_as_it_is() -> None:
    """The sample registration, read as a declaration, is written again letter by letter, in the same order."""
    wire = json.loads((SHARED / "samples" / "ModuleRegistrationResponse.json").read_bytes())
    declared = ModuleRegistrationResponse.model_validate(wire).registration()
    written = registration_response(declared, id=wire["id"], timestamp_ms=wire["timestamp_ms"])
    assert json.dumps(written) == json.dumps(wire)


@pytest.mark.parametrize("path", sorted(PARTNERS.glob("*_registration.json")), ids=lambda path: path.stem)
def test_partner_registration_is_written_as_it_is(path: Path) -> None:
    """A real partner's registration, read as a declaration, is written again with the same content."""
    wire = json.loads(path.read_bytes())
    declared = ModuleRegistrationResponse.model_validate(wire).registration()
    written = registration_response(declared, id="i", timestamp_ms=1)
    assert written == wire | {"id": "i", "timestamp_ms": 1}


def test_every_generated_request(
    independent: Callable[[bytes], Any], differences: Callable[[object, object], list[str]]
) -> None:
    """Every generated request is read without loss: each field, identity, decimal and event agrees with its JSON."""
    read = 0
    for number, line in enumerate(LINES, start=1):
        if not line:
            continue
        wire = independent(line)
        request = parse_request(line)
        assert differences(request, wire) == [], f"line {number}"
        assert request.malformed == (), f"line {number}"
        match request:
            case EventProcessingRequest():
                assert [event.raw for event in request.events] == wire.get("events", [])
                assert not any(isinstance(event, UnknownEvent | MalformedEvent) for event in request.events)
            case AudienceMembershipChangeRequest():
                assert [profile.raw for profile in request.user_profiles] == wire.get("user_profiles", [])
        read += 1
    assert read == sum(1 for line in LINES if line) > 0


def test_a_generated_request_as_lambda_hands_it_over() -> None:
    """The object that Lambda's runtime makes of a request gives the same ids, identities and counts as its text."""
    for line in LINES:
        if line:
            from_text, from_object = parse_request(line), parse_request(json.loads(line))
            assert (from_object.type, from_object.id) == (from_text.type, from_text.id)
            if isinstance(from_object, EventProcessingRequest) and isinstance(from_text, EventProcessingRequest):
                assert from_object.mpid == from_text.mpid
                assert from_object.user_identities == from_text.user_identities
                assert [(e.type, e.id, e.session_id) for e in from_object.events] == [
                    (e.type, e.id, e.session_id) for e in from_text.events
                ]


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, parse, _, text in PROBES if parse == "OK"])
def test_probe_that_the_sdk_accepts(name: str, text: str) -> None:
    """A request that the SDK reads is read here, with nothing in it called malformed."""
    assert parse_request(text.encode()).malformed == ()


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, parse, _, text in PROBES if parse != "OK"])
def test_probe_that_the_sdk_refuses(name: str, text: str) -> None:
    """A request that the SDK refuses has the outcome that is on record for it here, and each of them has one."""
    try:
        malformed = [where for where, _ in parse_request(text.encode()).malformed]
    except InvalidRequest:
        assert name in REFUSED
    else:
        assert malformed == ([MALFORMED[name]] if name in MALFORMED else [])
        assert name in MALFORMED or name in READ
