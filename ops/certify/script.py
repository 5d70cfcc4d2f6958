"""The requests that mParticle would send to this integration, with made-up data.

testkit/requests makes them; then they are cut to the registration. This shows an integration that reads data for which
it did not ask, and blames none for events that it never gets. Ids and times are fresh.
"""

import hashlib
import random
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from ingest_fn.replies import FIREHOSE_VERSION, REGISTRATION, SUBSCRIPTION
from ops.certify.exchange import Sent
from ops.certify.mark import CERTIFY_MARK
from ops.registration.filled_in import value_of
from shared.firehose import (
    DeviceIdentityPermission,
    Encoding,
    EventProcessingRegistration,
    ModuleRegistrationResponse,
    Permissions,
    Registration,
    Setting,
    UserIdentityPermission,
)
from shared.message import AUDIENCE, ERASURE, EVENTS
from testkit.requests import ENVIRONMENTS, EVENT_TYPES, make_request

Json = dict[str, Any]

CERTIFY_ACCOUNT_ID = 900_000_001
"""The integration's account in every request: none that mParticle gives out."""

_OPENED_BY = {
    "allow_user_attributes": ("user_attributes", "user_attribute_lists"),
    "allow_consent_state": ("consent_state", "system_notifications"),
    "allow_access_device_application_stamp": ("device_application_stamp",),
    "allow_access_mpid": ("mpid",),
    "allow_platform_fields": ("platform_fields",),
}
_OPENED_IN_ENVIRONMENT = {
    "allow_access_ip_address": "client_ip_address",
    "allow_access_http_user_agent": "http_header_user_agent",
}


@dataclass(frozen=True, slots=True)
class Registered:
    """The parts of a registration that decide what the integration is sent. By default everything, for a registration
    that could not be read: then `permissions` is None.
    """

    kinds: frozenset[str] = frozenset({EVENTS, AUDIENCE, SUBSCRIPTION, ERASURE})
    event_types: tuple[str, ...] = EVENT_TYPES
    environments: tuple[str, ...] = ENVIRONMENTS
    notifications: tuple[str, ...] = ("gdpr_consent_state", "ccpa_consent_state")
    permissions: Permissions | None = None
    account_settings: tuple[Setting, ...] = ()
    audience_settings: tuple[Setting, ...] = ()

    @classmethod
    def of(cls, registration: Registration | ModuleRegistrationResponse) -> "Registered":
        events = registration.event_processing_registration
        audiences = registration.audience_processing_registration
        dsr = registration.dsr_processing_registration
        declared = {EVENTS: events, AUDIENCE: audiences, SUBSCRIPTION: audiences, ERASURE: dsr}
        asked = events or EventProcessingRegistration()
        settings = [*asked.account_settings, *asked.event_connection_settings]
        for other in (audiences, dsr):
            settings += other.account_settings if other else []
        return cls(
            kinds=frozenset(kind for kind, registered in declared.items() if registered),
            event_types=tuple(kind.value for kind in asked.supported_event_types),
            environments=tuple(kind.value for kind in asked.supported_runtime_environments),
            notifications=tuple(kind.value for kind in asked.supported_system_notification_types),
            permissions=registration.permissions or Permissions(),
            account_settings=tuple(settings),
            audience_settings=tuple(audiences.audience_subscription_settings) if audiences else (),
        )


@dataclass(frozen=True, slots=True)
class Script:
    """Makes the requests. `settings` are the customer's: credentials among them, so they are never shown."""

    registered: Registered = field(default_factory=Registered)
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    seed: int = 1
    now_ms: int = 0
    http: bool = False
    has_token: bool = False
    calls: int = 100
    burst: int = 10
    check: str = ""
    """The check that makes the request: its ids are its own, whatever other checks send."""
    taken: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """An accepted request of each kind: later checks vary it, so that each fault is found once."""
    refused: frozenset[str] = frozenset()
    """Kinds of which no request was accepted: no later check sends them."""

    def registration(self) -> Json:
        return self.fresh({"type": REGISTRATION, "firehose_version": FIREHOSE_VERSION}, 0)

    def events(self, number: int, environment: str, types: Sequence[str]) -> Json:
        """An event request from an environment, with one event of each of the types."""
        request = make_request(
            EVENTS, seed=self.seed % 10_000 + number, events=len(EVENT_TYPES), environment=environment
        )
        request["events"] = [event for event in request["events"] if event["type"] in types]
        return self._as_registered(request, number)

    def audience(self, number: int) -> Json:
        return self._as_registered(make_request(AUDIENCE, seed=self.seed % 10_000 + number), number)

    def subscription(self, number: int, action: str) -> Json:
        request = make_request(SUBSCRIPTION, seed=self.seed % 10_000 + number) | {"action": action}
        request["audience_subscription_settings"] = self._audience_settings()
        request.pop("previous_audience_subscription_settings", None)
        if action == "update":
            request["previous_audience_subscription_settings"] = self._audience_settings()
        return self._as_registered(request, number)

    def erasure(self, number: int) -> Json:
        return self._as_registered(
            make_request(ERASURE, seed=self.seed % 10_000 + number, account_id=CERTIFY_ACCOUNT_ID), number
        )

    def plain(self, kind: str, number: int) -> Json:
        """A request of a kind like one that was accepted, with ids of its own."""
        if kind in self.taken:
            return self.fresh(deepcopy(dict(self.taken[kind])), number)
        if kind == EVENTS:
            environment = next(iter(self.registered.environments), ENVIRONMENTS[0])
            return self.events(number, environment, self.registered.event_types[:1])
        make: dict[str, Callable[[], Json]] = {
            AUDIENCE: lambda: self.audience(number),
            SUBSCRIPTION: lambda: self.subscription(number, "add"),
            ERASURE: lambda: self.erasure(number),
        }
        return make[kind]()

    def can_send(self, kind: str) -> bool:
        """Whether the integration asked for requests of a kind, and took some unless none was sent yet."""
        wanted = self.registered.kinds if self.registered.event_types else self.registered.kinds - {EVENTS}
        return kind in wanted - self.refused

    @property
    def main_kind(self) -> str | None:
        """The main kind of request for the integration: events or else audiences; None if it takes neither."""
        return next((kind for kind in (EVENTS, AUDIENCE, ERASURE) if self.can_send(kind)), None)

    def several(self, label: str, count: int) -> list[Sent]:
        """Plain requests of the main kind, each with ids of its own."""
        if self.main_kind is None:
            return []
        return [Sent.of(label, self.plain(self.main_kind, number)) for number in range(count)]

    def _account_settings(self) -> dict[str, str]:
        if self.registered.permissions is None:
            return dict(self.settings)
        return self._filled_in(self.registered.account_settings)

    def _audience_settings(self) -> dict[str, str]:
        return self._filled_in(self.registered.audience_settings)

    def _filled_in(self, asked: Iterable[Setting]) -> dict[str, str]:
        return {one.id: self.settings.get(one.id, value_of(one, "certify")) for one in asked}

    def _as_registered(self, request: Json, number: int) -> Json:
        request = self.fresh(request, number)
        if "account" in request:
            request["account"] = {"account_id": CERTIFY_ACCOUNT_ID, "account_settings": self._account_settings()}
        for profile in request.get("user_profiles", ()):
            for audience in profile["audiences"]:
                audience["audience_subscription_settings"] = self._audience_settings()
        if self.registered.permissions is not None:
            _cut(request, self.registered.permissions)
        if "system_notifications" in request:
            told = [one for one in request["system_notifications"] if one["type"] in self.registered.notifications]
            request["system_notifications"] = told
        return request

    def fresh(self, request: Json, number: int) -> Json:
        """The request with fresh ids and times; the intervals between its times stay the same."""
        ids = random.Random(f"{self.seed}/{self.check}/{number}/{request['type']}/{self.now_ms}")  # noqa: S311 - ids of test data, not secrets
        later_ms = self.now_ms - int(request.get("timestamp_ms", self.now_ms))
        fresh = request | {"id": _marked(ids), "timestamp_ms": self.now_ms}
        if "events" in fresh:
            fresh["events"] = [
                event | {"id": _uuid(ids), "timestamp_ms": event["timestamp_ms"] + later_ms}
                for event in fresh["events"]
            ]
        if "subject_request_id" in fresh:
            fresh["subject_request_id"] = _marked(ids)
        return fresh


def _marked(random_: random.Random) -> str:
    return CERTIFY_MARK + _uuid(random_)[len(CERTIFY_MARK) :]


def _uuid(random_: random.Random) -> str:
    return str(uuid.UUID(int=random_.getrandbits(128), version=4))


def _cut(request: Json, permissions: Permissions) -> None:
    """Take out the data that mParticle does not send without a permission."""
    for permission, names in _OPENED_BY.items():
        if not getattr(permissions, permission):
            for name in names:
                request.pop(name, None)
    environment = request.get("runtime_environment")
    if environment:
        for permission, name in _OPENED_IN_ENVIRONMENT.items():
            if not getattr(permissions, permission):
                environment.pop(name, None)
    if not permissions.allow_access_location:
        for event in request.get("events", ()):
            event.pop("location", None)
    for profile in request.get("user_profiles", ()):
        _cut_profile(profile, permissions)
    for holder in (request, environment or {}, *request.get("user_profiles", ())):
        _cut_identities(holder, permissions)


def _cut_profile(profile: Json, permissions: Permissions) -> None:
    if not permissions.allow_access_mpid:
        profile.pop("mpid", None)
    if not permissions.allow_audience_user_attributes:
        for audience in profile["audiences"]:
            audience.pop("user_attributes", None)


def _cut_identities(holder: Json, permissions: Permissions) -> None:
    asked_for: dict[str, Sequence[UserIdentityPermission | DeviceIdentityPermission]] = {
        "user_identities": permissions.user_identities,
        "device_identities": permissions.device_identities,
        "identities": permissions.device_identities,
    }
    for name, wanted in asked_for.items():
        if name in holder:
            holder[name] = _permitted(holder[name], wanted)
    if permissions.partner_identities:
        (first, *_) = permissions.partner_identities
        for one in holder.get("partner_identities", ()):
            one["type"] = first.type
    else:
        holder.pop("partner_identities", None)


def _permitted(
    identities: Sequence[Json], wanted: Sequence[UserIdentityPermission | DeviceIdentityPermission]
) -> list[Json]:
    """Identities that the registration asks for, encoded as it asks: those that are there or required, one at least."""
    found = {identity["type"]: identity for identity in identities}
    chosen = [one for one in wanted if one.type.value in found or one.required] or wanted[:1]
    return [_encoded(one, found.get(one.type.value, {})) for one in chosen]


def _encoded(wanted: UserIdentityPermission | DeviceIdentityPermission, found: Json) -> Json:
    raw = found["value"] if found.get("encoding") == Encoding.RAW else f"made-up-{wanted.type.value}"
    value = raw
    if wanted.encoding is not Encoding.RAW:
        value = hashlib.new(wanted.encoding.value, raw.strip().lower().encode(), usedforsecurity=False).hexdigest()
    return {"type": wanted.type.value, "encoding": wanted.encoding.value, "value": value}
