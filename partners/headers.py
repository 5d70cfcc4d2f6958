"""Names of headers, which have no case: one rule for all that are sent. Pure.

merged({"Content-Type": "application/json"}, {"content-type": "x/y"})    {"content-type": "x/y"}
why_reserved("Host")                                                     "the HTTP client writes it"
"""

import re
from collections.abc import Mapping
from typing import TypeVar

from shared.http_headers import OF_THE_CLIENT

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token of RFC 9110, 5.6.2."""

_OF_SPILLWAY = frozenset({"idempotency-key", "webhook-id", "webhook-timestamp", "webhook-signature"})
"""Headers that are made anew for each call or attempt."""

Value = TypeVar("Value")


def merged(*groups: Mapping[str, Value]) -> dict[str, Value]:
    """The headers with one of each name, whatever its case: the later one, in its own spelling."""
    kept: dict[str, tuple[str, Value]] = {}
    for group in groups:
        for name, value in group.items():
            kept.pop(name.lower(), None)
            kept[name.lower()] = (name, value)
    return dict(kept.values())


def is_name(text: str) -> bool:
    """Whether HTTP allows it as a header's name."""
    return _NAME.fullmatch(text) is not None


def is_of_the_client(name: str) -> bool:
    """Whether a header frames the message or belongs to the connection: a call with such a header is not made."""
    return name.lower() in OF_THE_CLIENT


def why_reserved(name: str) -> str | None:
    """Why only Spillway may set a header; None for one that may be set."""
    if is_of_the_client(name):
        return "the HTTP client writes it"
    if name.lower() in _OF_SPILLWAY:
        return "Spillway writes it, for each call"
    return None
