"""What a partner's API takes: bodies, times, sizes, hashes. Pure.

    present(email=None, id="7")           {"id": "7"}: what is None is left out
    to_json(present(...))                 a delivery's body; ints of any size and Decimals keep every digit
    seconds(event.timestamp_ms)           seconds since 1970, cut towards zero; None stays None
    seconds(ms, bits=32)                  held within an int32
    iso8601(event.timestamp_ms)           "2023-11-14T22:13:20.123Z"
    cut(name, 255)                        at most so many characters
    cut_bytes(name, 255)                  at most so many bytes of UTF-8, no character halved
    sha256(" Ann@Example.com ")           hex, over the trimmed and lower-cased text, as mParticle hashes

Amounts are Decimals (`product.price`): hand them on as they are, for a float has other digits.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.message import to_json

__all__ = ["cut", "cut_bytes", "iso8601", "present", "seconds", "sha256", "to_json"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def present(**fields: Any) -> dict[str, Any]:
    """The fields that have a value. An empty text, list or object is a value; None is not."""
    return {name: value for name, value in fields.items() if value is not None}


def seconds(timestamp_ms: int | None, *, bits: int = 64) -> int | None:
    """Whole seconds of a time in milliseconds, cut towards zero; beyond `bits` the nearest number that fits."""
    if timestamp_ms is None:
        return None
    whole = abs(timestamp_ms) // 1_000 * (1 if timestamp_ms >= 0 else -1)
    limit = 1 << (bits - 1)
    return max(-limit, min(limit - 1, whole))


def iso8601(timestamp_ms: int | None) -> str | None:
    """A time in UTC with milliseconds; None outside of the years 1 to 9999."""
    if timestamp_ms is None:
        return None
    try:
        moment = _EPOCH + timedelta(milliseconds=timestamp_ms)
    except OverflowError:
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def cut(text: str, most: int) -> str:
    """The first `most` characters of a text."""
    return text[:most]


def cut_bytes(text: str, most: int) -> str:
    """The beginning of a text that fits into `most` bytes of UTF-8."""
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def sha256(text: str) -> str:
    """SHA-256 in hex over the trimmed, lower-cased text: mParticle's own hashes of identities are made so."""
    return hashlib.sha256(text.strip().lower().encode("utf-8", "surrogatepass")).hexdigest()
