"""Amplitude: events, user properties, audiences, erasure. docs/partners/amplitude.md says what goes where, and why.

Environment (of ingest too):

    AMPLITUDE_REGION    us (default) or eu: where the customers' projects are
"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

from partners import amplitude_events as events
from partners.base import Bulk, Delivery, LeftOut, Limits, Partner, Rate, Result, Secret
from partners.reading import RAW, json_object, one_by_one
from partners.settings import credential, one_of, settings_of
from partners.writing import to_json
from shared import firehose as mp
from shared.firehose import EventType, UserIdentityType

UPLOADS = {"us": "https://api2.amplitude.com/batch", "eu": "https://api.eu.amplitude.com/batch"}
DELETIONS = {
    "us": "https://amplitude.com/api/2/deletions/users",
    "eu": "https://analytics.eu.amplitude.com/api/2/deletions/users",
}

LIMITS = Limits(
    account_rate=Rate(100), bulk={"batch": Bulk(1_000, 10_000_000), "deletions/users": Bulk(1, rate=Rate(1))}
)
"""The limits are by project, and each account of mParticle has one project, so a 429 or 503 asks that account to wait.
A batch may have 2,000 events and 20 MB; half of that is as quick. Amplitude expects up to 100 uploads a second.
Deletions: one call a second.
"""

BEFORE, AFTER = b'{"events":[', b'],"options":{"min_id_length":1}}'
"""The JSON around the events of a call. It allows short ids, because customers have such ids."""

WRONG = (
    "events_with_invalid_fields",
    "events_with_missing_fields",
    "events_with_invalid_id_lengths",
    "silenced_events",
)
TOO_FAST, USERS = ("throttled", "exceeded_daily_quota"), ("user", "device")


@dataclass(frozen=True)
class Amplitude(Partner):
    region: str = "us"

    name = "amplitude"
    limits = LIMITS

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        return cls(region=one_of(env, "AMPLITUDE_REGION", tuple(UPLOADS)))

    def registration(self) -> "mp.Registration":
        return _registration()

    def deliveries(self, request: mp.Request) -> Iterator[Delivery | LeftOut]:
        if isinstance(request, mp.DsrProcessingRequest):
            yield from self._deletion(request)
            return
        settings = settings_of(request)
        yield from one_by_one(events.events_of(request, settings), partial(self._upload, settings))

    def _upload(self, settings: Mapping[str, str], item: str, event: dict[str, Any]) -> Iterator[Delivery]:
        yield Delivery(
            url=UPLOADS[self.region],
            body=_batch([to_json(event)]),
            item=item,
            headers={"Content-Type": "application/json"},
            secret_fields={"api_key": credential(settings, "apiKey")},
            merge="batch",
        )

    def _deletion(self, request: mp.DsrProcessingRequest) -> Iterator[Delivery | LeftOut]:
        """No call if the request lacks the id by which Amplitude knows the user: its receipt is `not forwarded`."""
        settings = settings_of(request)
        login = f"{credential(settings, 'apiKey').value}:{credential(settings, 'secretKey').value}"
        kind = {"customerId": "controller_customer_id", "email": "email"}.get(events.user_id_field(settings))
        identity = request.subject_identities.get(mp.OpenDsrIdentityType(kind)) if kind else None
        if identity is None or not identity.value or identity.encoding not in RAW:
            yield LeftOut("erasure", "no identity by which Amplitude knows the user")
            return
        requester = f"mParticle {request.subject_request_id or request.id}"
        yield Delivery(
            url=DELETIONS[self.region],
            body=to_json({"user_ids": [identity.value], "requester": requester, "ignore_invalid_id": "true"}),
            item="erasure",
            headers={"Content-Type": "application/json"},
            secret_headers={"Authorization": Secret(f"Basic {base64.b64encode(login.encode()).decode()}")},
            merge="deletions/users",
        )

    def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:  # noqa: ARG002
        return replace(deliveries[0], body=_batch(map(_event, deliveries)), item="batch")

    def read_response(self, deliveries: Sequence[Delivery], status: int, body: bytes) -> Sequence[Result] | None:
        """A 400 names the wrong events by their places; a 400 or 429 those of users and devices over their limit."""
        judges = status in {400, 429} and deliveries[0].merge == "batch"
        answer = json_object(body.decode("utf-8", "replace")) if judges else None
        if answer is None:
            return None
        error = answer.get("error")
        if status == 400 and isinstance(error, str) and error.startswith("Invalid API key"):
            return [Result.UNAUTHORIZED] * len(deliveries)
        wrong = {place for name in WRONG if status == 400 for place in _places(answer.get(name))}
        waiting = set(_places(answer.get("throttled_events"))) | _too_fast(answer, deliveries)
        results = [
            Result.REJECTED if place in wrong else Result.RETRY if place in waiting else Result.AGAIN
            for place in range(len(deliveries))
        ]
        return None if set(results) == {Result.AGAIN} else results


def _batch(events: Iterable[bytes]) -> bytes:
    return BEFORE + b",".join(events) + AFTER


def _event(delivery: Delivery) -> bytes:
    return delivery.body.removeprefix(BEFORE).removesuffix(AFTER)


def _places(said: object) -> Iterator[int]:
    """Reads places of events: from a list, or from a list for each field."""
    for one in said.values() if isinstance(said, dict) else [said]:
        yield from (place for place in one if type(place) is int) if isinstance(one, list) else ()


def _too_fast(answer: Mapping[str, Any], deliveries: Sequence[Delivery]) -> set[int]:
    """Places of the events whose user or device the answer names."""
    named = {kind: set[str]().union(*(_keys(answer.get(f"{why}_{kind}s")) for why in TOO_FAST)) for kind in USERS}
    if not any(named.values()):
        return set()
    sent = [json_object(_event(one).decode()) or {} for one in deliveries]
    return {place for place, event in enumerate(sent) for kind in USERS if event.get(f"{kind}_id") in named[kind]}


def _keys(said: object) -> Iterable[str]:
    return said if isinstance(said, dict) else ()


def _registration() -> "mp.Registration":
    """Made each time it is asked for, which no worker does: building its models would be a tenth of a cold start."""
    api_key = mp.TextSetting(
        id="apiKey", name="API key", description="Of your project.", required=True, confidential=True
    )
    secret_key = mp.TextSetting(
        id="secretKey",
        name="Secret key",
        description="Of your project: it deletes users.",
        required=True,
        confidential=True,
    )
    user_id_field = mp.TextSetting(
        id="userIdField",
        name="User ID",
        description="What is Amplitude's user ID: customerId, email or mpid. Users can not be erased by mpid.",
        default_value="customerId",
        required=True,
    )
    property_name = mp.TextSetting(
        id="propertyName",
        name="User property",
        description="True while the user is in the audience; by default its name.",
    )
    event_types = [
        *events.NAMES,
        *(EventType.CUSTOM_EVENT, EventType.SCREEN_VIEW, EventType.PRODUCT_ACTION, EventType.USER_ATTRIBUTE_CHANGE),
    ]
    return mp.Registration(
        name="Amplitude",
        version="1.0.0",
        description="Sends events, user properties, audiences and erasure requests to Amplitude.",
        permissions=mp.Permissions(
            user_identities=[mp.UserIdentityPermission(type=UserIdentityType(kind)) for kind in ("customer", "email")],
            device_identities=[mp.DeviceIdentityPermission(type=kind) for kind in events.DEVICE_IDS.values()],
            allow_access_device_application_stamp=True,
            allow_access_ip_address=True,
            allow_access_location=True,
            allow_access_mpid=True,
            allow_audience_user_attributes=True,
            allow_device_info=True,
            allow_user_attributes=True,
            allow_eventless_batches=True,
        ),
        event_processing_registration=mp.EventProcessingRegistration(
            account_settings=[api_key, user_id_field],
            supported_event_types=event_types,
            supported_runtime_environments=list(mp.EnvironmentType),
        ),
        audience_processing_registration=mp.AudienceProcessingRegistration(
            account_settings=[api_key, user_id_field], audience_subscription_settings=[property_name]
        ),
        dsr_processing_registration=mp.DsrProcessingRegistration(
            account_settings=[api_key, secret_key, user_id_field], supported_dsr_types=[mp.SubjectRequestType.ERASURE]
        ),
    )
