"""What a user has agreed to, and the notifications of a change in it."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny

from shared.errors import InvalidRequest
from shared.firehose.model import Part, Wire, as_malformed
from shared.firehose.values import Flag, Map, Read, Text, Unknown, Whole, one_of, unknown

DATA_SALE_OPT_OUT = "data_sale_opt_out"
"""The one purpose that CCPA has, and what a CCPA notification without a purpose means."""


class Consent(Wire):
    """`consented` is None when it was not said, which is not the same as False. `location` is a string here."""

    consented: Flag = None
    document: Text = None
    timestamp_unixtime_ms: Whole = None
    location: Text = None
    hardware_id: Text = None


class ConsentState(Wire):
    """Consents by purpose."""

    gdpr_consent_state: Map[Consent] = Field(default_factory=dict)
    ccpa_consent_state: Map[Consent] = Field(default_factory=dict)


class SystemNotificationType(StrEnum):
    GDPR_CONSENT_STATE = "gdpr_consent_state"
    CCPA_CONSENT_STATE = "ccpa_consent_state"


class SystemNotification(Part):
    """Has no id and no time of its own."""

    type: Annotated[SystemNotificationType | Unknown | None, Read(one_of(SystemNotificationType))] = None


class GdprConsentStateNotification(SystemNotification):
    type: Literal[SystemNotificationType.GDPR_CONSENT_STATE] = SystemNotificationType.GDPR_CONSENT_STATE
    purpose: Text = None
    old_gdpr_consent_state: Consent | None = None
    new_gdpr_consent_state: Consent | None = None


class CcpaConsentStateNotification(SystemNotification):
    type: Literal[SystemNotificationType.CCPA_CONSENT_STATE] = SystemNotificationType.CCPA_CONSENT_STATE
    purpose: Text = DATA_SALE_OPT_OUT
    old_ccpa_consent_state: Consent | None = None
    new_ccpa_consent_state: Consent | None = None


class UnknownSystemNotification(SystemNotification):
    """Of a type that this version does not know, or without one."""

    type: Annotated[Unknown | None, Read(unknown)] = None


class MalformedSystemNotification(SystemNotification):
    """A value in it cannot be read (`malformed` says which), so nothing may be concluded from the rest."""


_BY_TYPE: dict[str, type[SystemNotification]] = {
    SystemNotificationType.GDPR_CONSENT_STATE: GdprConsentStateNotification,
    SystemNotificationType.CCPA_CONSENT_STATE: CcpaConsentStateNotification,
}


def read_system_notification(value: Any) -> SystemNotification:
    """Read one notification of any kind; never raises for what it holds."""
    if isinstance(value, SystemNotification):
        return value
    tag = value.get("type") if isinstance(value, dict) else None
    known = _BY_TYPE.get(tag) if isinstance(tag, str) else None
    notification = (known or UnknownSystemNotification).model_validate(value)
    return as_malformed(notification, MalformedSystemNotification) if notification.malformed else notification


def read_system_notifications(value: Any) -> list[SystemNotification]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidRequest("expected a list", "system_notifications")
    return [read_system_notification(item) for item in value]


SystemNotifications = Annotated[list[SerializeAsAny[SystemNotification]], BeforeValidator(read_system_notifications)]
