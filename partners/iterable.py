"""Iterable: profiles, events, purchases, pushes, list members. docs/partners/iterable.md says what goes where, and why.

Environment (of ingest too):

    ITERABLE_DATA_CENTER    us (default) or eu: where the customers' projects are
    ITERABLE_MODE           single (default) or bulk: profiles, events and list members of many messages in one call
    ITERABLE_LIST_RATE      what lists take of each project in bulk mode: 5, or 45/20; by default it is found out
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from partners import iterable_values as values
from partners.base import Bulk, Delivery, LeftOut, Limits, Partner, Rate, Result
from partners.reading import first_of, given, in_time_order, one_by_one, values_of, whole
from partners.settings import credential, is_on, one_of, rate, settings_of
from partners.writing import present, to_json
from shared import firehose as mp
from shared.errors import InvalidRequest
from shared.firehose import AudienceAction, DeviceIdentityType, EnvironmentType, EventType, UserIdentityType

HOSTS = {"us": "https://api.iterable.com", "eu": "https://api.eu.iterable.com"}


def limits_with(list_rate: Rate | None) -> Limits:
    """Rates are by project, and each account of mParticle has one project, so a 429 or 503 asks that account to wait.
    users/update, 500 a second, is the narrowest.
    """
    users, events = Bulk(1_000, 4_000_000, Rate(5)), Bulk(8_000, 4_000_000, Rate(10))
    lists = Bulk(1_000, 1_000_000, list_rate)
    bulk = {"users/bulkUpdate": users, "events/trackBulk": events, "lists/subscribe": lists, "lists/unsubscribe": lists}
    return Limits(account_rate=Rate(500), bulk=bulk)


@dataclass(frozen=True)
class Iterable(Partner):
    host: str = HOSTS["us"]
    is_bulk: bool = False
    limits: Limits = field(default_factory=lambda: limits_with(None))

    name = "iterable"
    reads = frozenset(
        {"account", "user_identities", "user_attributes", "runtime_environment", "integration_attributes"}
        | {"events", "user_profiles"}
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        return cls(
            host=HOSTS[one_of(env, "ITERABLE_DATA_CENTER", tuple(HOSTS))],
            is_bulk=one_of(env, "ITERABLE_MODE", ("single", "bulk")) == "bulk",
            limits=limits_with(rate(env, "ITERABLE_LIST_RATE")),
        )

    def registration(self) -> "mp.Registration":
        return _registration()

    def lane_of(self, request: mp.Request) -> str | None:
        """Requests about one user go in order, so that no bulk update is sent beside a change of the user's address."""
        if isinstance(request, mp.EventProcessingRequest):
            return first_of(request.mpid, request.device_application_stamp)
        profiles = request.user_profiles if isinstance(request, mp.AudienceMembershipChangeRequest) else []
        return profiles[0].mpid if len(profiles) == 1 else None

    def deliveries(self, request: mp.Request) -> Iterator[Delivery | LeftOut]:
        calls: Iterator[values.Call | LeftOut] = iter(())
        if isinstance(request, mp.EventProcessingRequest):
            calls = _event_calls(request)
        elif isinstance(request, mp.AudienceMembershipChangeRequest):
            calls = _list_calls(request)
        calls = values.in_bulk(calls) if self.is_bulk else calls
        named = (one if isinstance(one, LeftOut) else (one.item, one) for one in calls)
        return one_by_one(named, partial(self._delivery, settings_of(request)))

    def _delivery(self, settings: Mapping[str, str], item: str, call: values.Call) -> Iterator[Delivery]:
        yield Delivery(
            url=f"{self.host}/api/{call.endpoint}",
            body=to_json(call.body),
            item=item,
            headers={"Content-Type": "application/json"},
            secret_headers={"Api-Key": credential(settings, "apiKey")},
            merge=call.merge,
            merge_group=call.merge_group,
        )

    def ping(self, settings: Mapping[str, str]) -> Delivery:
        """Reads the names of the project's lists: GET /api/lists takes 100 requests a second (Iterable's reference)."""
        key = {"Api-Key": credential(settings, "apiKey")} if settings.get("apiKey") else {}
        return Delivery(f"{self.host}/api/lists", b"", "ping", method="GET", secret_headers=key)

    def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:  # noqa: ARG002
        return values.merged(deliveries)

    def read_response(self, deliveries: Sequence[Delivery], status: int, body: bytes) -> Sequence[Result] | None:
        return values.results(deliveries, body) if 200 <= status < 300 else None


def _event_calls(request: mp.EventProcessingRequest) -> Iterator[values.Call | LeftOut]:
    settings = settings_of(request)
    coerced = is_on(settings, "coerceStringsToScalars")
    placeholder = values.placeholder(request, by_mpid=_by_mpid(settings))
    user = _user(request.user_identities, request.mpid, placeholder, settings)
    if "email" not in user:
        raise InvalidRequest("no e-mail address, and nothing to make a placeholder of", "user_identities")
    profile = user | present(dataFields=values.user_fields(given(request, "user_attributes"), coerced=coerced))
    # Iterable's own SDK in the app tells of pushes and tokens itself.
    handles_push = request.integration_attributes.get("Iterable.sdkVersion") is None
    opened = set()

    def address_of(name: str, event: mp.Event) -> Iterator[values.Call | LeftOut]:
        return values.email_change(name, event, placeholder)

    def opening_of(name: str, event: mp.Event) -> Iterator[values.Call]:
        if handles_push and isinstance(event, mp.PushMessageOpenEvent) and (opening := values.push(event.payload)):
            opened.add(opening.get("messageId"))
            yield values.Call("events/trackPushOpen", name, user | opening | values.created_at(event))

    def calls_of(name: str, event: mp.Event) -> Iterator[values.Call | LeftOut]:
        match event:
            case mp.CustomEvent(name=str() as kind) if kind.lower() == "subscriptionsupdated":
                yield values.subscriptions(name, user["email"], event.attributes)
            case mp.CustomEvent():
                fields = values.data_fields(given(event, "attributes"), coerced=True)
                body = user | present(eventName=event.name, id=event.id, dataFields=fields)
                yield values.Call("events/track", name, body | values.created_at(event))
            case mp.ProductActionEvent(action=mp.ProductActionType.PURCHASE):
                products = given(event, "products")
                items = None if products is None else [values.item(one, coerced=coerced) for one in products]
                body = present(id=event.id, total=event.total_amount, items=items, user=profile)
                yield values.Call("commerce/trackPurchase", name, body | values.created_at(event))
            case mp.PushSubscriptionEvent() if handles_push:
                if registered := values.device(event, request.runtime_environment, settings):
                    first = first_of(*values_of(request.user_identities, UserIdentityType.EMAIL), placeholder)
                    body = {"email": first, "preferUserId": False, "device": registered}
                    yield values.Call("users/registerDeviceToken", name, body)
            case mp.PushMessageReceiptEvent() if handles_push and (received := values.push(event.payload)):
                if received.get("messageId") not in opened - {None}:
                    yield values.Call("events/trackPushOpen", name, user | received | values.created_at(event))

    events = in_time_order(request.events)
    yield from sorted(one_by_one(events, address_of), key=lambda one: _changes_address(one, placeholder))
    yield values.Call("users/update", "user", profile)
    yield from one_by_one(events, opening_of)
    yield from one_by_one(events, calls_of)


def _changes_address(one: values.Call | LeftOut, placeholder: str | None) -> bool:
    """Whether the change is about a user who had an address: changes of users without one go first."""
    return isinstance(one, values.Call) and one.body["currentEmail"] != placeholder


def _list_calls(request: mp.AudienceMembershipChangeRequest) -> Iterator[values.Call | LeftOut]:
    """The users to add to each list, then those to remove from each."""
    settings = settings_of(request)
    members: dict[str, dict[int, list[dict[str, str]]]] = {"subscribe": {}, "unsubscribe": {}}

    def note(name: str, profile: mp.UserProfile) -> Iterator[LeftOut]:
        placeholder = values.placeholder_of(profile.mpid) if _by_mpid(settings) else None
        user = _user(profile.user_identities, profile.mpid, placeholder, settings)
        changes = [
            (whole(audience.audience_subscription_settings.get("listId"), bits=values.INT_BITS), audience.action)
            for audience in profile.audiences
        ]
        if "email" not in user:
            if changes:
                yield LeftOut(name, "a profile without e-mail, and no mpid to make one of")
            return
        last_added = {list_id: place for place, (list_id, action) in enumerate(changes) if action == AudienceAction.ADD}
        for place, (list_id, action) in enumerate(changes):
            if list_id is None:
                yield LeftOut(f"{name}.audiences[{place}]", "its listId is no number")
            elif action == AudienceAction.ADD:
                members["subscribe"].setdefault(list_id, []).append(user)
            elif action == AudienceAction.DELETE and last_added.get(list_id, -1) < place:
                members["unsubscribe"].setdefault(list_id, []).append(user)

    profiles = ((f"user_profiles[{number}]", profile) for number, profile in enumerate(request.user_profiles))
    yield from one_by_one(profiles, note)
    for change, lists in members.items():
        for list_id, users in lists.items():
            yield values.Call(f"lists/{change}", f"list {list_id}", {"listId": list_id, "subscribers": users})


def _by_mpid(settings: Mapping[str, str]) -> bool:
    return settings.get("userIdField") == "mpid"


def _user(
    identities: Sequence[mp.UserIdentity], mpid: str | None, placeholder: str | None, settings: Mapping[str, str]
) -> dict[str, str]:
    """The ids by which Iterable knows the user. Of several identities of a type the last counts."""
    emails = values_of(identities, UserIdentityType.EMAIL)
    customers = values_of(identities, UserIdentityType.CUSTOMER, encodings=None)
    user_id = mpid if _by_mpid(settings) else first_of(*customers[-1:])
    return present(email=first_of(*emails[-1:], placeholder), userId=user_id or None)


def _registration() -> "mp.Registration":
    """Made each time it is asked for, which no worker does: building its models would be a tenth of a cold start."""
    api_key = mp.TextSetting(
        id="apiKey",
        name="API Key",
        description="API key used to connect to the Iterable API - see the Integrations section of your Iterable "
        "account.",
        required=True,
        confidential=True,
    )
    user_id_field = mp.TextSetting(
        id="userIdField",
        name="User ID",
        description="Select which user identity to forward to Iterable as your customer's user ID.",
        default_value="customerId",
        required=True,
    )
    applications = [
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
    coerce = mp.BooleanSetting(
        id="coerceStringsToScalars",
        name="Coerce Strings to Scalars",
        description="If enabled, mParticle will attempt to coerce string attributes into scalar types "
        "(integer, boolean, and float).",
        checked=True,
    )
    list_id = mp.IntegerSetting(
        id="listId",
        name="List ID",
        description="The ID of the Iterable list to populate with the users from this segment.",
        required=True,
    )
    device_ids = (
        "google_cloud_messaging_token apple_push_notification_token ios_vendor_id android_id google_advertising_id"
    )
    events = "custom_event push_subscription push_message_receipt push_message_open user_identity_change product_action"
    return mp.Registration(
        name="Iterable",
        version="2.0.0",
        description='<a href="https://www.iterable.com">Iterable</a> makes consumer growth marketing and user '
        "engagement simple. With Iterable, marketers send the right message, to the right device, at the right time.",
        permissions=mp.Permissions(
            user_identities=[mp.UserIdentityPermission(type=UserIdentityType(kind)) for kind in ("email", "customer")],
            device_identities=[
                mp.DeviceIdentityPermission(type=DeviceIdentityType(kind)) for kind in device_ids.split()
            ],
            allow_access_device_application_stamp=True,
            allow_user_attributes=True,
            allow_device_info=True,
            allow_access_mpid=True,
        ),
        event_processing_registration=mp.EventProcessingRegistration(
            account_settings=[api_key, *applications, coerce],
            event_connection_settings=[user_id_field],
            supported_event_types=[EventType(kind) for kind in events.split()],
            supported_runtime_environments=[
                EnvironmentType(kind) for kind in ("android", "ios", "mobileweb", "unknown")
            ],
            push_messaging_provider_id="itbl",
        ),
        audience_processing_registration=mp.AudienceProcessingRegistration(
            account_settings=[api_key, user_id_field], audience_subscription_settings=[list_id]
        ),
    )
