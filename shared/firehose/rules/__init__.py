"""The rules of a registration, as mParticle's guide has them or as its protocol makes them: one pure function.

A partner's declaration is checked when it is made (shared/firehose/registration.py), the JSON of any integration by
`spillway registration --check`. Fields of a wrong type are ignored here: the models find those.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from shared.firehose.rules.markup import bad_markup
from shared.firehose.rules.oauth2 import oauth2_rules
from shared.firehose.rules.settings import setting_rules
from shared.firehose.rules.violation import (
    AUDIENCES,
    ERASURES,
    EVENTS,
    Violation,
    has_object,
    is_blank,
    is_integer,
    object_of,
    objects_of,
    text_of,
    texts_of,
)

__all__ = ["AUDIENCES", "DESCRIPTION_LIMIT", "ERASURES", "EVENTS", "Violation", "violations"]

DESCRIPTION_LIMIT = 230
"""mParticle's guide: a description has fewer characters than this, markup included."""

_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*([-+][0-9A-Za-z.+-]+)?")
_DOMAIN = re.compile(r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def violations(registration: Mapping[str, Any]) -> list[Violation]:
    """Return everything that is wrong with a registration as it is written on the wire. Pure."""
    return [
        *_itself(registration),
        *_permissions(registration),
        *_events(registration),
        *_audiences(registration),
        *_erasures(registration),
        *setting_rules(registration),
        *_repetitions(registration),
    ]


def _itself(registration: Mapping[str, Any]) -> Iterator[Violation]:
    for field in ("name", "version"):
        if is_blank(registration.get(field)):
            yield Violation("text.blank", field, f"The {field} is blank.", f"Give the integration a {field}.")
    version = registration.get("version")
    if isinstance(version, str) and version.strip() and not _VERSION.fullmatch(version):
        yield Violation(
            "version.shape",
            "version",
            "The version is not numbers joined by dots.",
            "Write it as 1.6.0, so that two registrations can be told apart by it.",
            is_warning=True,
        )
    description = text_of(registration.get("description"))
    if not description:
        yield Violation(
            "description.missing",
            "description",
            "There is no description, which is what a customer reads of the integration before choosing it.",
            f"Say in fewer than {DESCRIPTION_LIMIT} characters what it does.",
            is_warning=True,
        )
    elif len(description) >= DESCRIPTION_LIMIT:
        yield Violation(
            "description.long",
            "description",
            f"The description has {len(description)} characters, markup included; mParticle takes fewer than "
            f"{DESCRIPTION_LIMIT}.",
            f"Shorten it by {len(description) - DESCRIPTION_LIMIT + 1}.",
        )
    yield from (
        Violation(
            "description.html", "description", problem, "Use inline markup alone, with each tag ended: <b>so</b>."
        )
        for problem in bad_markup(description)
    )
    if not any(isinstance(registration.get(kind), Mapping) for kind in (EVENTS, AUDIENCES, ERASURES)):
        yield Violation(
            "registration.empty",
            "",
            "Neither events nor audiences nor erasure requests are registered, so mParticle sends nothing.",
            f"Declare {EVENTS}, {AUDIENCES} or {ERASURES}.",
            is_warning=True,
        )


def _permissions(registration: Mapping[str, Any]) -> Iterator[Violation]:
    asked = object_of(registration, "permissions")
    types = texts_of(object_of(registration, EVENTS), "supported_event_types")
    if "user_attribute_change" in types and asked.get("allow_user_attributes") is not True:
        yield Violation(
            "permissions.user_attributes",
            "permissions.allow_user_attributes",
            "user_attribute_change is a supported event type, and only who may see user attributes is sent them.",
            "Set allow_user_attributes, or take user_attribute_change out of supported_event_types.",
        )
    if "user_identity_change" in types and not objects_of(asked, "user_identities"):
        yield Violation(
            "permissions.user_identities",
            "permissions.user_identities",
            "user_identity_change is a supported event type, and no user identity is asked for: the events hold none.",
            "Ask for the user identities you need, or take user_identity_change out of supported_event_types.",
            is_warning=True,
        )
    partners = objects_of(asked, "partner_identities")
    if len(partners) > 1:
        yield Violation(
            "permissions.partner_identities",
            "permissions.partner_identities",
            f"{len(partners)} partner identities are declared; mParticle registers one for an integration, "
            "and its name is fixed from then on.",
            "Keep one.",
        )
    for index, identity in enumerate(partners):
        if is_blank(identity.get("type")):
            where = f"permissions.partner_identities[{index}].type"
            yield Violation("text.blank", where, "The partner identity's name is blank.", "Name it, for good.")
    if asked.get("allow_eventless_batches") is True and not has_object(registration, EVENTS):
        yield _without_use("allow_eventless_batches", EVENTS)
    if asked.get("allow_audience_user_attributes") is True and not has_object(registration, AUDIENCES):
        yield _without_use("allow_audience_user_attributes", AUDIENCES)


def _without_use(permission: str, kind: str) -> Violation:
    return Violation(
        "permissions.without_use",
        f"permissions.{permission}",
        f"{permission} is asked for, and there is no {kind} in which it could matter.",
        f"Leave it out, or declare {kind}.",
        is_warning=True,
    )


def _events(registration: Mapping[str, Any]) -> Iterator[Violation]:
    events = object_of(registration, EVENTS)
    types = texts_of(events, "supported_event_types")
    if "push_message_receipt" in types and not text_of(events.get("push_messaging_provider_id")).strip():
        yield Violation(
            "events.push_provider",
            f"{EVENTS}.push_messaging_provider_id",
            "push_message_receipt is a supported event type, and mParticle tells senders apart by their provider id.",
            "Set push_messaging_provider_id, or take push_message_receipt out of supported_event_types.",
        )
    age = events.get("max_data_age_hours")
    if is_integer(age) and age < 1 and age != -1:
        yield Violation(
            "events.max_data_age",
            f"{EVENTS}.max_data_age_hours",
            f"max_data_age_hours is {age}; it is a number of hours above 0, or -1 for events of any age.",
            "Set it to -1, or to the age up to which you take events (24 unless said).",
        )
    if has_object(registration, EVENTS):
        if not types and not texts_of(events, "supported_system_notification_types"):
            yield Violation(
                "events.none",
                f"{EVENTS}.supported_event_types",
                "No event type and no system notification is supported, so no event is ever sent.",
                "List the event types you use.",
                is_warning=True,
            )
        if types and not texts_of(events, "supported_runtime_environments"):
            yield Violation(
                "events.no_environment",
                f"{EVENTS}.supported_runtime_environments",
                "Event types are listed and no runtime environment is: events come from one of them.",
                "List the environments you take events from; `unknown` is that of server-side feeds.",
                is_warning=True,
            )
    yield from oauth2_rules(events, EVENTS)


def _audiences(registration: Mapping[str, Any]) -> Iterator[Violation]:
    audiences = object_of(registration, AUDIENCES)
    asked = object_of(registration, "permissions")
    identified = any(objects_of(asked, kind) for kind in ("user_identities", "device_identities", "partner_identities"))
    if has_object(registration, AUDIENCES) and not identified and asked.get("allow_access_mpid") is not True:
        yield Violation(
            "audiences.nobody",
            "permissions",
            "Audiences are registered, and no identity is asked for: audience changes would not tell of whom.",
            "Ask for the identities by which you know a user, or for allow_access_mpid.",
            is_warning=True,
        )
    if isinstance(bulk := audiences.get("bulk_configuration"), Mapping):
        for field in ("bulk_forward_wait_for_messages", "bulk_forward_wait_in_minutes"):
            if is_integer(value := bulk.get(field)) and value < 1:
                yield Violation(
                    "audiences.bulk",
                    f"{AUDIENCES}.bulk_configuration.{field}",
                    f"{field} is {value}: mParticle would wait for nothing.",
                    "Set it to 1 or more, or leave it out.",
                )
        if not any(is_integer(value) for value in bulk.values()):
            yield Violation(
                "audiences.bulk_empty",
                f"{AUDIENCES}.bulk_configuration",
                "The bulk configuration says neither how many messages nor how many minutes.",
                "Set bulk_forward_wait_for_messages or bulk_forward_wait_in_minutes, or leave the configuration out.",
                is_warning=True,
            )
    yield from oauth2_rules(audiences, AUDIENCES)


def _erasures(registration: Mapping[str, Any]) -> Iterator[Violation]:
    erasures = object_of(registration, ERASURES)
    if has_object(registration, ERASURES) and not texts_of(erasures, "supported_dsr_types"):
        yield Violation(
            "erasures.none",
            f"{ERASURES}.supported_dsr_types",
            "Requests of data subjects are registered and no type of them is: none would be sent.",
            "List erasure.",
            is_warning=True,
        )
    domain = text_of(erasures.get("domain"))
    if domain and not _DOMAIN.fullmatch(domain):
        yield Violation(
            "erasures.domain",
            f"{ERASURES}.domain",
            "The domain of the callbacks is not a domain name.",
            "Write it without scheme, port or path: privacy.partner.example.",
        )


def _repetitions(registration: Mapping[str, Any]) -> Iterator[Violation]:
    asked, events, erasures = (object_of(registration, field) for field in ("permissions", EVENTS, ERASURES))
    lists = {
        f"{EVENTS}.supported_event_types": texts_of(events, "supported_event_types"),
        f"{EVENTS}.supported_runtime_environments": texts_of(events, "supported_runtime_environments"),
        f"{EVENTS}.supported_system_notification_types": texts_of(events, "supported_system_notification_types"),
        f"{ERASURES}.supported_dsr_types": texts_of(erasures, "supported_dsr_types"),
        "permissions.user_identities": [text_of(one.get("type")) for one in objects_of(asked, "user_identities")],
        "permissions.device_identities": [text_of(one.get("type")) for one in objects_of(asked, "device_identities")],
    }
    for where, names in lists.items():
        repeated = [name for name, times in Counter(names).items() if times > 1]
        if repeated:
            yield Violation(
                "list.repeated",
                where,
                f"{', '.join(repeated)} {'are' if len(repeated) > 1 else 'is'} listed more than once.",
                "List each once.",
                is_warning=True,
            )
