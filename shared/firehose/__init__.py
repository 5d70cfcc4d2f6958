"""mParticle's wire format as typed models: the public entry.

    request = parse_request(payload)            # dict, bytes or str; raises InvalidRequest for what is no request
    if isinstance(request, EventProcessingRequest):
        for event in request.events:            # CustomEvent, ProductActionEvent, ..., UnknownEvent, MalformedEvent
            ...

Tolerant where a new value must not cost a customer's data (docs/adr/0002-tolerant-protocol.md). Field names are wire
names; every request, event, profile and notification has `raw`, the JSON as it came.

Models of what only some requests carry are imported when their names are first asked for (docs/adr/0061).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from shared.firehose.consent import (
    Consent,
    ConsentState,
)
from shared.firehose.enforcement import (
    rules_unenforced,
)
from shared.firehose.identities import (
    DeviceIdentity,
    DeviceIdentityType,
    Encoding,
    OpenDsrIdentity,
    OpenDsrIdentityType,
    PartnerIdentity,
    UserIdentity,
    UserIdentityType,
)
from shared.firehose.json_text import (
    Number,
)
from shared.firehose.messages import (
    Account,
    Audience,
    AudienceAction,
    AudienceMembershipChangeRequest,
    AudienceSubscriptionAction,
    AudienceSubscriptionRequest,
    DsrProcessingRequest,
    EventProcessingRequest,
    Message,
    ModuleRegistrationRequest,
    PlatformFields,
    Regulation,
    Request,
    SubjectRequestType,
    UserAttribute,
    UserAttributeAction,
    UserProfile,
)
from shared.firehose.model import (
    Malformed,
    Part,
)
from shared.firehose.parse import (
    id_of,
    parse_request,
)
from shared.firehose.values import (
    Unknown,
)

if TYPE_CHECKING:
    from shared.firehose.environments import (
        AndroidEnvironment,
        AttAuthorizationStatus,
        EnvironmentType,
        FiretvEnvironment,
        GenericEnvironment,
        IosEnvironment,
        MobilewebEnvironment,
        RokuEnvironment,
        RuntimeEnvironment,
        TvosEnvironment,
        UnknownEnvironment,
        XboxEnvironment,
    )
    from shared.firehose.events import (
        ApplicationState,
        ApplicationStateTransitionEvent,
        AttributionEvent,
        CustomEvent,
        CustomEventType,
        ErrorEvent,
        Event,
        EventType,
        Impression,
        ImpressionEvent,
        Location,
        MalformedEvent,
        PrivacySetting,
        PrivacySettingChangeEvent,
        Product,
        ProductActionEvent,
        ProductActionType,
        Promotion,
        PromotionActionEvent,
        PromotionActionType,
        PushMessageOpenEvent,
        PushMessageReceiptEvent,
        PushSubscriptionAction,
        PushSubscriptionEvent,
        ScreenViewEvent,
        SessionEndEvent,
        SessionStartEvent,
        UnknownEvent,
        UserAttributeChangeEvent,
        UserIdentityChangeEvent,
    )
    from shared.firehose.notifications import (
        CcpaConsentStateNotification,
        GdprConsentStateNotification,
        MalformedSystemNotification,
        SystemNotification,
        SystemNotificationType,
        UnknownSystemNotification,
    )
    from shared.firehose.registration import (
        SDK_VERSION,
        AudienceProcessingRegistration,
        BooleanSetting,
        BulkConfiguration,
        DeviceIdentityPermission,
        DsrProcessingRegistration,
        EventProcessingRegistration,
        FloatSetting,
        IntegerSetting,
        ModuleRegistrationResponse,
        OAuth2,
        PartnerIdentityPermission,
        Permissions,
        Registration,
        Scope,
        Setting,
        TextSetting,
        UserIdentityPermission,
        registration_response,
    )
    from shared.firehose.responses import (
        AudienceMembershipChangeResponse,
        AudienceSubscriptionResponse,
        DsrProcessingResponse,
        EventProcessingResponse,
    )

__all__ = [
    "SDK_VERSION",
    "Account",
    "AndroidEnvironment",
    "ApplicationState",
    "ApplicationStateTransitionEvent",
    "AttAuthorizationStatus",
    "AttributionEvent",
    "Audience",
    "AudienceAction",
    "AudienceMembershipChangeRequest",
    "AudienceMembershipChangeResponse",
    "AudienceProcessingRegistration",
    "AudienceSubscriptionAction",
    "AudienceSubscriptionRequest",
    "AudienceSubscriptionResponse",
    "BooleanSetting",
    "BulkConfiguration",
    "CcpaConsentStateNotification",
    "Consent",
    "ConsentState",
    "CustomEvent",
    "CustomEventType",
    "DeviceIdentity",
    "DeviceIdentityPermission",
    "DeviceIdentityType",
    "DsrProcessingRegistration",
    "DsrProcessingRequest",
    "DsrProcessingResponse",
    "Encoding",
    "EnvironmentType",
    "ErrorEvent",
    "Event",
    "EventProcessingRegistration",
    "EventProcessingRequest",
    "EventProcessingResponse",
    "EventType",
    "FiretvEnvironment",
    "FloatSetting",
    "GdprConsentStateNotification",
    "GenericEnvironment",
    "Impression",
    "ImpressionEvent",
    "IntegerSetting",
    "IosEnvironment",
    "Location",
    "Malformed",
    "MalformedEvent",
    "MalformedSystemNotification",
    "Message",
    "MobilewebEnvironment",
    "ModuleRegistrationRequest",
    "ModuleRegistrationResponse",
    "Number",
    "OAuth2",
    "OpenDsrIdentity",
    "OpenDsrIdentityType",
    "Part",
    "PartnerIdentity",
    "PartnerIdentityPermission",
    "Permissions",
    "PlatformFields",
    "PrivacySetting",
    "PrivacySettingChangeEvent",
    "Product",
    "ProductActionEvent",
    "ProductActionType",
    "Promotion",
    "PromotionActionEvent",
    "PromotionActionType",
    "PushMessageOpenEvent",
    "PushMessageReceiptEvent",
    "PushSubscriptionAction",
    "PushSubscriptionEvent",
    "Registration",
    "Regulation",
    "Request",
    "RokuEnvironment",
    "RuntimeEnvironment",
    "Scope",
    "ScreenViewEvent",
    "SessionEndEvent",
    "SessionStartEvent",
    "Setting",
    "SubjectRequestType",
    "SystemNotification",
    "SystemNotificationType",
    "TextSetting",
    "TvosEnvironment",
    "Unknown",
    "UnknownEnvironment",
    "UnknownEvent",
    "UnknownSystemNotification",
    "UserAttribute",
    "UserAttributeAction",
    "UserAttributeChangeEvent",
    "UserIdentity",
    "UserIdentityChangeEvent",
    "UserIdentityPermission",
    "UserIdentityType",
    "UserProfile",
    "XboxEnvironment",
    "id_of",
    "parse_request",
    "registration_response",
    "rules_unenforced",
]

_LATER = ("environments", "events", "notifications", "registration", "responses")
"""Modules that are imported when one of their names is first asked for."""

if not TYPE_CHECKING:  # with it, mypy would believe in any name

    def __getattr__(name: str) -> Any:
        for module in _LATER if name in __all__ else ():
            found = getattr(import_module(f"{__name__}.{module}"), name, None)
            if found is not None:
                globals()[name] = found
                return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
