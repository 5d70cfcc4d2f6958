"""The integration as mParticle sees it: what a partner declares, and the response that carries it.

Declarations are strict: an unknown field, event type or identity type is a mistake of the partner's author and fails
when it is made, and so does a breach of mParticle's rules (shared/firehose/rules).
"""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.firehose.enforcement import is_enforced, rules_unenforced
from shared.firehose.environments import EnvironmentType
from shared.firehose.events import EventType
from shared.firehose.identities import DeviceIdentityType, Encoding, UserIdentityType
from shared.firehose.messages import SubjectRequestType
from shared.firehose.notifications import SystemNotificationType

SDK_VERSION = "3.2.0"
"""The level of mParticle's Java SDK that Spillway has: it is sent as `firehose_version` and `sdk_version`."""


class _OnlyWhenTrue:
    """Marks a flag that is not written while it is false."""


OnlyWhenTrue = Annotated[bool, _OnlyWhenTrue()]
NotEmpty = Annotated[str, Field(min_length=1)]


class _Declaration(BaseModel):
    """Fields stand in the order in which they are written."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, protected_namespaces=(), defer_build=True
    )


class _Setting(_Declaration):
    """A setting that a customer fills in. `id` is the key under which the value comes back in `account_settings`."""

    id: NotEmpty
    name: NotEmpty
    description: str | None = None
    visible: bool = True


class TextSetting(_Setting):
    """`confidential` hides the value in mParticle's user interface: use it for credentials."""

    type: Literal["text"] = "text"
    default_value: str | None = None
    required: bool = False
    confidential: bool = False


class IntegerSetting(_Setting):
    type: Literal["integer"] = "integer"
    default_value: int | None = None
    min_value: int | None = None
    max_value: int | None = None
    required: bool = False


class FloatSetting(_Setting):
    type: Literal["float"] = "float"
    default_value: float | None = None
    min_value: float | None = None
    max_value: float | None = None
    required: bool = False


class BooleanSetting(_Setting):
    """`checked` is the state of the box in the user interface; there is no `required`."""

    type: Literal["boolean"] = "boolean"
    default_value: bool = False
    checked: bool = False


Setting = Annotated[TextSetting | IntegerSetting | FloatSetting | BooleanSetting, Field(discriminator="type")]


class _IdentityPermission(_Declaration):
    """`required`: only users that have at least one of the required identities are sent."""

    encoding: Encoding = Encoding.RAW
    required: bool = False


class DeviceIdentityPermission(_IdentityPermission):
    type: DeviceIdentityType


class UserIdentityPermission(_IdentityPermission):
    type: UserIdentityType


class PartnerIdentityPermission(_IdentityPermission):
    """mParticle lets an integration register one, whose `type` is fixed from then on."""

    type: NotEmpty


class Permissions(_Declaration):
    """The data of a user that the integration asks for; mParticle sends no other."""

    device_identities: list[DeviceIdentityPermission] = Field(default_factory=list)
    user_identities: list[UserIdentityPermission] = Field(default_factory=list)
    partner_identities: list[PartnerIdentityPermission] = Field(default_factory=list)
    allow_access_location: OnlyWhenTrue = False
    allow_access_ip_address: OnlyWhenTrue = False
    allow_access_device_application_stamp: OnlyWhenTrue = False
    allow_device_info: OnlyWhenTrue = False
    allow_user_attributes: OnlyWhenTrue = False
    allow_consent_state: OnlyWhenTrue = False
    allow_audience_user_attributes: OnlyWhenTrue = False
    allow_access_http_user_agent: OnlyWhenTrue = False
    allow_access_mpid: OnlyWhenTrue = False
    allow_platform_fields: OnlyWhenTrue = False
    allow_eventless_batches: OnlyWhenTrue = False


class Scope(_Declaration):
    name: str
    description: str


class OAuth2(_Declaration):
    """How mParticle obtains an access token from the partner. `default_expires_in` is in seconds."""

    type: Literal["oauth2"] = "oauth2"
    authorization_url: str
    refresh_url: str | None = None
    token_url: str
    grant_type: Literal["authorization_code"] | None = None
    default_expires_in: int | None = None
    client_id: str | None = None
    access_token_type: Literal["bearer", "custom_header"] | None = None
    custom_header_name: str | None = None
    param_client_id_name: str | None = None
    param_secret_name: str | None = None
    scopes: list[Scope] = Field(default_factory=list)


class BulkConfiguration(_Declaration):
    """How long mParticle collects audience messages: up to a number of them, or of minutes."""

    bulk_forward_wait_for_messages: int | None = None
    bulk_forward_wait_in_minutes: int | None = None


class EventProcessingRegistration(_Declaration):
    """`max_data_age_hours` -1 takes events of any age. Push receipts need `push_messaging_provider_id`."""

    account_settings: list[Setting] = Field(default_factory=list)
    event_connection_settings: list[Setting] = Field(default_factory=list)
    supported_event_types: list[EventType] = Field(default_factory=list)
    supported_runtime_environments: list[EnvironmentType] = Field(default_factory=list)
    supported_system_notification_types: list[SystemNotificationType] = Field(default_factory=list)
    max_data_age_hours: int = 24
    push_messaging_provider_id: str | None = None
    authentication: OAuth2 | None = None


class AudienceProcessingRegistration(_Declaration):
    account_settings: list[Setting] = Field(default_factory=list)
    authentication: OAuth2 | None = None
    bulk_configuration: BulkConfiguration | None = None
    audience_subscription_settings: list[Setting] = Field(default_factory=list)


class DsrProcessingRegistration(_Declaration):
    """`domain` is that of the callbacks about a request's progress."""

    account_settings: list[Setting] = Field(default_factory=list)
    supported_dsr_types: list[SubjectRequestType] = Field(default_factory=list)
    domain: str | None = None


class _Registration(_Declaration):
    name: NotEmpty
    description: str | None = None
    version: NotEmpty
    permissions: Permissions | None = None
    event_processing_registration: EventProcessingRegistration | None = None
    audience_processing_registration: AudienceProcessingRegistration | None = None
    dsr_processing_registration: DsrProcessingRegistration | None = None


class Registration(_Registration):
    """What a partner declares. `description` has fewer than 230 characters and may hold inline HTML.

    One that breaks a rule raises pydantic's ValidationError, whose text says of each rule how to keep it.
    """

    @model_validator(mode="after")
    def _keeps_the_rules(self) -> Self:
        if not is_enforced():
            return self
        from shared.firehose.rules import violations  # noqa: PLC0415 - no function needs them: cold start

        broken = [str(one) for one in violations(_written(self)) if not one.is_warning]
        if broken:
            raise ValueError("\n".join(["mParticle would not take this registration.", *broken]))
        return self


class ModuleRegistrationResponse(_Registration):
    """A registration response as it is read, whatever rules it breaks. `model_validate` raises pydantic's
    ValidationError, without values.
    """

    type: Literal["module_registration_response"]
    id: str | None = None
    timestamp_ms: int | None = None
    firehose_version: str | None = None
    sdk_version: str | None = None

    def registration(self) -> Registration:
        """The declaration in the response, without the envelope, whatever rules it breaks."""
        with rules_unenforced():
            return Registration(**{name: getattr(self, name) for name in Registration.model_fields})


def registration_response(registration: Registration, *, id: str, timestamp_ms: int) -> dict[str, Any]:  # noqa: A002 - the wire's name
    """Write the response as mParticle's SDK does: absent and empty values are left out, numbers and flags are always
    there (permissions only when true), and fields have the SDK's order. Without I/O and without a clock.

    `id` is a UUID, `timestamp_ms` milliseconds since the epoch.
    """
    envelope = {
        "type": "module_registration_response",
        "id": id,
        "timestamp_ms": timestamp_ms,
        "firehose_version": SDK_VERSION,
        "sdk_version": SDK_VERSION,
    }
    declared: dict[str, Any] = _written(registration)
    return envelope | declared


def _written(value: Any) -> Any:
    if isinstance(value, list):
        return [_written(item) for item in value]
    if isinstance(value, StrEnum):
        return value.value
    if not isinstance(value, BaseModel):
        return value
    fields = type(value).model_fields
    names = sorted(fields, key=lambda name: name != "type")  # stable: `type` first, the others as declared
    written: dict[str, Any] = {}
    for name in names:
        content = getattr(value, name)
        only_when_true = any(isinstance(mark, _OnlyWhenTrue) for mark in fields[name].metadata)
        if content is None or content in ("", []) or (only_when_true and not content):
            continue
        written[name] = _written(content)
    return written
