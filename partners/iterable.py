"""Iterable: profiles, events, purchases, pushes, list members. docs/partners/iterable.md says what goes where, and why.

Environment (of ingest too):

    ITERABLE_DATA_CENTER    us (default) or eu: where the customers' projects are
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from partners.base import Delivery, Limits, Partner, Rate, Result
from partners.iterable_values import INT_BITS, data_fields, item, push, results, subscriptions, user_fields
from partners.reading import device_identities, first_of, in_time_order, is_given, values_of, whole
from partners.settings import credential, is_on, one_of, settings_of
from partners.writing import present, seconds, to_json
from shared import firehose as mp
from shared.errors import InvalidRequest
from shared.firehose import AudienceAction, DeviceIdentityType, EnvironmentType, EventType, UserIdentityType

HOSTS = {"us": "https://api.iterable.com", "eu": "https://api.eu.iterable.com"}

LIMITS = Limits(account_rate=Rate(500))
"""users/update takes 500 a second of each project, less than the other calls of a request: it is the narrowest."""

Call = tuple[str, str, dict[str, Any]]
"""Endpoint, item, body."""


@dataclass(frozen=True)
class Iterable(Partner):
    host: str = HOSTS["us"]
    limits: Limits = LIMITS

    name = "iterable"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        return cls(HOSTS[one_of(env, "ITERABLE_DATA_CENTER", tuple(HOSTS))])

    def registration(self) -> mp.Registration:
        return REGISTRATION

    def deliveries(self, request: mp.Request) -> Iterator[Delivery]:
        calls: Iterator[Call] = iter(())
        if isinstance(request, mp.EventProcessingRequest):
            calls = _event_calls(request)
        elif isinstance(request, mp.AudienceMembershipChangeRequest):
            calls = _list_calls(request)
        for endpoint, name, body in calls:
            yield Delivery(
                url=f"{self.host}/api/{endpoint}",
                body=to_json(body),
                item=name,
                headers={"Content-Type": "application/json"},
                secret_headers={"Api-Key": credential(settings_of(request), "apiKey")},
            )

    def read_response(self, deliveries: Sequence[Delivery], body: bytes) -> Sequence[Result] | None:
        return results(deliveries, body)


def _event_calls(request: mp.EventProcessingRequest) -> Iterator[Call]:
    settings = settings_of(request)
    coerced = is_on(settings, "coerceStringsToScalars")
    placeholder = _placeholder(request, settings)
    emails = _emails(request.user_identities, placeholder)
    if not emails:
        raise InvalidRequest("no e-mail address, and nothing to make a placeholder of", "user_identities")
    user = _user(emails, request.user_identities, request.mpid, settings)
    fields = user_fields(request.user_attributes, coerced=coerced) if is_given(request, "user_attributes") else None
    profile = user | present(dataFields=fields)
    events = in_time_order(request.events)
    yield from _email_changes(events, placeholder)
    yield "users/update", "user", profile
    handles_push = (
        request.integration_attributes.get("Iterable.sdkVersion") is None
    )  # else Iterable's SDK in the app does
    opened = set()
    for name, event in events:
        if handles_push and isinstance(event, mp.PushMessageOpenEvent) and (opening := push(event.payload)):
            opened.add(opening.get("messageId"))
            yield "events/trackPushOpen", name, user | opening | _created_at(event)
    for name, event in events:
        match event:
            case mp.CustomEvent(name=str() as kind) if kind.lower() == "subscriptionsupdated":
                if (lists := subscriptions(event.attributes)) is not None:
                    yield "users/updateSubscriptions", name, {"email": emails[-1]} | lists
            case mp.CustomEvent():
                fields = data_fields(event.attributes, coerced=True) if is_given(event, "attributes") else None
                body = user | present(eventName=event.name, id=event.id, dataFields=fields)
                yield "events/track", name, body | _created_at(event)
            case mp.ProductActionEvent(action=mp.ProductActionType.PURCHASE):
                items = [item(one, coerced=coerced) for one in event.products] if is_given(event, "products") else None
                body = present(id=event.id, total=event.total_amount, items=items, user=profile)
                yield "commerce/trackPurchase", name, body | _created_at(event)
            case mp.PushSubscriptionEvent() if handles_push:
                if device := _device(event, request.runtime_environment, settings):
                    registered = {"email": emails[0], "preferUserId": False, "device": device}
                    yield "users/registerDeviceToken", name, registered
            case mp.PushMessageReceiptEvent() if handles_push and (received := push(event.payload)):
                if received.get("messageId") not in opened - {None}:
                    yield "events/trackPushOpen", name, user | received | _created_at(event)


def _list_calls(request: mp.AudienceMembershipChangeRequest) -> Iterator[Call]:
    """Who is added to which list, then who is removed from which."""
    settings = settings_of(request)
    members: dict[str, dict[int, list[dict[str, str]]]] = {"subscribe": {}, "unsubscribe": {}}
    for profile in request.user_profiles:
        emails = _emails(profile.user_identities, _placeholder_of(profile.mpid) if _by_mpid(settings) else None)
        user = _user(emails, profile.user_identities, profile.mpid, settings)
        changes = [
            (whole(audience.audience_subscription_settings.get("listId"), bits=INT_BITS), audience.action)
            for audience in (profile.audiences if emails else ())
        ]
        for place, (list_id, action) in enumerate(changes):
            if list_id is None:
                continue
            if action == AudienceAction.ADD:
                members["subscribe"].setdefault(list_id, []).append(user)
            elif action == AudienceAction.DELETE and (list_id, AudienceAction.ADD) not in changes[place:]:
                members["unsubscribe"].setdefault(list_id, []).append(user)
    for change, lists in members.items():
        for list_id, users in lists.items():
            yield f"lists/{change}", f"list {list_id}", {"listId": list_id, "subscribers": users}


def _by_mpid(settings: Mapping[str, str]) -> bool:
    return settings.get("userIdField") == "mpid"


def _emails(identities: Sequence[mp.UserIdentity], placeholder: str | None) -> list[str]:
    return values_of(identities, UserIdentityType.EMAIL) or ([placeholder] if placeholder else [])


def _user(
    emails: Sequence[str], identities: Sequence[mp.UserIdentity], mpid: str | None, settings: Mapping[str, str]
) -> dict[str, str]:
    """By which ids Iterable knows the user. Of several identities of a type the last counts."""
    customers = values_of(identities, UserIdentityType.CUSTOMER, encodings=None)
    user_id = mpid if _by_mpid(settings) else next(reversed(customers), None)
    return present(email=next(reversed(emails), None), userId=user_id or None)


def _placeholder(request: mp.EventProcessingRequest, settings: Mapping[str, str]) -> str | None:
    """The address of a user who has none; it never gets mail. None if nothing tells the user from others."""
    if _by_mpid(settings):
        return _placeholder_of(request.mpid)
    kinds: tuple[DeviceIdentityType, ...] = ()
    match request.runtime_environment:
        case mp.IosEnvironment() | mp.TvosEnvironment():
            kinds = (DeviceIdentityType.IOS_VENDOR_ID, DeviceIdentityType.IOS_ADVERTISING_ID)
        case mp.AndroidEnvironment():
            kinds = (DeviceIdentityType.GOOGLE_ADVERTISING_ID, DeviceIdentityType.ANDROID_ID)
    devices = [value for kind in kinds for value in values_of(device_identities(request), kind, encodings=None)]
    customers = values_of(request.user_identities, UserIdentityType.CUSTOMER, encodings=None)
    return _placeholder_of(first_of(*devices, *customers, request.device_application_stamp))


def _placeholder_of(user_id: str | None) -> str | None:
    return f"{user_id}@placeholder.email" if user_id else None


def _email_changes(events: Sequence[tuple[str, mp.Event]], placeholder: str | None) -> list[Call]:
    """First the users who had no address, then those whose address changed; from a hash it can not be changed."""
    added, changed = [], []
    for name, event in events:
        if not isinstance(event, mp.UserIdentityChangeEvent):
            continue
        old, new = (values_of(change, UserIdentityType.EMAIL) for change in (event.removed, event.added))
        had_none = not any(one.type == UserIdentityType.EMAIL for one in event.removed)
        if new and old:
            changed.append(("users/updateEmail", name, {"currentEmail": old[0], "newEmail": new[0]}))
        elif new and had_none and placeholder:
            added.append(("users/updateEmail", name, {"currentEmail": placeholder, "newEmail": new[0]}))
    return added + changed


def _device(
    event: mp.PushSubscriptionEvent, environment: mp.RuntimeEnvironment | None, settings: Mapping[str, str]
) -> dict[str, str] | None:
    """None if Iterable would refuse it: another platform, no token, no application of the customer's."""
    platform, application = "", None
    match environment:
        case mp.IosEnvironment(is_sandboxed=True):
            platform, application = "APNS_SANDBOX", settings.get("apnsSandboxIntegrationName")
        case mp.IosEnvironment():
            platform, application = "APNS", settings.get("apnsProdIntegrationName")
        case mp.AndroidEnvironment():
            platform, application = "GCM", settings.get("gcmIntegrationName")
    if event.action not in {None, mp.PushSubscriptionAction.SUBSCRIBE} or not (event.token and application):
        return None
    return {"token": event.token, "platform": platform, "applicationName": application}


def _created_at(event: mp.Event) -> dict[str, int]:
    return present(createdAt=seconds(event.timestamp_ms, bits=INT_BITS))


API_KEY = mp.TextSetting(
    id="apiKey",
    name="API Key",
    description="API key used to connect to the Iterable API - see the Integrations section of your Iterable account.",
    required=True,
    confidential=True,
)
USER_ID_FIELD = mp.TextSetting(
    id="userIdField",
    name="User ID",
    description="Select which user identity to forward to Iterable as your customer's user ID.",
    default_value="customerId",
    required=True,
)
APPLICATIONS = [
    mp.TextSetting(
        id=f"{name}IntegrationName",
        name=f"{title} Integration Name",
        description=f"{kind} integration name set up in the Mobile Push section of your Iterable account.",
    )
    for name, title, kind in (
        ("gcm", "GCM Push", "GCM"),
        ("apnsSandbox", "APNS Sandbox", "APNS Sandbox"),
        ("apnsProd", "APNS Production", "APNS Production"),
    )
]
COERCE = mp.BooleanSetting(
    id="coerceStringsToScalars",
    name="Coerce Strings to Scalars",
    description="If enabled, mParticle will attempt to coerce string attributes into scalar types "
    "(integer, boolean, and float).",
    checked=True,
)
LIST_ID = mp.IntegerSetting(
    id="listId",
    name="List ID",
    description="The ID of the Iterable list to populate with the users from this segment.",
    required=True,
)
DEVICE_IDS = "google_cloud_messaging_token apple_push_notification_token ios_vendor_id android_id google_advertising_id"
EVENT_TYPES = (
    "custom_event push_subscription push_message_receipt push_message_open user_identity_change product_action"
)
REGISTRATION = mp.Registration(
    name="Iterable",
    version="2.0.0",
    description='<a href="https://www.iterable.com">Iterable</a> makes consumer growth marketing and user engagement '
    "simple. With Iterable, marketers send the right message, to the right device, at the right time.",
    permissions=mp.Permissions(
        user_identities=[mp.UserIdentityPermission(type=UserIdentityType(kind)) for kind in ("email", "customer")],
        device_identities=[mp.DeviceIdentityPermission(type=DeviceIdentityType(kind)) for kind in DEVICE_IDS.split()],
        allow_access_device_application_stamp=True,
        allow_user_attributes=True,
        allow_device_info=True,
        allow_access_mpid=True,
    ),
    event_processing_registration=mp.EventProcessingRegistration(
        account_settings=[API_KEY, *APPLICATIONS, COERCE],
        event_connection_settings=[USER_ID_FIELD],
        supported_event_types=[EventType(kind) for kind in EVENT_TYPES.split()],
        supported_runtime_environments=[EnvironmentType(kind) for kind in ("android", "ios", "mobileweb", "unknown")],
        push_messaging_provider_id="itbl",
    ),
    audience_processing_registration=mp.AudienceProcessingRegistration(
        account_settings=[API_KEY, USER_ID_FIELD], audience_subscription_settings=[LIST_ID]
    ),
)
