"""The five requests of mParticle, and what all messages have."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, ModelWrapValidatorHandler, model_validator

from shared.errors import InvalidRequest
from shared.firehose.consent import ConsentState
from shared.firehose.identities import (
    DeviceIdentity,
    OpenDsrIdentity,
    OpenDsrIdentityType,
    PartnerIdentity,
    UserIdentity,
    open_dsr_identity_type,
)
from shared.firehose.model import Malformed, Part, Wire
from shared.firehose.values import (
    Attributes,
    Instant,
    Items,
    Map,
    Read,
    Settings,
    Text,
    Texts,
    Unknown,
    Whole,
    epoch_ns,
    no_items,
    one_of,
)

if TYPE_CHECKING:
    from shared.firehose.environments import RuntimeEnvironment
    from shared.firehose.events import Event
    from shared.firehose.notifications import SystemNotification
else:  # their modules are imported when a request holds one
    Event = RuntimeEnvironment = SystemNotification = Any


class AudienceAction(StrEnum):
    """What happens to a user in an audience. Mind: `delete` here, `remove` in a subscription."""

    ADD = "add"
    DELETE = "delete"
    ATTRIBUTE_UPDATE = "attribute_update"


class UserAttributeAction(StrEnum):
    UPSERT = "upsert"
    DELETE = "delete"


class AudienceSubscriptionAction(StrEnum):
    """What happens to a subscription. Mind: `remove` here, `delete` for a user in an audience."""

    ADD = "add"
    UPDATE = "update"
    REMOVE = "remove"


class SubjectRequestType(StrEnum):
    ERASURE = "erasure"


class Regulation(StrEnum):
    UNKNOWN = "unknown"
    CCPA = "ccpa"
    GDPR = "gdpr"


class Account(Wire):
    """The customer's configuration of this integration, credentials included."""

    account_id: Whole = None
    account_settings: Settings = Field(default_factory=dict)

    @property
    def settings(self) -> dict[str, str]:
        """The same as `account_settings`."""
        return self.account_settings


class PlatformFields(Wire):
    """Facts of the mParticle customer; `mp_account_id` is not the integration's `account.account_id`."""

    mp_account_id: Whole = None
    mp_account_name: Text = None
    workspace_id: Whole = None
    workspace_name: Text = None
    input_name: Text = None
    app_name: Text = None
    app_version: Text = None
    dataplan_id: Text = None
    dataplan_name: Text = None
    dataplan_version: Whole = None


class UserAttribute(Wire):
    """A change of one attribute: `value`, or `list_value`, or neither for a tag and for a delete."""

    key: Text = None
    value: Text = None
    action: Annotated[UserAttributeAction | Unknown | None, Read(one_of(UserAttributeAction))] = None
    list_value: Texts = Field(default_factory=no_items)


class Audience(Wire):
    audience_id: Whole = None
    audience_name: Text = None
    audience_subscription_settings: Settings = Field(default_factory=dict)
    action: Annotated[AudienceAction | Unknown | None, Read(one_of(AudienceAction))] = None
    user_attributes: Items[UserAttribute] = Field(default_factory=no_items)


class UserProfile(Part):
    user_identities: Items[UserIdentity] = Field(default_factory=no_items)
    device_identities: Items[DeviceIdentity] = Field(default_factory=no_items)
    partner_identities: Items[PartnerIdentity] = Field(default_factory=no_items)
    audiences: Items[Audience] = Field(default_factory=no_items)
    mpid: Text = None


def _read_events(value: Any) -> "list[Event]":
    """Element i of the answer is element i of the wire, always."""
    if not (items := _listed(value, "events")):
        return []
    from shared.firehose.events import read_event  # noqa: PLC0415

    return [read_event(item) for item in items]


def _read_system_notifications(value: Any) -> "list[SystemNotification]":
    if not (items := _listed(value, "system_notifications")):
        return []
    from shared.firehose.notifications import read_system_notification  # noqa: PLC0415

    return [read_system_notification(item) for item in items]


def _read_environment(value: Any) -> "RuntimeEnvironment | None":
    if value is None:
        return None
    from shared.firehose.environments import read_environment  # noqa: PLC0415

    return read_environment(value)


def _read_user_profiles(value: Any) -> list[UserProfile]:
    return [UserProfile.model_validate(item) for item in _listed(value, "user_profiles")]


def _listed(value: Any, name: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidRequest("expected a list", name)
    return value


def _subject_identities(value: Any) -> Any:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest("expected an object", "subject_identities")
    return {name: item for name, item in value.items() if item is not None}


class Message(Part):
    """What all requests and responses have. A field that was not sent is None; nothing is invented."""

    type: str
    id: Text = None
    timestamp_ms: Whole = None
    firehose_version: Text = None

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [("id", self.id)]

    @property
    def malformed(self) -> tuple[Malformed, ...]:
        """The values that could not be read, in the message and in all its parts."""
        return (*self._aside.malformed, *self._malformed_in_parts())

    def _malformed_in_parts(self) -> Iterator[Malformed]:
        for name in sorted(self.parts):
            content: Any = self.__dict__.get(name)  # nothing if it was not read
            several = isinstance(content, list)
            for i, part in enumerate(content if several else [content]):
                for where, problem in part.malformed if isinstance(part, Part) else ():
                    at = f"{name}[{i}]" if several else name
                    yield Malformed(f"{at}.{where}" if where else at, problem)

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_what_is_no_object(cls, value: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(value, dict | cls):
            raise InvalidRequest("expected a JSON object")
        return read(value)


class ModuleRegistrationRequest(Message):
    """Asks the integration to describe itself."""

    type: Literal["module_registration_request"] = "module_registration_request"


class EventProcessingRequest(Message):
    """A batch of one user's events. Element i of `events` is element i of the wire, whatever it holds.

    Without events and notifications it is a probe: mParticle verifies that the integration answers.
    """

    parts: ClassVar[frozenset[str]] = frozenset({"runtime_environment", "events", "system_notifications"})

    type: Literal["event_processing_request"] = "event_processing_request"
    source_id: Text = None
    account: Account | None = None
    partner_identities: Items[PartnerIdentity] = Field(default_factory=no_items)
    user_identities: Items[UserIdentity] = Field(default_factory=no_items)
    user_attributes: Attributes = Field(default_factory=dict)
    user_attribute_lists: Map[Texts] = Field(default_factory=dict)
    runtime_environment: Annotated[RuntimeEnvironment | None, Read(_read_environment)] = None
    integration_attributes: Attributes = Field(default_factory=dict)
    events: Annotated[list[Event], Read(_read_events)] = Field(default_factory=no_items)
    source_channel: Text = None
    device_application_stamp: Text = None
    consent_state: ConsentState | None = None
    system_notifications: Annotated[list[SystemNotification], Read(_read_system_notifications)] = Field(
        default_factory=no_items
    )
    mpid: Text = None
    platform_fields: PlatformFields | None = None


class AudienceMembershipChangeRequest(Message):
    """Users who enter or leave audiences, or whose attributes change. Without profiles it is a probe."""

    parts: ClassVar[frozenset[str]] = frozenset({"user_profiles"})

    type: Literal["audience_membership_change_request"] = "audience_membership_change_request"
    account: Account | None = None
    user_profiles: Annotated[list[UserProfile], Read(_read_user_profiles)] = Field(default_factory=no_items)


class AudienceSubscriptionRequest(Message):
    """An audience is connected to the integration, changed or disconnected."""

    type: Literal["audience_subscription_request"] = "audience_subscription_request"
    account: Account | None = None
    audience_id: Whole = None
    audience_name: Text = None
    audience_description: Text = None
    audience_subscription_settings: Settings = Field(default_factory=dict)
    previous_audience_subscription_settings: Settings = Field(default_factory=dict)
    action: Annotated[AudienceSubscriptionAction | Unknown | None, Read(one_of(AudienceSubscriptionAction))] = None


class DsrProcessingRequest(Message):
    """A data subject asks for erasure. mParticle's own example has no account."""

    type: Literal["dsr_processing_request"] = "dsr_processing_request"
    account: Account | None = None
    subject_request_id: Text = None
    subject_request_type: Annotated[SubjectRequestType | Unknown | None, Read(one_of(SubjectRequestType))] = None
    submitted_time: Instant = None
    subject_identities: Annotated[
        dict[
            Annotated[OpenDsrIdentityType | Unknown, Read(open_dsr_identity_type)],
            OpenDsrIdentity,
        ],
        BeforeValidator(_subject_identities),
    ] = Field(default_factory=dict)
    api_version: Text = None
    regulation: Annotated[Regulation | Unknown | None, Read(one_of(Regulation))] = None

    @property
    def submitted_time_ns(self) -> int | None:
        """`submitted_time` in nanoseconds since the epoch: a datetime ends at microseconds."""
        return None if self.submitted_time is None else epoch_ns(self.raw.get("submitted_time"))


Request = (
    ModuleRegistrationRequest
    | EventProcessingRequest
    | AudienceMembershipChangeRequest
    | AudienceSubscriptionRequest
    | DsrProcessingRequest
)
