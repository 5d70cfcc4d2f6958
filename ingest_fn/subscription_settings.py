"""Whether settings that a partner gives for a subscription are what it registered. Pure."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import assert_never

from shared.firehose import BooleanSetting, FloatSetting, IntegerSetting, Setting, TextSetting

_SHOWABLE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""A setting's id. Other keys are not shown: a partner's mistake may have made a key of a user's data."""


def problems(
    settings: object, *, came: Mapping[str, str | None], registered: Iterable[Setting], needs_all: bool
) -> list[str]:
    """The fault in words, without any value. Settings that go back to mParticle as they came are not checked.

    `needs_all`: settings that are registered as required have to be there.
    """
    if not isinstance(settings, Mapping):
        return ["it must give a mapping of setting ids to texts"]
    known = {setting.id: setting for setting in registered}
    found = []
    for key, value in settings.items():
        if key in known:
            wrong = None if value == came.get(key) else _problem(value, known[key])
            found += [f"{key} must be {wrong}"] if wrong else []
        elif key not in came:
            found.append(f"{_shown(key)} is not registered as an audience subscription setting")
    for setting in known.values():
        if needs_all and getattr(setting, "required", False) and not settings.get(setting.id):
            found.append(f"{setting.id} is missing, and registered as required")
    return found


def _problem(value: object, setting: Setting) -> str | None:
    """The description of a right value, if the value is wrong."""
    if not isinstance(value, str):
        return "a text, as all settings are on the wire"
    match setting:
        case TextSetting():
            return None
        case BooleanSetting():
            return None if value.lower() in {"true", "false"} else "true or false"
        case IntegerSetting():
            return None if _is_within(_integer(value), setting) else f"an integer{_bounds(setting)}"
        case FloatSetting():
            return None if _is_within(_number(value), setting) else f"a number{_bounds(setting)}"
    assert_never(setting)


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?[0-9]{1,19}", text) else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _is_within(value: float | None, setting: IntegerSetting | FloatSetting) -> bool:
    lowest, highest = setting.min_value, setting.max_value
    return value is not None and (lowest is None or lowest <= value) and (highest is None or value <= highest)


def _bounds(setting: IntegerSetting | FloatSetting) -> str:
    words = (("from", setting.min_value), ("to", setting.max_value))
    return "".join(f" {word} {bound}" for word, bound in words if bound is not None)


def _shown(key: object) -> str:
    return key if isinstance(key, str) and _SHOWABLE.fullmatch(key) else "a key that is no id"
