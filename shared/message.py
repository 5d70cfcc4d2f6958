"""STAGE 2, the queue message: what ingest puts on the queue and the worker takes from it.

An envelope is a JSON object: `v`, `id` (the request's), `part` ("1/1"), `type`, `account_id`, `received_at_ms`,
`encoding` and `payload`, mParticle's JSON as it came:

- `json`: the payload stands in the envelope as it is, readable in any SQS console;
- `zstd`: base64 of a zstd frame, for payloads over 6 KiB that become smaller by it.

A request that stays over the message limit after compression, or holds more values than a worker reads at once, is
split on its `events` or `user_profiles` into parts. Each part is a whole request with a slice of the list, so that no
worker needs to see another part. The same request is always split in the same way.

`decode` reads every message that `encode` writes, and no other: the fields of the envelope have bounds (`Head`), and so
has the payload (MAX_PAYLOAD_BYTES, and depth and values in shared/json_text.py).

`v` is the envelope's version. Messages of the previous release are on the queue when a worker goes live: ingest writes
VERSION, a worker reads that and the one before it (READS). A new form is a new VERSION with a reader of its own in
READERS; the reader of the form before stays for one release, with messages of that release in tests/fixtures/messages.
"""

import base64
import hashlib
import json
import math
import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from threading import get_ident
from types import ModuleType
from typing import Any

import orjson
import zstandard

from shared.errors import InvalidRequest, NewerMessage, RequestTooLarge, UndecodableMessage

VERSION = 1
"""The version that ingest writes."""

MAX_BODY_BYTES = 1_048_576 - 2_048
"""SQS quota: 1 MiB for a message (since August 2025), its attributes included; these take less than 2 KiB."""

COMPRESS_ABOVE_BYTES = 6_144
"""Ten messages of this size, which Lambda receives at once, are one of the units of 64 KiB that SQS charges by. Smaller
requests, which most are, stay readable on the queue; from here on a smaller message also saves ingest as much (hashing,
escaping, sending) as compressing it costs.
"""

MAX_PAYLOAD_BYTES = 2 * 6 * 1_048_576
"""No payload of Spillway inflates to more: Lambda takes 6 MB a request, which escaping can double (`_FORBIDDEN`). A
larger frame is damage or an attack."""

MAX_GROWTH = 4
"""The parts of a request together are at most this many times its size. Each part repeats the fields beside the list:
if these nearly fill a message, 6 MB would become a gigabyte."""

MAX_TEXT = 128
"""SQS quota for a MessageGroupId; longer ids are not mParticle's (int32 and UUID)."""

SURELY_READABLE_BYTES = 1_000_000
"""No payload of this size holds more values than a worker reads at once (json_text.MAX_VALUES), two bytes each."""

MAX_REQUEST_VALUES = 1_000_000
"""The most values of a request, before it is split: a request of 6 MB could hold three million, each an object."""

ENVELOPE_VALUES = 16
"""More values than an envelope has beside its payload."""

MAX_TIME_MS = 4_102_444_800_000
"""The year 2100: a later time cannot be that at which a request was received."""

EVENTS, AUDIENCE, ERASURE = (
    "event_processing_request",
    "audience_membership_change_request",
    "dsr_processing_request",
)
QUEUED_TYPES = (EVENTS, AUDIENCE, ERASURE)

SHORT_TYPES = {EVENTS: "events", AUDIENCE: "audience", ERASURE: "erasure"}
"""The names of types in facts and in options of the command line."""

_COUNTED = {EVENTS: ("events", "system_notifications"), AUDIENCE: ("user_profiles",)}
_SPLIT_ON = {EVENTS: "events", AUDIENCE: "user_profiles"}
_PART = re.compile(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})")
_SENT_ONCE = ("system_notifications",)  # belongs to the request, not to its events: only the first part carries it

# SQS refuses these two in a body although JSON allows them raw. Inside JSON text they can only stand in a string.
_FORBIDDEN = ((b"\xef\xbf\xbe", b"\\ufffe"), (b"\xef\xbf\xbf", b"\\uffff"))


@dataclass(frozen=True, slots=True)
class Head:
    """The fields of a request that are known without reading its payload."""

    id: str
    type: str
    account_id: str | None
    received_at_ms: int


@dataclass(frozen=True, slots=True)
class Message:
    """A decoded queue message. `payload` holds exact numbers: int of any size and Decimal, never float."""

    id: str
    part: str
    type: str
    account_id: str | None
    received_at_ms: int
    payload: dict[str, Any]


Reader = Callable[[dict[str, Any]], Message]
"""Makes a message of an envelope; raises UndecodableMessage, ValueError, TypeError or KeyError if it is damaged."""


def head_of(request: Mapping[str, Any], payload: bytes, *, received_at_ms: int) -> Head:
    """Read the few fields that the message carries outside of the payload.

    The id is the request's own; a request without one gets an id derived from its content, so that it is the same if
    mParticle sends the request again. Raises InvalidRequest if `type` is not a string.
    """
    kind = request.get("type")
    if not isinstance(kind, str):
        raise InvalidRequest("must be a string that names the kind of request", "type")
    given = request.get("id")
    usable = isinstance(given, str) and is_text(given)
    own_id = str(given) if usable else str(uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(payload).hexdigest()))
    return Head(own_id, kind, account_id_of(request), received_at_ms)


def events_in(kind: str, request: Mapping[str, Any]) -> int:
    """The size of a request, or of a part of it, in events: its events and notifications, or its profiles; else one."""
    listed = [request.get(field) for field in _COUNTED.get(kind, ())]
    return sum([len(one) for one in listed if isinstance(one, list)]) or 1


def account_id_of(request: Mapping[str, Any]) -> str | None:
    """The account of a request, in the form that all keys use; None if the request names none."""
    account = request.get("account")
    given = account.get("account_id") if isinstance(account, dict) else None
    if isinstance(given, bool) or not isinstance(given, int | str):
        return None
    try:
        text = str(given).strip()
    except ValueError:  # an int of more than 4,300 digits, which only Python makes
        return None
    return text if is_account_id(text) else None


def is_text(text: str) -> bool:
    """Whether a field of the envelope may have this value: SQS must take it as an attribute, and DynamoDB in a key."""
    return 0 < len(text) <= MAX_TEXT and text.isprintable()


def is_account_id(text: str) -> bool:
    """Whether this may be an account's id: SQS must take it as a group, too."""
    return is_text(text) and text.isascii() and " " not in text


def of_account(account_id: str | None, request_id: str) -> str:
    """A request's name, other than that of another account's request with the same id; no account's id has a blank."""
    return f"{account_id or ''} {request_id}"


def encode(head: Head, payload: bytes) -> list[str]:
    """Make the message bodies that carry a request, in order; each fits into one SQS message, and `decode` reads it.

    `payload` is the request as JSON text, as `shared.json_text` reads it. Raises RequestTooLarge, naming the event or
    profile that fits into no message.
    """
    whole = _fit(head, payload, "1/1")
    if whole is not None:
        return [whole]
    field = _SPLIT_ON.get(head.type)
    if field is None:
        raise RequestTooLarge(f"a {head.type} can not be split and exceeds {MAX_BODY_BYTES} bytes when compressed")
    payloads = _split(head, payload, field)
    total = len(payloads)
    bodies = []
    for number, part in enumerate(payloads, start=1):
        body = _fit(head, part, f"{number}/{total}")
        if body is None:  # only a part number of more digits than `_split` allowed for could do this
            raise RequestTooLarge(f"part {number} of {total} exceeds {MAX_BODY_BYTES} bytes")
        bodies.append(body)
    return bodies


def decode(body: str | bytes, readers: Mapping[int, Reader] | None = None) -> Message:
    """Read a queue message of any version in READS. Raises UndecodableMessage for everything that `encode` did not
    write, NewerMessage if a later release may have written it.
    """
    try:
        return _message(_envelope(body), READERS if readers is None else readers)
    except InvalidRequest as error:
        raise UndecodableMessage(f"the body can not be read: {error}") from None
    except (ValueError, TypeError, KeyError, zstandard.ZstdError) as error:
        raise UndecodableMessage(f"the body can not be read ({type(error).__name__})") from None


def text_of(body: str) -> str | bytes:
    """The JSON text of a queue message: its payload's if that is compressed, else the body's.

    For callers that weigh a message before they read it. A damaged body is its own text: `decode` says what is wrong.
    """
    if '"zstd"' not in body and "\\u" not in body:
        return body
    with suppress(Exception):
        envelope = _envelope(body)  # as `decode` reads it: a reader that accepts other bodies would weigh them wrongly
        if envelope["encoding"] == "zstd":
            frame = base64.b64decode(envelope["payload"], validate=True)
            if 0 <= zstandard.frame_content_size(frame) <= MAX_PAYLOAD_BYTES:
                return zstandard.ZstdDecompressor().decompress(frame)
    return body


def to_json(value: Any) -> bytes:
    """Write parsed JSON back as text; ints of any size and Decimals are written exactly."""
    try:
        return orjson.dumps(value, default=_as_spelled)
    except TypeError:  # an int over 64 bit or a lone surrogate
        text: bytes = _json_text().dumps(value)
        return text


def _as_spelled(value: object) -> orjson.Fragment:
    from decimal import Decimal  # noqa: PLC0415 - as below

    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError


def _json_text() -> ModuleType:
    from shared import json_text  # noqa: PLC0415 - ingest imports this module at each cold start and rarely comes here

    return json_text


def _fit(head: Head, payload: bytes, part: str) -> str | None:
    """The body if it fits into one message, else None."""
    if b"\xef" in payload:  # looked for alone first: a search for one byte is ten times as fast as one for three
        for raw, escaped in _FORBIDDEN:
            payload = payload.replace(raw, escaped)
    if not _is_readable(payload):
        return None
    encoding, content = "json", payload
    if len(payload) > COMPRESS_ABOVE_BYTES:
        packed = b'"' + base64.b64encode(_compressor(get_ident()).compress(payload)) + b'"'
        if len(packed) < len(payload):
            encoding, content = "zstd", packed
    if len(content) > MAX_BODY_BYTES:
        return None
    body = _body(head, part, encoding, content)
    return body.decode() if len(body) <= MAX_BODY_BYTES else None


@lru_cache(maxsize=8)
def _compressor(_thread: int) -> zstandard.ZstdCompressor:
    """The compressor of a thread: making one takes half as long as compressing a request."""
    return zstandard.ZstdCompressor(level=1)


def _is_readable(payload: bytes) -> bool:
    """Whether a worker can read the payload at once."""
    if len(payload) <= SURELY_READABLE_BYTES:
        return True
    text = _json_text()
    try:
        text.check_values(payload, text.MAX_VALUES)
    except InvalidRequest:
        return False
    return len(payload) <= MAX_PAYLOAD_BYTES


def _body(head: Head, part: str, encoding: str, content: bytes) -> bytes:
    envelope = {
        "v": VERSION,
        "id": head.id,
        "part": part,
        "type": head.type,
        "account_id": head.account_id,
        "received_at_ms": head.received_at_ms,
        "encoding": encoding,
        "payload": orjson.Fragment(content),
    }
    return orjson.dumps(envelope)


def _split(head: Head, payload: bytes, field: str) -> list[bytes]:
    """Cut the request's list into runs of neighbours, as few and as even as compression lets them be."""
    # Numbers stay the text that they are: a slice of a request must be as exact as the whole.
    try:
        request = json.loads(payload, parse_float=orjson.Fragment, parse_int=orjson.Fragment)
        return _runs(head, request, field, orjson.dumps)
    except TypeError:  # a lone surrogate, which orjson does not write
        text = _json_text()
        return _runs(head, text.loads(payload, values=MAX_REQUEST_VALUES), field, text.dumps)


def _runs(head: Head, request: dict[str, Any], field: str, dumps: Callable[[Any], bytes]) -> list[bytes]:
    listed = request.pop(field, None)
    if listed is not None and not isinstance(listed, list):
        raise InvalidRequest("must be a list", field)
    # Copies: what orjson gives keeps the room that it was written in, a kilobyte or more.
    items = [bytes(memoryview(dumps(item))) for item in listed or ()]
    first = dumps(request)
    once = {name: request.pop(name) for name in _SENT_ONCE if name in request}
    rest = dumps(request) if once else first
    whole_bytes = len(first) + sum(map(len, items))

    def part(start: int, stop: int) -> bytes:
        base = first if start == 0 else rest
        listed = b'"%s":[%s]}' % (field.encode(), b",".join(items[start:stop]))
        return base[:-1] + (b"," if len(base) > 2 else b"") + listed

    def size(start: int, stop: int) -> int | None:
        body = _fit(head, part(start, stop), "9999/9999")
        return None if body is None else len(body)

    if not items or size(0, 0) is None:
        raise RequestTooLarge(f"the request without its {field} exceeds {MAX_BODY_BYTES} bytes when compressed")
    runs: list[tuple[int, int]] = []
    total = 0
    pending = _even_runs(items, math.ceil(whole_bytes / MAX_BODY_BYTES / 4))[::-1]
    while pending:
        start, stop = pending.pop()
        used = size(start, stop)
        if used is not None:
            runs.append((start, stop))
            total += used
        elif stop - start == 1:
            raise RequestTooLarge(f"exceeds {MAX_BODY_BYTES} bytes when compressed", f"{field}[{start}]")
        else:
            middle = (start + stop) // 2
            pending += [(middle, stop), (start, middle)]
        if total > MAX_GROWTH * whole_bytes:
            raise RequestTooLarge(f"what is beside its {field} is too large: it would be sent with each part")
    return [part(start, stop) for start, stop in runs]


def _even_runs(items: list[bytes], count: int) -> list[tuple[int, int]]:
    """`count` or fewer runs of about the same number of bytes."""
    target = sum(map(len, items)) / count
    runs, start, size = [], 0, 0
    for index, item in enumerate(items):
        size += len(item)
        if size >= target or index == len(items) - 1:
            runs.append((start, index + 1))
            start, size = index + 1, 0
    return runs


def _message(envelope: object, readers: Mapping[int, Reader]) -> Message:
    if not isinstance(envelope, dict):
        raise UndecodableMessage("the body is not a JSON object")
    if "v" not in envelope and isinstance(envelope.get("type"), str):
        raise UndecodableMessage(
            "no Spillway envelope: mParticle's requests are given to ingest, not put on the queue; send it there, and"
            " delete this message"
        )
    said = envelope.get("v")
    version = said if isinstance(said, int) and not isinstance(said, bool) else 0
    reader = readers.get(version)
    if reader is None:
        known = " or ".join(map(str, sorted(readers)))
        kind = NewerMessage if version > max(readers) else UndecodableMessage
        raise kind(f"its version is not {known}: deploy a worker that reads it, then redrive")
    return reader(envelope)


def _read_v1(envelope: dict[str, Any]) -> Message:
    return Message(
        id=_text(envelope, "id"),
        part=_part(envelope),
        type=_text(envelope, "type"),
        account_id=_account(envelope),
        received_at_ms=_time_ms(envelope),
        payload=_payload(envelope.get("encoding"), envelope.get("payload")),
    )


def _envelope(body: str | bytes) -> Any:
    text = _json_text()
    return text.loads(body, depth=text.MAX_DEPTH + 1, values=text.MAX_VALUES + ENVELOPE_VALUES)


def _payload(encoding: object, content: object) -> dict[str, Any]:
    if encoding == "zstd":
        if not isinstance(content, str):
            raise UndecodableMessage("a zstd payload must be base64 text")
        content = _json_text().loads(_inflated(base64.b64decode(content, validate=True)))
    elif encoding != "json":
        raise UndecodableMessage("unknown payload encoding")
    if not isinstance(content, dict):
        raise UndecodableMessage("the payload is not a JSON object")
    return content


def _inflated(frame: bytes) -> bytes:
    """The content of one whole zstd frame. The frame states the size, as ingest's frames do, and nothing follows it.

    It is written in one piece into a buffer of that size: so a window takes no memory, however large it claims to be.
    """
    if not 0 < zstandard.frame_content_size(frame) <= MAX_PAYLOAD_BYTES:
        raise UndecodableMessage("the payload's size is not given or beyond any request")
    return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)


def _text(envelope: dict[str, Any], name: str) -> str:
    value = envelope[name]
    if not isinstance(value, str) or not is_text(value):
        raise UndecodableMessage(f"{name} is not a text of at most {MAX_TEXT} printable characters")
    return value


def _part(envelope: dict[str, Any]) -> str:
    found = _PART.fullmatch(_text(envelope, "part"))
    if found is None or int(found[1]) > int(found[2]):
        raise UndecodableMessage("part is not the number of a part and how many there are")
    return found[0]


def _account(envelope: dict[str, Any]) -> str | None:
    value = envelope.get("account_id")
    if value is not None and not (isinstance(value, str) and is_account_id(value)):
        raise UndecodableMessage("account_id is none that an account can have")
    return value


def _time_ms(envelope: dict[str, Any]) -> int:
    value = envelope["received_at_ms"]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TIME_MS:
        raise UndecodableMessage("received_at_ms is not a time in milliseconds")
    return value


READERS: Mapping[int, Reader] = {1: _read_v1}
READS = tuple(sorted(READERS))
"""The versions that a worker of this release reads: VERSION, and the one before it."""
