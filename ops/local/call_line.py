"""One line for each call to the partner API: the call and its answer, and nothing about the user."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ops.local.partner_api import Exchange

PLAIN_SEGMENT = re.compile(r"[A-Za-z][A-Za-z_-]{0,31}|v[0-9]{1,3}")
"""The form of a part of a path that names an endpoint. Other parts may be an id or an address, and are masked."""

CREDENTIAL = re.compile(r"auth|key|token|secret|signature|cookie", re.IGNORECASE)
NO_CREDENTIAL = frozenset({"idempotency-key"})

ID_CHARS = 8


def line_of(exchange: Exchange, now: datetime) -> str:
    """Return `12:03:04.512  200  POST /events  412 B  account 5001  custom_event 1f0c2a9b…  authorization: ***`."""
    parts = [
        f"{now:%H:%M:%S}.{now.microsecond // 1000:03}",
        str(exchange.reply.status),
        f"{exchange.method} {masked_path(exchange.target)}",
        f"{exchange.body_bytes:,} B",
        *_content(exchange.content),
        *(f"{name}: ***" for name in credentials(exchange.headers)),
    ]
    return "  ".join(parts)


def masked_path(target: str) -> str:
    """Return a call's path, without its query; what may be an id or an address in it is `***`."""
    segments = target.partition("?")[0].split("/")
    return "/".join(one if not one or PLAIN_SEGMENT.fullmatch(one) else "***" for one in segments)


def credentials(headers: Mapping[str, str]) -> list[str]:
    """Return the names of the headers that carry a credential."""
    return [name for name in headers if CREDENTIAL.search(name) and name not in NO_CREDENTIAL]


def _content(content: Mapping[str, Any] | None) -> Iterator[str]:
    """Describe the body of a webhook partner's call; give only the size of another partner's."""
    if content is None:
        return
    account = _at(content, "context", "account", "account_id")
    if isinstance(account, int | str) and str(account).isdigit():
        yield f"account {account}"
    kind, event_id = _at(content, "event", "type"), _at(content, "event", "id")
    if isinstance(kind, str) and PLAIN_SEGMENT.fullmatch(kind):
        yield f"{kind} {event_id[:ID_CHARS]}…" if isinstance(event_id, str) and event_id.isprintable() else kind


def _at(content: object, *path: str) -> object:
    for name in path:
        content = content.get(name) if isinstance(content, Mapping) else None
    return content
