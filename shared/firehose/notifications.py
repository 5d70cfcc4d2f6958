"""Notifications of a change in what a user has agreed to."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from shared.firehose.consent import Consent
from shared.firehose.model import Part, as_malformed, by_type
from shared.firehose.values import Read, Text, Unknown, one_of, unknown

DATA_SALE_OPT_OUT = "data_sale_opt_out"
"""The one purpose that CCPA has, and what a CCPA notification without a purpose means."""


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
    """A notification of a type that this version does not know, or without one."""

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
    notification = by_type(value, _BY_TYPE, UnknownSystemNotification)
    return as_malformed(notification, MalformedSystemNotification) if notification.malformed else notification
