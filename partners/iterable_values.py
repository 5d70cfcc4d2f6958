"""Iterable's values: attributes as typed fields, lists of ids in a text, what a push carries, calls in bulk. Pure."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from partners.base import Delivery, LeftOut, Result
from partners.reading import (
    device_identities,
    double,
    double_of_hex,
    first_of,
    given,
    json_object,
    truncated,
    values_of,
    whole,
)
from partners.writing import present, seconds, to_json
from shared import firehose as mp
from shared.errors import InvalidRequest
from shared.firehose.json_text import decode

PHONE = "phoneNumber"
"""Iterable's field for the phone number of messages: always text, or its + and zeros would be lost."""


class Call(NamedTuple):
    """One call; for `item`, `merge` and `merge_group` see partners.base.Delivery."""

    endpoint: str
    item: str
    body: dict[str, Any]
    merge: str | None = None
    merge_group: str = ""


INT_BITS = 32
"""Ids of lists, channels and message types, and whole attributes."""

_NAMED_BY = {"Emails": "email", "UserIds": "userId", "EventNames": "eventName"}
"""The endings of the names of lists in an answer that name failures, and the field whose values such a list holds."""

_NOT_PHONE = re.compile(r"[^0-9+]")
_INT = re.compile(r"[+-]?[0-9]+")
_BLANKS = "".join(map(chr, range(33)))
_SUFFIXES = "fFdD"
"""Java reads `1.5f` and `1.5d`, too."""


def data_fields(attributes: Mapping[str, str | None] | None, *, coerced: bool) -> dict[str, Any] | None:
    """Attributes as `dataFields`: without empty ones, typed if the setting says so, phone numbers as text."""
    if attributes is None:
        return None
    return {
        name: coerce(value) if coerced and name != PHONE else value
        for name, value in attributes.items()
        if value is not None
    }


def user_fields(attributes: Mapping[str, str | None] | None, *, coerced: bool) -> dict[str, Any] | None:
    """The same for a user or a product: mParticle's reserved `$Mobile` is Iterable's phone number."""
    mobile = (attributes or {}).get("$Mobile")
    if attributes is not None:
        attributes = {name: value for name, value in attributes.items() if name != "$Mobile"}
        attributes |= {} if mobile is None else {PHONE: _NOT_PHONE.sub("", mobile)}
    return data_fields(attributes, coerced=coerced)


def coerce(text: str) -> str | int | float | bool:
    """true and false as booleans, int32 as numbers, numbers with a fraction as doubles; everything else stays text.

    A double is what Java's Double.parseDouble reads, NaN and Infinity aside: the types of fields that exist already
    depend on it.
    """
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if _INT.fullmatch(text):
        number = whole(text, bits=INT_BITS)
        return text if number is None else number
    trimmed = text.strip(_BLANKS)
    digits = trimmed[:-1] if trimmed.endswith(tuple(_SUFFIXES)) else trimmed
    fraction = double(digits) if double_of_hex(digits) is None else double_of_hex(digits)
    return text if fraction is None or fraction.is_integer() else fraction


def subscriptions(name: str, email: str, attributes: Mapping[str, str | None]) -> Call | LeftOut:
    """The call for an event `subscriptionsUpdated`; none if a list holds something that is no id.

    The call replaces each list that it names, so a list that is only partly readable must not be sent.
    """
    lists: dict[str, Any] = {}
    for field in ("emailListIds", "unsubscribedChannelIds", "unsubscribedMessageTypeIds"):
        text = attributes.get(field)
        if text is not None:
            lists[field] = [whole(piece, bits=INT_BITS) for piece in text.split(",") if piece]
            if None in lists[field]:
                return LeftOut(name, "subscriptions: one of the lists holds what is no id")
    ids = {field: whole(attributes.get(field), bits=INT_BITS) for field in ("campaignId", "templateId")}
    return Call("users/updateSubscriptions", name, {"email": email} | lists | present(**ids))


def push(payload: str | None) -> dict[str, Any] | None:
    """The fields of a push that Iterable wants back; None if the push is not Iterable's, or a proof without campaign.

    Iterable's part of the payload is an object on iOS and JSON text on Android; either is taken on both.
    """
    itbl = (json_object(payload) or {}).get("itbl")
    content = json_object(itbl) if isinstance(itbl, str) else itbl
    if not isinstance(content, dict):
        return None
    campaign_id, template_id = whole(content.get("campaignId")), whole(content.get("templateId"))
    if not campaign_id or not template_id:
        return None
    message_id = content.get("messageId")
    return present(
        campaignId=campaign_id,
        templateId=template_id,
        messageId=message_id if isinstance(message_id, str) else None,
    )


def email_change(name: str, event: mp.Event, placeholder: str | None) -> Iterator[Call | LeftOut]:
    """The call for a user who had no address, or whose address changed; a hash cannot be changed."""
    if not isinstance(event, mp.UserIdentityChangeEvent):
        return
    old, new = (values_of(change, mp.UserIdentityType.EMAIL) for change in (event.removed, event.added))
    had_none = not any(one.type == mp.UserIdentityType.EMAIL for one in event.removed)
    before = old[0] if old else placeholder if had_none else None
    if new and before:
        yield Call("users/updateEmail", name, {"currentEmail": before, "newEmail": new[0]})
    elif new:
        yield LeftOut(name, "a new e-mail address of a user whose old one, or placeholder, is not known")


def placeholder(request: mp.EventProcessingRequest, *, by_mpid: bool) -> str | None:
    """The address of a user who has none; it never gets mail. None if nothing tells the user from others."""
    if by_mpid:
        return placeholder_of(request.mpid)
    kinds: tuple[mp.DeviceIdentityType, ...] = ()
    match request.runtime_environment:
        case mp.IosEnvironment() | mp.TvosEnvironment():
            kinds = (mp.DeviceIdentityType.IOS_VENDOR_ID, mp.DeviceIdentityType.IOS_ADVERTISING_ID)
        case mp.AndroidEnvironment():
            kinds = (mp.DeviceIdentityType.GOOGLE_ADVERTISING_ID, mp.DeviceIdentityType.ANDROID_ID)
    devices = [value for kind in kinds for value in values_of(device_identities(request), kind, encodings=None)]
    customers = values_of(request.user_identities, mp.UserIdentityType.CUSTOMER, encodings=None)
    return placeholder_of(first_of(*devices, *customers, request.device_application_stamp))


def placeholder_of(user_id: str | None) -> str | None:
    return f"{user_id}@placeholder.email" if user_id else None


def item(product: mp.Product, *, coerced: bool) -> dict[str, Any]:
    """A product of a purchase. Iterable counts whole pieces: a fraction of one counts as one, and so does no number.

    Raises ValueError for more pieces than 64 bits hold: nobody knows what such a purchase was.
    """
    is_one = product.quantity is None or 0 < product.quantity < 1
    quantity = 1 if is_one else truncated(product.quantity)
    if quantity is None:
        raise ValueError("more pieces than anybody buys")
    return present(
        id=product.id,
        sku=product.id,
        name=product.name,
        categories=None if product.category is None else [product.category],
        price=product.price,
        quantity=quantity,
        dataFields=user_fields(given(product, "attributes"), coerced=coerced),
    )


def device(
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


def created_at(event: mp.Event) -> dict[str, int]:
    return present(createdAt=seconds(event.timestamp_ms, bits=INT_BITS))


# --- bulk: the same calls for many users at once ----------------------------------------------------------------------


def in_bulk(calls: Iterable[Call | LeftOut]) -> Iterator[Call | LeftOut]:
    """The calls in a form that can be merged, one user or event in each; those without a bulk form stay as they are."""
    for call in calls:
        match call:
            case Call("users/update"):
                yield Call("users/bulkUpdate", call.item, {"users": [call.body]}, "users/bulkUpdate")
            case Call("events/track"):
                yield Call("events/trackBulk", call.item, {"events": [call.body]}, "events/trackBulk")
            case Call("lists/subscribe" | "lists/unsubscribe"):
                for place, member in enumerate(call.body["subscribers"]):
                    body = call.body | {"subscribers": [member]}
                    yield Call(call.endpoint, f"{call.item}[{place}]", body, call.endpoint, str(body["listId"]))
            case Call("commerce/trackPurchase"):  # the profile goes in bulk, and must not go both ways at one time
                user = {name: value for name, value in call.body["user"].items() if name != "dataFields"}
                yield Call(call.endpoint, call.item, call.body | {"user": user})
            case _:
                yield call


def merged(deliveries: Sequence[Delivery]) -> Delivery:
    """One call of many. Several updates of a user become one entry, in which the later ones win."""
    bodies = [decode(one.body) for one in deliveries]
    field = _field(bodies[0])
    entries = [entry for body in bodies for entry in body[field]]
    if field == "users":
        users: dict[tuple[Any, Any], dict[str, Any]] = {}
        for entry in entries:
            user = users.setdefault(_ids(entry), entry)
            if user is not entry and "dataFields" in entry:
                user.setdefault("dataFields", {}).update(entry["dataFields"])
        entries = list(users.values())
    return replace(deliveries[0], body=to_json({**bodies[0], field: entries}), item="bulk")


def results(deliveries: Sequence[Delivery], body: bytes) -> Sequence[Result] | None:
    """The results of the deliveries in a 2xx; None: all arrived.

    An answer that cannot be read may come from a proxy, so the call is made again. It is also made again if a failure
    names no item: sending an update, an event with an id or a list member twice changes nothing.
    """
    try:
        answer = decode(body) if body else None
    except InvalidRequest:
        return [Result.RETRY] * len(deliveries)
    if not isinstance(answer, dict):
        return None
    code, said = answer.get("code"), answer.get("failCount")
    if isinstance(code, str) and code.lower() != "success":
        return [Result.REJECTED] * len(deliveries)
    count = 0 if said is None else whole(said)
    none_failed = count is not None and count <= 0
    failures = answer.get("failedUpdates")
    lists = {**answer, **failures} if isinstance(failures, dict) else answer
    named = {name: {one for one in ids if isinstance(one, str)} for name, ids in lists.items() if isinstance(ids, list)}
    not_found = {}
    if deliveries[0].url.endswith("/lists/unsubscribe"):  # a user who is not on the list need not be taken off
        not_found = {name: named.pop(name) for name in ("notFoundEmails", "notFoundUserIds") if name in named}
    blamed, missed = _by_field(named), _by_field(not_found)
    if none_failed and not any(blamed.values()):
        return None
    entries = [_entries(one) for one in deliveries]
    refused = [_is_named(some, blamed) for some in entries]
    rest = Result.DELIVERED
    if count is None:
        rest = Result.RETRY
    elif count > _refused_entries(deliveries[0], entries, refused) + _are_named(entries, missed):
        rest = Result.REJECTED if len(deliveries) == 1 else Result.RETRY
    return [Result.REJECTED if is_refused else rest for is_refused in refused]


def _refused_entries(first: Delivery, entries: Sequence[list[dict[str, Any]]], refused: Sequence[bool]) -> int:
    """The number of failures that named items explain; several updates of one user were one entry."""
    if first.merge == "users/bulkUpdate":
        known = {_ids(some[0]) for some, is_refused in zip(entries, refused, strict=True) if is_refused}
        return len(known)
    return sum(refused)


def _ids(entry: Mapping[str, Any]) -> tuple[Any, Any]:
    return entry.get("email"), entry.get("userId")


def _field(body: Mapping[str, Any]) -> str | None:
    return next((field for field in ("users", "events", "subscribers") if field in body), None)


def _entries(delivery: Delivery) -> list[dict[str, Any]]:
    body = decode(delivery.body)
    field = _field(body)
    return body[field] if field else [body]


def _by_field(named: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """The values in an answer's lists of failures, by the field (address, id, name of an event) that they belong to."""
    return {
        field: {_known_as(field, one) for name, ids in named.items() if name.endswith(ending) for one in ids}
        for ending, field in _NAMED_BY.items()
    }


def _known_as(field: str, value: str) -> str:
    """A value in the form in which it is compared: an address may come back in small letters."""
    return value.lower() if field == "email" else value


def _is_named(entries: Sequence[Mapping[str, Any]], named: Mapping[str, Collection[str]]) -> bool:
    """Whether one of the entries is named: by its address, its id, or its event's name."""
    return any(
        field in entry and _known_as(field, entry[field]) in ids for entry in entries for field, ids in named.items()
    )


def _are_named(entries: Sequence[Sequence[Mapping[str, Any]]], named: Mapping[str, Collection[str]]) -> int:
    return sum(_is_named([entry], named) for some in entries for entry in some)
