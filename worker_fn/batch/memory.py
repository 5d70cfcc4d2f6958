"""How much of the function's memory a batch may use, and how much a message needs. Estimates, on the safe side.

Measured with CPython 3.13, see docs/limits.md: an object of JSON that becomes one of the protocol's takes up to 1,050
bytes, decoded and read, and so does whatever else stands where an object belongs. Any other value takes up to 170 (a
number that keeps its spelling), and a text up to four times its length while it is decoded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MIB = 1_048_576

EMPTY_MIB = 128
"""What the worker itself takes: 110 MiB with its libraries, and the batch as Lambda hands it over, at most 6 MB."""

LEAST = 16 * MIB
"""The least room for a batch, however small the function: one message at a time fits into it."""

BYTE, BRACE, COMMA = 4, 1_100, 180
"""Bytes of memory for each byte, object and value of JSON text."""

PIECE = 65_536
"""Bytes of a text that are split at a time."""

PARTS = ("events", "system_notifications", "user_profiles")
"""Lists of a request: each element of them becomes an object of the protocol, whatever it is."""

BODY, DELIVERY = 3, 2_000
"""The memory for a byte of a delivery's body (alone, merged, and on the wire), and for a delivery as such."""


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of memory. `batch`: for all messages together that are decoded or mapped and not sent yet. `message`: for a
    single message, while there is no other.
    """

    batch: int
    message: int

    @classmethod
    def of_function(cls, memory_mib: int) -> "Room":
        """Half of the memory that the worker leaves free; three quarters for a message that needs more than that."""
        free = max(LEAST, (memory_mib - EMPTY_MIB) * MIB)
        return cls(batch=free // 2, message=free * 3 // 4)


def weight_of(text: str | bytes) -> int:
    """The memory that decoding and mapping a JSON text takes, without its deliveries."""
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    return _weighed(text, len(text))


def exact_weight_of(text: str | bytes) -> int:
    """As `weight_of`, but what looks like JSON inside strings does not count: for a text that seems too heavy."""
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    plain, outside, inside_first = text.replace(rb"\\", b"").replace(rb"\"", b""), bytearray(), 0
    for start in range(0, len(plain), PIECE):  # a text may have millions of strings: a piece has fewer
        parts = plain[start : start + PIECE].split(b'"')
        outside += b"".join(parts[inside_first::2])
        inside_first = (inside_first + len(parts) - 1) % 2
    return _weighed(outside, len(text))


def _weighed(text: bytes | bytearray, size: int) -> int:
    return BYTE * size + BRACE * text.count(b"{") + COMMA * text.count(b",")


def odd_weight_of(payload: Mapping[str, Any]) -> int:
    """The memory that a decoded request takes beyond the weight of its text: for a `0` in place of an event, say."""
    lists = (listed for name in PARTS if isinstance(listed := payload.get(name), list))
    return BRACE * sum(not isinstance(one, dict) for listed in lists for one in listed)


def cost_of(body: bytes) -> int:
    """The memory that a delivery takes until it is sent."""
    return DELIVERY + BODY * len(body)
