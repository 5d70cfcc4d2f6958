import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from shared.firehose import (
    AudienceProcessingRegistration,
    BooleanSetting,
    BulkConfiguration,
    DeviceIdentityPermission,
    DsrProcessingRegistration,
    EventProcessingRegistration,
    EventType,
    FloatSetting,
    IntegerSetting,
    ModuleRegistrationResponse,
    OAuth2,
    PartnerIdentityPermission,
    Permissions,
    Registration,
    Scope,
    TextSetting,
    UserIdentityPermission,
    registration_response,
    rules_unenforced,
)

API_KEY = TextSetting(id="apiKey", name="API key", required=True, confidential=True)


def _written(registration: Registration) -> dict[str, Any]:
    return registration_response(registration, id="63d0b1e4-5908-4361-a58c-b274d5f0a176", timestamp_ms=1767226023009)


def test_a_declaration_is_written_as_the_sdk_writes_it(fixture_text: Callable[[str], bytes]) -> None:
    """A declaration with everything in it gives the expected JSON, letter by letter and in the SDK's order."""
    declared = Registration(
        name="Velo",
        description="Rides, <b>all</b> of them.",
        version="7.0",
        permissions=Permissions(
            device_identities=[DeviceIdentityPermission(type="ios_vendor_id")],
            user_identities=[
                UserIdentityPermission(type="email", encoding="sha256", required=True),
                UserIdentityPermission(type="other10"),
            ],
            partner_identities=[PartnerIdentityPermission(type="Velo_visitorId", encoding="md5")],
            allow_eventless_batches=True,
            allow_user_attributes=True,
            allow_access_location=True,
            allow_access_ip_address=True,
        ),
        event_processing_registration=EventProcessingRegistration(
            account_settings=[
                API_KEY.model_copy(update={"description": "From your profile"}),
                IntegerSetting(id="batch", name="Batch", default_value=0, min_value=0, max_value=2**53 + 1),
                FloatSetting(
                    id="ratio",
                    name="Ratio",
                    visible=False,
                    default_value=0.0,
                    min_value=-0.5,
                    max_value=1.5,
                    required=True,
                ),
                BooleanSetting(id="beta", name="Beta", checked=True),
            ],
            event_connection_settings=[TextSetting(id="tour", name="Tour", default_value="all")],
            supported_event_types=[EventType.CUSTOM_EVENT, "product_action"],
            supported_runtime_environments=["android", "unknown"],
            supported_system_notification_types=["ccpa_consent_state"],
            max_data_age_hours=-1,
            push_messaging_provider_id="velo",
            authentication=OAuth2(
                authorization_url="https://velo.example/authorize",
                token_url="https://velo.example/token",
                grant_type="authorization_code",
                default_expires_in=3600,
                client_id="velo",
                access_token_type="bearer",
                scopes=[Scope(name="rides", description="Write rides")],
            ),
        ),
        audience_processing_registration=AudienceProcessingRegistration(
            account_settings=[API_KEY],
            bulk_configuration=BulkConfiguration(bulk_forward_wait_for_messages=100, bulk_forward_wait_in_minutes=5),
            audience_subscription_settings=[IntegerSetting(id="listId", name="List", required=True)],
        ),
        dsr_processing_registration=DsrProcessingRegistration(supported_dsr_types=["erasure"], domain="velo.example"),
    )
    wire = json.loads(fixture_text("module_registration_response.json"))
    assert json.dumps(_written(declared)) == json.dumps(wire)
    assert ModuleRegistrationResponse.model_validate(wire).registration() == declared


def test_what_is_empty_is_left_out() -> None:
    """Absent and empty values are not written; objects without content are, and so are numbers and flags."""
    declared = Registration(
        name="Velo",
        description="",
        version="1",
        permissions=Permissions(),
        event_processing_registration=EventProcessingRegistration(push_messaging_provider_id=""),
        audience_processing_registration=AudienceProcessingRegistration(bulk_configuration=BulkConfiguration()),
        dsr_processing_registration=DsrProcessingRegistration(),
    )
    assert list(_written(declared).items())[5:] == [
        ("name", "Velo"),
        ("version", "1"),
        ("permissions", {}),
        ("event_processing_registration", {"max_data_age_hours": 24}),
        ("audience_processing_registration", {"bulk_configuration": {}}),
        ("dsr_processing_registration", {}),
    ]


def test_the_least_declaration() -> None:
    """Name and version are enough; the envelope comes first, in its order."""
    assert json.dumps(_written(Registration(name="Velo", version="1"))) == json.dumps(
        {
            "type": "module_registration_response",
            "id": "63d0b1e4-5908-4361-a58c-b274d5f0a176",
            "timestamp_ms": 1767226023009,
            "firehose_version": "3.2.0",
            "sdk_version": "3.2.0",
            "name": "Velo",
            "version": "1",
        }
    )


def test_values_are_plain_json_types() -> None:
    """Enum values are written as plain strings, which any JSON writer takes."""
    declared = Registration(
        name="Velo",
        version="1",
        permissions=Permissions(allow_user_attributes=True),
        event_processing_registration=EventProcessingRegistration(
            supported_event_types=list(EventType), push_messaging_provider_id="velo"
        ),
    )
    written = _written(declared)["event_processing_registration"]["supported_event_types"]
    assert {type(value) for value in written} == {str}
    assert len(written) == 16


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (Registration, {"name": "", "version": "1"}),
        (Registration, {"name": "Velo", "version": ""}),
        (Registration, {"name": "Velo"}),
        (TextSetting, {"id": "", "name": "x"}),
        (TextSetting, {"id": "x", "name": ""}),
        (BooleanSetting, {"id": "x", "name": "x", "required": True}),
        (UserIdentityPermission, {"type": "pinterest"}),
        (DeviceIdentityPermission, {"type": "email"}),
        (Permissions, {"allow_everything": True}),
        (EventProcessingRegistration, {"supported_event_types": ["hologram_event"]}),
        (DsrProcessingRegistration, {"supported_dsr_types": ["access"]}),
        (OAuth2, {"authorization_url": "https://velo.example/authorize"}),
    ],
)
def test_a_mistaken_declaration_is_refused(make: Callable[..., Any], wrong: dict[str, Any]) -> None:
    """A declaration that mParticle would refuse, or that has a typo, fails where it is made."""
    with pytest.raises(ValidationError):
        make(**wrong)


BREAKS_TWO_RULES: dict[str, Any] = {
    "name": "Velo",
    "version": "1",
    "description": "x" * 230,
    "permissions": Permissions(
        partner_identities=[PartnerIdentityPermission(type="one"), PartnerIdentityPermission(type="two")]
    ),
}


def test_a_declaration_that_breaks_rules_is_refused_with_each_of_them() -> None:
    """The error names every rule that is broken, and what to do; advice refuses nothing."""
    with pytest.raises(ValidationError) as refused:
        Registration(**BREAKS_TWO_RULES)
    assert "description: The description has 230 characters" in str(refused.value)
    assert "permissions.partner_identities: 2 partner identities are declared" in str(refused.value)
    assert "Neither events nor audiences" not in str(refused.value)


def test_rules_can_be_left_unenforced_for_a_while() -> None:
    """Inside the block a declaration may break rules, and is written; its form is checked all the same."""
    with rules_unenforced():
        declared = Registration(**BREAKS_TWO_RULES)
        with pytest.raises(ValidationError):
            Registration(name="", version="1")
    assert _written(declared)["description"] == "x" * 230
    with pytest.raises(ValidationError):
        Registration(**BREAKS_TWO_RULES)


def test_a_response_is_read_whatever_rules_it_breaks() -> None:
    """Who reads another's registration gets it, and the declaration in it."""
    with rules_unenforced():
        wire = _written(Registration(**BREAKS_TWO_RULES))
    assert _written(ModuleRegistrationResponse.model_validate(wire).registration()) == wire
