"""Rules of settings: ids that stay apart, bounds in order, secrets marked as such."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.firehose.rules.violation import (
    AUDIENCES,
    ERASURES,
    EVENTS,
    Violation,
    is_blank,
    is_number,
    object_of,
    objects_of,
    text_of,
)

_INT64_LIMIT = 2**63
_LARGEST = sys.float_info.max
_SECRET = re.compile(
    r"secret|passw|passphrase|token|credential|(api|access|private|signing|auth)[ _-]?key", re.IGNORECASE
)

_ONE_MAP = (
    ((EVENTS, "account_settings"), (EVENTS, "event_connection_settings")),
    ((AUDIENCES, "account_settings"),),
    ((AUDIENCES, "audience_subscription_settings"),),
    ((ERASURES, "account_settings"),),
)
"""Lists whose values come back together: an event request has one map, `account_settings`, for the account's and the
connection's; those of an audience's subscription have a map of their own.
"""

SETTING_LISTS = tuple(one for lists in _ONE_MAP for one in lists)
"""Every list of settings that a registration has: in which part, under which field."""


def setting_rules(registration: Mapping[str, Any]) -> Iterator[Violation]:
    """Yield what is wrong with a registration's settings, each alone and among the others."""
    for part, field in SETTING_LISTS:
        for index, setting in enumerate(objects_of(object_of(registration, part), field)):
            yield from _setting(setting, f"{part}.{field}[{index}]")
    for lists in _ONE_MAP:
        yield from _same_ids(registration, lists)
    yield from _settings_that_differ(registration)


def _same_ids(registration: Mapping[str, Any], lists: Sequence[tuple[str, str]]) -> Iterator[Violation]:
    first: dict[str, str] = {}
    for part, field in lists:
        for index, setting in enumerate(objects_of(object_of(registration, part), field)):
            where, name = f"{part}.{field}[{index}]", text_of(setting.get("id"))
            if name and first.setdefault(name, where) != where:
                yield Violation(
                    "settings.same_id",
                    f"{where}.id",
                    f"The setting id {name} is that of {first[name]} too: both values would come back under one key.",
                    "Give each its own id.",
                )


def _setting(setting: Mapping[str, Any], where: str) -> Iterator[Violation]:
    name = text_of(setting.get("id")) or "without an id"
    for field in ("id", "name"):
        if is_blank(setting.get(field)):
            yield Violation("text.blank", f"{where}.{field}", f"The setting's {field} is blank.", f"Give it a {field}.")
    default, required = setting.get("default_value"), setting.get("required") is True
    if required and setting.get("visible") is False and default in (None, ""):
        yield Violation(
            "settings.unfillable",
            where,
            f"The setting {name} is required, hidden, and has no default: no customer can fill it in.",
            "Show it (visible), give it a default_value, or do not require it.",
        )
    if setting.get("type") in ("integer", "float"):
        yield from _number(setting, where, name)
    if setting.get("type") == "text":
        secret = setting.get("confidential") is True
        if not secret and (_SECRET.search(name) or _SECRET.search(text_of(setting.get("name")))):
            yield Violation(
                "settings.not_confidential",
                f"{where}.confidential",
                f"The setting {name} sounds like a secret, and everybody who sees the configuration sees its value.",
                "Set confidential.",
                is_warning=True,
            )
        if secret and default:
            yield Violation(
                "settings.secret_default",
                f"{where}.default_value",
                f"The setting {name} is confidential, and its default is in the registration for all to read.",
                "Leave the default out.",
                is_warning=True,
            )


def _number(setting: Mapping[str, Any], where: str, name: str) -> Iterator[Violation]:
    bounds = {field: setting.get(field) for field in ("min_value", "default_value", "max_value")}
    numbers = {field: value for field, value in bounds.items() if is_number(value)}
    for field, value in numbers.items():
        integer = setting.get("type") == "integer"
        if not (-_INT64_LIMIT <= value < _INT64_LIMIT if integer else -_LARGEST <= value <= _LARGEST):
            yield Violation(
                "settings.range",
                f"{where}.{field}",
                f"{field} of the setting {name} is no number that mParticle can hold: finite, an integer of 64 bits.",
                "Give one that it can, or leave it out.",
            )
            return
    for low, high in (("min_value", "max_value"), ("min_value", "default_value"), ("default_value", "max_value")):
        if low in numbers and high in numbers and numbers[low] > numbers[high]:
            yield Violation(
                "settings.range",
                where,
                f"{low} of the setting {name} is {numbers[low]} and {high} is {numbers[high]}.",
                "Order them: min_value, default_value, max_value.",
            )


def _settings_that_differ(registration: Mapping[str, Any]) -> Iterator[Violation]:
    """Check that an account's setting that two kinds of request share is the same setting in both."""
    first: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for kind in (EVENTS, AUDIENCES, ERASURES):
        for index, setting in enumerate(objects_of(object_of(registration, kind), "account_settings")):
            name = text_of(setting.get("id"))
            if not name:
                continue
            where, other = first.setdefault(name, (f"{kind}.account_settings[{index}]", setting))
            different = [field for field in ("type", "confidential") if setting.get(field) != other.get(field)]
            if different:
                yield Violation(
                    "settings.differ",
                    f"{kind}.account_settings[{index}]",
                    f"The account setting {name} has another {' and '.join(different)} than {where}.",
                    "Declare it once and use it in both, or give the two different ids.",
                    is_warning=True,
                )
