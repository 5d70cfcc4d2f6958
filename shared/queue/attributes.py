"""The attributes of a message, in the form that SQS takes, as many as have room beside its body; and how many messages
travel in one batch. Pure.
"""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

ENTRIES = 10
"""SQS quota: entries of one batch call."""
MAX_BATCH_BYTES = 1_048_576
"""SQS quota, since August 2025: one message, and all messages of one SendMessageBatch together, attributes included."""
MAX_ATTRIBUTES = 10
"""SQS quota for a message."""

OURS = ("account_id", "type", "redriven_ms")
"""The attributes that ingest gives a message, and the one by which the worker knows a redriven message's age."""

_NAME = re.compile(r"(?!(?i:aws|amazon)\.)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def string_attributes(attributes: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Attributes as SendMessage takes them; empty ones are left out, because SQS refuses them."""
    return {name: {"DataType": "String", "StringValue": _clean(value)} for name, value in attributes.items() if value}


def _clean(text: str) -> str:
    """The text, with U+FFFD in place of the characters that SQS accepts in no body and no attribute.

    The pattern is compiled only if the text may have such a character: that takes 3 ms, and texts of ingest have none.
    """
    if text.isascii() and text.isprintable():
        return text
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def fitting_attributes(body: str, attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """As many attributes as have room beside a body, the first ones first."""
    room = MAX_BATCH_BYTES - len(body.encode("utf-8", "surrogatepass"))
    fitting: dict[str, Mapping[str, Any]] = {}
    for name, one in attributes.items():
        used = attribute_bytes(name, one)
        if used <= room and len(fitting) < MAX_ATTRIBUTES:
            fitting[name] = one
            room -= used
    return fitting


def message_bytes(record: Mapping[str, Any]) -> int:
    """The bytes that SQS counts: the body, and the name, type and value of each attribute."""
    attributes = fitting_attributes(record["body"], kept_attributes(record))
    body_bytes = len(record["body"].encode("utf-8", "surrogatepass"))
    return body_bytes + sum(attribute_bytes(name, one) for name, one in attributes.items())


def attribute_bytes(name: str, one: Mapping[str, Any]) -> int:
    value = one["BinaryValue"] if "BinaryValue" in one else one["StringValue"].encode()
    return len(name.encode()) + len(one["DataType"].encode()) + len(value)


def kept_attributes(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A Lambda record's message attributes as SendMessage takes them, ours before others'; malformed ones, which SQS
    never sends, are left out.
    """
    given = record.get("messageAttributes") or {}
    kept = {}
    for name in sorted(given, key=lambda name: name not in OURS):
        one = _attribute(given[name])
        if one is not None and _NAME.fullmatch(name):
            kept[name] = one
    return kept


def in_batches(messages: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Cut messages into what one SendMessageBatch may carry; `size` gives the bytes of one, as SQS counts them."""
    batch: list[T] = []
    used = 0
    for one in messages:
        one_bytes = size(one)
        if batch and (len(batch) == ENTRIES or used + one_bytes > MAX_BATCH_BYTES):
            yield batch
            batch, used = [], 0
        batch.append(one)
        used += one_bytes
    if batch:
        yield batch


def _attribute(value: Mapping[str, Any]) -> dict[str, Any] | None:
    kind, text, binary = value.get("dataType"), value.get("stringValue"), value.get("binaryValue")
    if not isinstance(kind, str):
        return None
    if isinstance(text, str) and text:
        return {"DataType": kind, "StringValue": _clean(text)}
    try:
        content = base64.b64decode(binary, validate=True) if isinstance(binary, str) else b""
    except ValueError:
        return None
    return {"DataType": kind, "BinaryValue": content} if content else None
