"""The rules that every call of every partner must keep, single or merged."""

import base64
import gzip
import json
import re
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from partners import Delivery, LeftOut, Secret
from partners.address import LOOPBACK, callable_url
from partners.headers import is_name, is_of_the_client
from partners.signing import key_of
from partners.wire import body_of
from shared.errors import InvalidRequest
from shared.json_text import MAX_DEPTH, loads

METHODS = ("POST", "PUT", "PATCH", "DELETE", "GET")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\xa0-\xff\t]*")
MOST_REASONS = 30
"""Reasons for a LeftOut are constant texts: more different ones than this contain something of the request."""

LEAST_SECRET = 8
"""A shorter secret would be found by chance."""


class Fault(NamedTuple):
    """A rule that does not hold. Neither text quotes a delivery: it holds a user's data."""

    id: str
    problem: str
    mend: str


def faults(delivery: Any, secrets: Mapping[str, str]) -> Iterator[Fault]:
    """The faults of a delivery or LeftOut. `secrets` are the values that only secret headers may hold, by name."""
    if isinstance(delivery, LeftOut):
        yield from _left_out_faults(delivery, secrets)
        return
    if not isinstance(delivery, Delivery):
        yield Fault(
            "delivery.type",
            f"what it gives is a {type(delivery).__name__}",
            "give a Delivery, or a LeftOut for what becomes none",
        )
        return
    wrong = list(_wrong_types(delivery))
    if wrong:
        yield from wrong
        return
    yield from list(_url_faults(delivery.url)) or _uncallable(delivery.url)
    yield from _header_faults(delivery)
    yield from _signing_faults(delivery)
    yield from _body_faults(delivery)
    yield from _leaks(_places(delivery), secrets)


def reason_faults(reasons: Collection[str]) -> Iterator[Fault]:
    """The faults in the reasons of all requests' LeftOuts."""
    if len(reasons) > MOST_REASONS:
        mend = "say it in a constant text; `item` names the part"
        yield Fault("left_out.varies", f"parts are left out for {len(reasons)} different reasons", mend)


def _left_out_faults(one: LeftOut, secrets: Mapping[str, str]) -> Iterator[Fault]:
    said: dict[str, Any] = {"item": one.item, "why": one.why}
    if not all(isinstance(text, str) and text for text in said.values()):
        yield Fault("left_out.type", "a LeftOut's item or why is no text, or empty", "name the part, and say why")
        return
    yield from _leaks({name: text.encode("utf-8", "replace") for name, text in said.items()}, secrets)


def _wrong_types(delivery: Delivery) -> Iterator[Fault]:
    fields: dict[str, tuple[Any, type | tuple[type, ...], str]] = {
        "url": (delivery.url, str, "a text"),
        "body": (delivery.body, bytes, "bytes: encode the text"),
        "item": (delivery.item, str, "a text"),
        "method": (delivery.method, str, "a text"),
        "headers": (delivery.headers, Mapping, "a mapping of texts"),
        "secret_headers": (delivery.secret_headers, Mapping, "a mapping of Secrets"),
        "secret_fields": (delivery.secret_fields, Mapping, "a mapping of Secrets"),
        "merge": (delivery.merge, (str, type(None)), "the name of a bulk endpoint, or None"),
        "merge_group": (delivery.merge_group, str, "a text"),
        "merge_kind": (delivery.merge_kind, str, "a text"),
        "sign_with": (delivery.sign_with, (Secret, type(None)), "a Secret, or None"),
    }
    for name, (value, kind, wanted) in fields.items():
        if not isinstance(value, kind):
            yield Fault("delivery.type", f"its {name} is a {type(value).__name__}", f"give {wanted}")
    if isinstance(delivery.item, str) and not delivery.item:
        yield Fault("delivery.item", "its item is empty", "name what the call carries: an event's id, say")
    if isinstance(delivery.method, str) and delivery.method not in METHODS:
        yield Fault("delivery.method", "its method is none of HTTP's", f"use one of {', '.join(METHODS)}")


def _url_faults(url: str) -> Iterator[Fault]:
    if not (url.isascii() and url.isprintable()) or " " in url:
        mend = "quote what comes from a request: urllib.parse.quote(value, safe='')"
        yield Fault("url.unquoted", "its URL has a character that no URL may have", mend)
        return
    try:
        address = urlsplit(url)
        host, _ = address.hostname, address.port
    except ValueError:
        yield Fault("url.unreadable", "its URL cannot be read", "quote what comes from a request or a setting")
        return
    if address.scheme != "https" and not (address.scheme == "http" and host in LOOPBACK):
        mend = "use https; http is for a loopback address, in tests"
        yield Fault("url.insecure", "its URL is neither https nor on a loopback address", mend)
    if not host:
        yield Fault("url.no_host", "its URL has no host", "begin it with https:// and the partner's host")
    if address.username or address.password:
        yield Fault("url.credentials", "its URL holds credentials", "put them into `secret_headers`")
    if address.fragment:
        mend = "quote what comes from a request: urllib.parse.quote(value, safe='')"
        yield Fault("url.fragment", "its URL has a fragment (#), which is never sent", mend)
    if any(step in (".", "..") for step in map(unquote, address.path.split("/"))):
        mend = "a value of a request can be `..`: refuse it with InvalidRequest, or send it in the body"
        yield Fault("url.climbs", "its URL's path has a step of dots, which leads to another endpoint", mend)


def _uncallable(url: str) -> Iterator[Fault]:
    """Faults that the rules above do not name, and for which a setting would be refused."""
    try:
        callable_url(url)
    except ValueError as error:
        mend = "make hosts of settings that partners.settings.url has read, and quote what comes from a request"
        yield Fault("url.uncallable", f"its URL cannot be called: it {error}", mend)


def _header_faults(delivery: Delivery) -> Iterator[Fault]:
    both = {**delivery.headers, **delivery.secret_headers}
    seen: set[str] = set()
    for name, value in [*delivery.headers.items(), *delivery.secret_headers.items()]:
        if not isinstance(name, str) or not is_name(name):
            yield Fault("header.name", "a header has a name that HTTP does not allow", "use letters, digits and dashes")
            continue
        if name.lower() in seen:
            yield Fault("header.twice", f"the header {name} is there twice", "name each header once")
        seen.add(name.lower())
        if name in delivery.secret_headers and not isinstance(both[name], Secret):
            yield Fault(
                "header.bare_secret", f"the secret header {name} holds no Secret", f"give {name} a Secret(value)"
            )
            continue
        text = value.value if isinstance(value, Secret) else value
        if isinstance(value, Secret) and name not in delivery.secret_headers:
            yield Fault("header.secret_in_plain", f"the header {name} is a Secret", "move it into `secret_headers`")
        elif not isinstance(text, str) or not _HEADER_VALUE.fullmatch(text):
            mend = "check a setting before it becomes a header, and refuse it with InvalidRequest; it may be anything"
            yield Fault("header.value", f"the header {name} has a value that HTTP does not allow", mend)
    for name in sorted(filter(is_of_the_client, seen)):
        yield Fault("header.client", f"it sets the header {name}", "leave it to the HTTP client, which writes it")
    if "idempotency-key" in seen:
        yield Fault("header.key", "it has an Idempotency-Key of its own", "leave it to the worker, which adds it")


def _signing_faults(delivery: Delivery) -> Iterator[Fault]:
    if delivery.sign_with is None:
        return
    try:
        key_of(delivery.sign_with.value)
    except ValueError as error:
        mend = "read it by partners.settings.signing_secret, which refuses it by the setting's name"
        yield Fault("sign.key", f"what it signs with {error}", mend)


def _body_faults(delivery: Delivery) -> Iterator[Fault]:
    fields: Mapping[str, Any] = delivery.secret_fields
    for name, value in fields.items():
        if not isinstance(value, Secret):
            yield Fault("body.bare_secret", f"the secret field {name} holds no Secret", f"give {name} a Secret(value)")
            return
    try:
        body_of(delivery)
    except ValueError:
        yield Fault("body.no_object", "its secret fields have no JSON object to join", "make its body a JSON object")
    if not delivery.body:
        return
    headers = {name.lower(): value for name, value in delivery.headers.items()}
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not content_type:
        yield Fault("body.untyped", "its body has no Content-Type", 'add one to `headers`: "application/json", say')
        return
    try:
        _read(plain_body(delivery), content_type)
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as error:
        mend = "write it with shared.message.to_json" if "json" in content_type else "write what its type promises"
        yield Fault("body.invalid", f"its body is not what its {content_type} promises ({type(error).__name__})", mend)


def plain_body(delivery: Delivery) -> bytes:
    """The body, unpacked if it says that it is packed."""
    packed = {name.lower(): value for name, value in delivery.headers.items()}.get("content-encoding", "").lower()
    return gzip.decompress(delivery.body) if packed == "gzip" else delivery.body


def _read(body: bytes, content_type: str) -> None:
    """Raise ValueError if a body does not fit its Content-Type; a body of an unknown type always fits."""
    if content_type.endswith(("ndjson", "jsonl", "json-seq")):
        for line in body.decode().splitlines():
            _read_json(line)
    elif content_type.endswith(("/json", "+json")):
        _read_json(body.decode())
    elif content_type == "application/x-www-form-urlencoded":
        parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
    elif content_type.startswith("text/"):
        body.decode()


def _read_json(text: str) -> None:
    try:
        loads(text, depth=2 * MAX_DEPTH)  # a request, wrapped
    except InvalidRequest as error:
        raise ValueError(str(error)) from None


def _places(delivery: Delivery) -> dict[str, bytes]:
    """All parts of a delivery that others than the HTTP client may see."""
    try:
        body = plain_body(delivery)
    except (OSError, EOFError, zlib.error):
        body = delivery.body
    headers = "\n".join(f"{name}: {value}" for name, value in delivery.headers.items())
    return {
        "URL": f"{delivery.url} {unquote(delivery.url)}".encode(),
        "body": body + b" " + unquote(body.decode("utf-8", "replace")).encode(),
        "headers": headers.encode("utf-8", "replace"),
        "item": delivery.item.encode("utf-8", "replace"),
        "merge name": (delivery.merge or "").encode("utf-8", "replace"),
    }


def _leaks(places: Mapping[str, bytes], secrets: Mapping[str, str]) -> Iterator[Fault]:
    """The places with a secret in the clear, as it is or in one of the forms in which credentials travel."""
    for name, value in secrets.items():
        shown = [place for place, content in places.items() if any(form in content for form in _forms(value))]
        if shown:
            mend = "send it in `secret_headers` or `secret_fields`, as Secret(value): nothing else is kept out of logs"
            yield Fault("secret.shown", f"the setting {name}, a secret, stands in its {' and '.join(shown)}", mend)


def _forms(secret: str) -> Iterable[bytes]:
    """A secret as it is, in JSON, and in base64 wherever it begins in what was encoded (`user:secret`)."""
    raw = secret.encode("utf-8", "replace")
    if len(raw) < LEAST_SECRET:
        return
    yield raw
    yield json.dumps(secret)[1:-1].encode()
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw)
        inner = coded[4 if shift else 0 : -4].rstrip(b"=")
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))
