"""The rules of mParticle's guide that a registration may break although every field of it is right."""

from collections import Counter
from collections.abc import Iterator

from ops.certify.objections import Objection
from ops.findings import Severity
from shared.firehose import EventProcessingRegistration, ModuleRegistrationResponse, Permissions

MAX_DESCRIPTION_CHARS = 229


def broken_rules(registration: ModuleRegistrationResponse) -> Iterator[Objection]:
    permissions = registration.permissions or Permissions()
    events = registration.event_processing_registration
    if registration.description and len(registration.description) > MAX_DESCRIPTION_CHARS:
        yield Objection(
            "registration.description",
            f"the description has {len(registration.description)} characters",
            f"shorten it to at most {MAX_DESCRIPTION_CHARS}",
        )
    if not (events or registration.audience_processing_registration or registration.dsr_processing_registration):
        yield Objection(
            "registration.empty",
            "the integration asks for nothing: no events, no audiences, no erasure requests",
            "declare at least one of event_processing_registration, audience_processing_registration and"
            " dsr_processing_registration",
        )
    if len(permissions.partner_identities) > 1:
        yield Objection(
            "registration.partner_identities",
            f"{len(permissions.partner_identities)} partner identities are declared",
            "declare one: mParticle registers no more, and its name can never change",
        )
    if events:
        yield from _of_events(events, permissions)
    yield from _of_settings(registration)


def _of_events(events: EventProcessingRegistration, permissions: Permissions) -> Iterator[Objection]:
    types = {kind.value for kind in events.supported_event_types}
    if not types:
        yield Objection(
            "registration.event_types",
            "events are registered without any supported_event_types",
            "list those that the integration takes",
        )
    if not events.supported_runtime_environments:
        yield Objection(
            "registration.environments",
            "events are registered without any supported_runtime_environments",
            "list those that the integration takes; server-to-server events come from `unknown`",
        )
    if "user_attribute_change" in types and not permissions.allow_user_attributes:
        yield Objection(
            "registration.user_attributes",
            "user_attribute_change is a supported event type, but allow_user_attributes is not asked for",
            "ask for the permission, or leave the event type out",
        )
    if "push_message_receipt" in types and not events.push_messaging_provider_id:
        yield Objection(
            "registration.push_provider",
            "push_message_receipt is a supported event type, but there is no push_messaging_provider_id",
            "declare the provider's id, or leave the event type out",
        )
    if events.max_data_age_hours < -1 or events.max_data_age_hours == 0:
        yield Objection(
            "registration.max_data_age",
            f"max_data_age_hours is {events.max_data_age_hours}",
            "declare a number of hours, or -1 for data of any age",
        )


def _of_settings(registration: ModuleRegistrationResponse) -> Iterator[Objection]:
    events = registration.event_processing_registration
    audiences = registration.audience_processing_registration
    dsr = registration.dsr_processing_registration
    lists = {
        "events": [*events.account_settings, *events.event_connection_settings] if events else [],
        "audiences": audiences.account_settings if audiences else [],
        "audience subscriptions": audiences.audience_subscription_settings if audiences else [],
        "erasure requests": dsr.account_settings if dsr else [],
    }
    for whose, settings in lists.items():
        for name, count in Counter(setting.id for setting in settings).items():
            if count > 1:
                yield Objection(
                    "registration.setting_id",
                    f"{count} settings for {whose} have the same id, so that one value hides the other",
                    "give each setting an id of its own",
                    name,
                )
        for setting in settings:
            looks_secret = any(word in setting.id.lower() for word in ("key", "secret", "token", "password"))
            if setting.type == "text" and looks_secret and not setting.confidential:
                yield Objection(
                    "registration.confidential",
                    "a setting that sounds like a credential is shown to everybody in mParticle's user interface",
                    'declare it with "confidential": true',
                    setting.id,
                    Severity.WARNING,
                )
