"""Amplitude's events: the user, the time, the event and the device. docs/partners/amplitude.md lists the fields."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from partners.base import LeftOut
from partners.reading import attributes_of, device_identities, first_of, in_time_order, negated, one_by_one, values_of
from partners.writing import cut, present, to_json
from shared import firehose as mp
from shared.errors import InvalidRequest
from shared.firehose import AudienceAction, DeviceIdentityType, EventType, UserAttributeAction, UserIdentityType
from shared.message import account_id_of

LONGEST_TEXT = 1_024

NO_ID = frozenset(
    {"", "anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "{}", "lmy47d", "0", "-1"}
    | {"00000000-0000-0000-0000-000000000000"}
)
"""Ids that Amplitude treats as missing, and refuses."""

DEVICE_IDS = {
    "idfv": DeviceIdentityType.IOS_VENDOR_ID,
    "android_id": DeviceIdentityType.ANDROID_ID,
    "idfa": DeviceIdentityType.IOS_ADVERTISING_ID,
    "adid": DeviceIdentityType.GOOGLE_ADVERTISING_ID,
}
DEVICE_FACTS = {
    "ip": "client_ip_address",
    "os_version": "os_version",
    "device_brand": "brand",
    "device_manufacturer": "manufacturer",
    "device_model": "model",
    "carrier": "network_carrier",
    "country": "country",
    "language": "locale_language",
    "app_version": "application_version",
}
PLATFORMS = {"ios": "iOS", "tvos": "tvOS", "android": "Android", "mobileweb": "Web"}

NAMES = {
    EventType.SESSION_START: "Session Start",
    EventType.SESSION_END: "Session End",
    EventType.ERROR: "Error",
    EventType.APPLICATION_STATE_TRANSITION: "Application State",
    EventType.PROMOTION_ACTION: "Promotion",
    EventType.IMPRESSION: "Impression",
}
REVENUE = frozenset({mp.ProductActionType.PURCHASE, mp.ProductActionType.REFUND})
NO_PROPERTY = frozenset(
    {"type", "id", "timestamp_ms", "source_id", "session_id", "location", "attributes", "custom_flags", "name"}
)
"""Fields of an event that are no properties: they say what it is, become properties one by one, or have other uses."""


Named = tuple[str, dict[str, Any]]
"""An Amplitude event with the name of its item."""


def events_of(request: mp.Request, settings: Mapping[str, str]) -> Iterator[Named | LeftOut]:
    """Amplitude's events in sending order, and a LeftOut for each part that becomes none."""
    if isinstance(request, mp.EventProcessingRequest):
        devices = device_identities(request)
        who = _who(request.user_identities, devices, request.mpid, request.device_application_stamp, settings)
        if not who:
            raise InvalidRequest("no user id and no device id that Amplitude takes", "user_identities")
        facts = _facts(request, devices)
        if known := request.user_attributes | request.user_attribute_lists:
            yield "user", _identify(request, who, _values(known), ()) | facts

        def event_of(item: str, event: mp.Event) -> Iterator[Named]:
            if isinstance(event, mp.UserAttributeChangeEvent):
                sent = _identify(request, who, _values(event.added), event.removed, event.timestamp_ms)
            elif (name := _name(event)) is not None:
                sent = who | present(event_type=cut(name, LONGEST_TEXT), time=event.timestamp_ms)
                sent |= {"event_properties": _properties(event), **_revenue(event), **_place(event)}
            else:
                return
            yield item, sent | facts | {"insert_id": event.id or _insert_id(request, event.raw)}

        yield from one_by_one(in_time_order(request.events), event_of)
    elif isinstance(request, mp.AudienceMembershipChangeRequest):

        def change_of(item: str, profile: mp.UserProfile) -> Iterator[Named | LeftOut]:
            who = _who(profile.user_identities, profile.device_identities, profile.mpid, None, settings)
            added, removed = _membership(profile)
            if not (added or removed):
                return
            if not who:
                yield LeftOut(item, "a profile without a user id or device id that Amplitude takes")
                return
            yield item, _identify(request, who, added, removed)

        profiles = ((f"user_profiles[{number}]", profile) for number, profile in enumerate(request.user_profiles))
        yield from one_by_one(profiles, change_of)


def _who(
    users: Sequence[mp.UserIdentity],
    devices: Sequence[mp.DeviceIdentity],
    mpid: str | None,
    stamp: str | None,
    settings: Mapping[str, str],
) -> dict[str, str]:
    """The ids by which Amplitude knows the user, without those that it would not take."""
    field = user_id_field(settings)
    user_ids = [mpid] if field == "mpid" else values_of(users, UserIdentityType(field.removesuffix("Id")))
    device_ids = [value for name in ("idfv", "android_id") for value in values_of(devices, DEVICE_IDS[name])]
    return present(user_id=_first_id(user_ids), device_id=_first_id([*device_ids, stamp]))


def _first_id(candidates: Iterable[str | None]) -> str | None:
    return first_of(*(one for one in candidates if one and one.lower() not in NO_ID and len(one) <= LONGEST_TEXT))


def user_id_field(settings: Mapping[str, str]) -> str:
    field = settings.get("userIdField") or "customerId"
    if field not in {"customerId", "email", "mpid"}:
        raise InvalidRequest("must be customerId, email or mpid", "account.account_settings.userIdField")
    return field


def _facts(request: mp.EventProcessingRequest, devices: Sequence[mp.DeviceIdentity]) -> dict[str, str]:
    """The fields that all events of a request share: the device, its system, the app."""
    environment = request.runtime_environment
    kind = str(environment.type) if environment and environment.type else None
    platform = PLATFORMS.get(kind, kind) if kind else None
    ids = {name: first_of(*values_of(devices, kind)) for name, kind in DEVICE_IDS.items()}
    named = {name: getattr(environment, field, None) for name, field in DEVICE_FACTS.items()}
    facts = {name: value for name, value in named.items() if isinstance(value, str)}  # of a type that has the field
    return present(platform=platform, os_name=platform if kind != "mobileweb" else None, **facts, **ids)


def _identify(
    request: mp.Request, who: dict[str, str], added: Mapping[str, Any], removed: Iterable[str], time: int | None = None
) -> dict[str, Any]:
    """A change of user properties."""
    changes = {"$set": dict(added), "$unset": dict.fromkeys(removed, "-")}
    properties = {name: content for name, content in changes.items() if content}
    time = request.timestamp_ms if time is None else time
    sent = who | present(event_type="$identify", time=time, user_properties=properties)
    return sent | {"insert_id": _insert_id(request, sent)}


def _insert_id(request: mp.Request, content: Any) -> str:
    """The id by which Amplitude recognises an event that is sent again. Accounts may share a project, and may have
    requests with the same id, so the account is part of it; without an account the request's id stands alone.
    """
    account_id = account_id_of(request.raw)
    whose = [] if account_id is None else [account_id]
    return hashlib.sha256(to_json([*whose, request.id, content])).hexdigest()


def _values(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as properties; one without a value is a tag."""
    return {
        name: True if value is None else cut(value, LONGEST_TEXT) if isinstance(value, str) else value
        for name, value in attributes.items()
    }


def _membership(profile: mp.UserProfile) -> tuple[dict[str, Any], list[str]]:
    added: dict[str, Any] = {}
    removed: list[str] = []
    for audience in profile.audiences:
        settings = audience.audience_subscription_settings
        name = settings.get("propertyName") or f"Audience {audience.audience_name or audience.audience_id}"
        if audience.action in {AudienceAction.ADD, AudienceAction.DELETE}:
            added[name] = audience.action == AudienceAction.ADD
        for attribute in audience.user_attributes:
            if attribute.key and attribute.action == UserAttributeAction.DELETE:
                removed.append(attribute.key)
            elif attribute.key:
                added |= _values({attribute.key: attribute.list_value or attribute.value})
    return added, removed


def _name(event: mp.Event) -> str | None:
    """The event's type at Amplitude; None for an event that is not sent."""
    match event:
        case mp.CustomEvent():
            return event.name or "Custom Event"
        case mp.ScreenViewEvent():
            return f"Viewed {event.screen_name or 'Screen'}"
        case mp.ProductActionEvent():
            return f"Product {event.action or 'action'}"
    return NAMES.get(event.type) if isinstance(event.type, EventType) else None


def _properties(event: mp.Event) -> dict[str, Any]:
    fields = {name: value for name, value in event.raw.items() if name not in NO_PROPERTY and value is not None}
    return _values({**fields, **attributes_of(event)})


def _revenue(event: mp.Event) -> dict[str, Any]:
    if not isinstance(event, mp.ProductActionEvent) or event.total_amount is None or event.action not in REVENUE:
        return {}
    refunded = event.action == mp.ProductActionType.REFUND
    amount = negated(event.total_amount) if refunded else event.total_amount
    product = event.products[0].id if len(event.products) == 1 else None
    return present(revenue=amount, revenueType="Refund" if refunded else "Purchase", productId=product)


def _place(event: mp.Event) -> dict[str, float]:
    where = event.location
    if where is None or where.latitude is None or where.longitude is None:
        return {}
    return {"location_lat": where.latitude, "location_lng": where.longitude}
