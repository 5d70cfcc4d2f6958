"""A payload as it may be shown: its shape and the protocol's own words, nothing of what a customer or a user put in.

By construction: shown are names that mParticle's wire format knows, its enumerated values, ids that are UUIDs, times,
and the account's id. All other values are `***`, and other names are counted.
"""

import uuid
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic.fields import FieldInfo

from shared import firehose
from shared.firehose.model import models_of_the_protocol
from shared.message import QUEUED_TYPES

MASK = "***"
MOST_ITEMS = 3
"""Items of a list that are shown; the others are counted."""

MAX_DIGITS = 12
"""The most digits of an account's id: mParticle's are int32."""


def masked(value: Any, name: str = "") -> Any:
    """A value as it may be shown, as the member with this name."""
    if isinstance(value, dict):
        known = _names() if name not in _maps() else frozenset[str]()
        shown = {str(key): masked(one, str(key)) for key, one in value.items() if key in known}
        own = len(value) - len(shown)
        return {**shown, **({MASK: f"{own} by names of the sender's own"} if own else {})}
    if isinstance(value, list):
        items = [masked(one, name) for one in value[:MOST_ITEMS]]
        return items + ([f"… {len(value) - MOST_ITEMS} more"] if len(value) > MOST_ITEMS else [])
    return value if value is None or _may_be_shown(value, name) else MASK


def _may_be_shown(value: Any, name: str) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return (name.endswith("_ms") and 0 <= value < 10**14) or (name == "account_id" and 0 <= value < 10**MAX_DIGITS)
    if not isinstance(value, str):
        return False
    return (
        value in _words()
        or (name == "account_id" and value.isascii() and value.isdecimal() and len(value) <= MAX_DIGITS)
        or (name == "id" and _is_uuid(value))
    )


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


@cache
def _names() -> frozenset[str]:
    """Every name of the wire format's."""
    return frozenset(name for name, _ in _fields())


@cache
def _maps() -> frozenset[str]:
    """The names under which the sender chooses the names."""
    return frozenset(name for name, field in _fields() if field.default_factory is dict)


def _fields() -> Iterator[tuple[str, FieldInfo]]:
    for kind in models_of_the_protocol():
        for name, field in kind.model_fields.items():
            yield field.alias or name, field


@cache
def _words() -> frozenset[str]:
    """Every value that the wire format enumerates."""
    named = (getattr(firehose, name) for name in firehose.__all__)
    kinds = [one for one in named if isinstance(one, type) and issubclass(one, StrEnum)]
    return frozenset({str(word) for kind in kinds for word in kind} | set(QUEUED_TYPES))
