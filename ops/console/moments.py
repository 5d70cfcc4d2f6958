"""Moments as people read them; times are ms since the epoch."""

import re
from datetime import UTC, datetime

from shared.errors import InvalidSettings


def moment_of(moment_ms: int) -> datetime | None:
    """Return the moment; None for a number that is none."""
    try:
        return datetime.fromtimestamp(moment_ms / 1_000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


_UNITS_S = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
WHEN = "a time (2026-11-24T10:00Z) or how long ago (90min, 3h, 2d)"
_LENGTH = re.compile(r"([0-9]{1,6})(s|min|h|d)")


def since_ms(text: str, *, now_ms: int) -> int:
    """The moment that is meant: `3h` is so long ago, else a time as ISO 8601 has it. Before 1970 there was nothing of
    ours, and AWS takes no such time. Raises InvalidSettings.
    """
    if (length := _LENGTH.fullmatch(text.strip())) is not None:
        return max(0, now_ms - 1_000 * int(length[1]) * _UNITS_S[length[2]])
    try:
        moment = datetime.fromisoformat(text.strip())
        return max(0, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000))
    except (ValueError, OverflowError):
        raise InvalidSettings(f"{text!r} is no time: give {WHEN}") from None


def past_ms(text: str, *, now_ms: int) -> int:
    """The moment since which something is looked for. Raises InvalidSettings for one that is still to come."""
    moment_ms = since_ms(text, now_ms=now_ms)
    if moment_ms > now_ms:
        raise InvalidSettings(f"--since {text!r} is still to come: give {WHEN}")
    return moment_ms


def length_s(text: str) -> int:
    """How long is meant, in seconds: `90min`, `3h`. Raises InvalidSettings."""
    if (length := _LENGTH.fullmatch(text.strip())) is not None:
        return int(length[1]) * _UNITS_S[length[2]]
    raise InvalidSettings(f"{text!r} is no length of time: give 45s, 90min, 3h or 2d")


def as_utc(moment_ms: int) -> str:
    moment = moment_of(moment_ms)
    return "no time" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def ago(moment_ms: int, now_ms: int) -> str:
    """Return how long ago a moment is, in its largest unit."""
    return f"{_length(max(0, now_ms - moment_ms) // 1_000)} ago"


def ahead(moment_ms: int, now_ms: int) -> str:
    """Return how far ahead a moment is; one that has passed is due."""
    left_s = -(-(moment_ms - now_ms) // 1_000)
    return "due" if left_s <= 0 else f"in {_length(left_s)}"


def _length(seconds: int) -> str:
    for unit_s, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds // unit_s} {unit}"
    return f"{seconds} s"
