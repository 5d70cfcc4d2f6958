"""Moments as people read them; times are ms since the epoch."""

from datetime import UTC, datetime


def moment_of(moment_ms: int) -> datetime | None:
    """Return the moment; None for a number that is none."""
    try:
        return datetime.fromtimestamp(moment_ms / 1_000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


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
