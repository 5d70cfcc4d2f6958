"""Iterable's values: attributes that become typed fields, lists of ids in a text, what a push carries. Pure."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import isfinite
from typing import Any

from partners.base import Delivery, Result
from partners.reading import is_given, json_object, whole
from partners.writing import present
from shared.errors import InvalidRequest
from shared.firehose import Product
from shared.firehose.json_text import decode

PHONE = "phoneNumber"
"""Iterable's field for the number that messages go to: text, whatever it looks like, or its + and zeros are lost."""

INT_BITS = 32
"""Ids of lists, channels and message types, and whole attributes."""

_NOT_PHONE = re.compile(r"[^0-9+]")
_INT = re.compile(r"[+-]?[0-9]+")
_BLANKS = "".join(map(chr, range(33)))
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[fFdD]?")
_HEX = re.compile(r"[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+[fFdD]?")
"""What Java's Double.parseDouble reads, NaN and Infinity aside: the types of fields that exist already depend on it."""


def data_fields(attributes: Mapping[str, str | None], *, coerced: bool) -> dict[str, Any]:
    """Attributes as `dataFields`: without those that have no value, typed if so asked, phone numbers as text."""
    return {
        name: coerce(value) if coerced and name != PHONE else value
        for name, value in attributes.items()
        if value is not None
    }


def user_fields(attributes: Mapping[str, str | None], *, coerced: bool) -> dict[str, Any]:
    """The same of a user or a product: mParticle's reserved `$Mobile` is Iterable's phone number."""
    mobile = attributes.get("$Mobile")
    renamed = {name: value for name, value in attributes.items() if name != "$Mobile"}
    return data_fields(renamed | ({} if mobile is None else {PHONE: _NOT_PHONE.sub("", mobile)}), coerced=coerced)


def coerce(text: str) -> str | int | float | bool:
    """true and false as booleans, int32 as numbers, numbers with a fraction as doubles; everything else stays text."""
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if _INT.fullmatch(text):
        number = whole(text, bits=INT_BITS)
        return text if number is None else number
    trimmed = text.strip(_BLANKS)
    double = 0.0
    if _DECIMAL.fullmatch(trimmed):
        double = float(trimmed.rstrip("fFdD"))
    elif _HEX.fullmatch(trimmed):
        double = _of_hex(trimmed)
    return double if isfinite(double) and not double.is_integer() else text


def _of_hex(text: str) -> float:
    digits = text[:-1] if text[-1] in "fFdD" else text
    try:
        return float.fromhex(digits)
    except OverflowError:
        return 0.0


def subscriptions(attributes: Mapping[str, str | None]) -> dict[str, Any] | None:
    """The fields of users/updateSubscriptions; None if a list holds what is no id.

    The call replaces each list that it names: one that is partly readable must not be sent.
    """
    lists: dict[str, Any] = {}
    for name in ("emailListIds", "unsubscribedChannelIds", "unsubscribedMessageTypeIds"):
        text = attributes.get(name)
        if text is not None:
            lists[name] = [whole(piece, bits=INT_BITS) for piece in text.split(",") if piece]
            if None in lists[name]:
                return None
    ids = {name: whole(attributes.get(name), bits=INT_BITS) for name in ("campaignId", "templateId")}
    return lists | present(**ids)


def push(payload: str | None) -> dict[str, Any] | None:
    """What of a push Iterable wants back; None if it was not Iterable's, or a proof, which has no campaign.

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


def item(product: Product, *, coerced: bool) -> dict[str, Any]:
    """A product of a purchase. Iterable counts whole pieces: a part of one is one, and without a number it is one."""
    quantity = Decimal(1) if product.quantity is None or 0 < product.quantity < 1 else product.quantity
    fields = user_fields(product.attributes, coerced=coerced) if is_given(product, "attributes") else None
    return present(
        id=product.id,
        sku=product.id,
        name=product.name,
        categories=None if product.category is None else [product.category],
        price=product.price,
        quantity=int(quantity),
        dataFields=fields,
    )


def results(deliveries: Sequence[Delivery], body: bytes) -> Sequence[Result] | None:
    """What a 2xx says of the calls in it. One whose text can not be read may come from anywhere on the way: again."""
    try:
        answer = decode(body) if body else None
    except InvalidRequest:
        return [Result.RETRY] * len(deliveries)
    if not isinstance(answer, dict):
        return None
    code = answer.get("code")
    failed = isinstance(code, str) and code.lower() != "success"
    return [Result.REJECTED if failed or answer.get("failCount") else Result.DELIVERED] * len(deliveries)
