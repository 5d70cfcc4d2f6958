"""The progress of a message: which deliveries are done, so that a message that comes back is resumed, not repeated.

Progress is written only for a message that must wait although some of its calls were answered, and read only when a
message was received before. A delivery is remembered by the start of its idempotency key. Losing progress costs a
repeated delivery, which carries the same key; it never costs a delivery.

The account is part of the item's key and of every idempotency key, because two accounts may have requests with the same
id. The previous release did neither: docs/adr/0031 says how its items, and the keys of its calls, are recognised.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.errors import StateRefused
from shared.idempotency import key_of
from shared.message import Message
from shared.state import Conflict, Item, State, former_progress_key, progress_key

KEY_CHARS = 12
"""48 bits of the idempotency key: enough that no two deliveries of one message share them by chance."""

MAX_BYTES = 400_000
"""The largest value of an item: DynamoDB takes 409,600 bytes an item, its keys included, which take less than 2 KB."""

SOME_REASON = "refused"
"""Replaces the reasons for refusals where there is no room for their words."""

FORMER_KEPT_S = 15 * 86_400
"""How long the owner of an item of the previous release is remembered: longer than a message can be on a queue."""

COUNTS = {
    "attempts": "attempts",
    "failed_attempts": "strikes",
    "auth_failures": "denials",
    "auth_failed_ms": "denied_ms",
    "noted": "noted",
}
"""Fields, and their names in the state table, which other releases also read."""

MAX_FAILING = 500
"""Failures are counted for this many deliveries at most: a message's back-off follows the one that failed most."""


class Key(str):
    """An Idempotency-Key."""

    __slots__ = ("_former",)
    _former: tuple[str, ...]

    @classmethod
    def of(cls, account_id: str, *parts: str) -> "Key":
        key = cls(key_of(account_id, *parts))
        key._former = parts
        return key

    @property
    def former(self) -> str:
        """The key that the previous release gave the same delivery."""
        return key_of(*self._former)


@dataclass(frozen=True, slots=True)
class Progress:
    """`done`: short keys of deliveries that arrived. `refused`: short key -> why it never will.

    `attempts` are calls made, push-backs left out; `failing`: short key -> a waiting delivery's failures in a row.
    `failed_attempts` are failures while the partner took other calls. `auth_failures` are refusals of its credentials
    (401, 403) while its account's other calls arrived; `auth_failed_ms` is the last refusal.
    """

    done: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)
    attempts: int = 0
    failing: Mapping[str, int] = field(default_factory=dict)
    failed_attempts: int = 0
    auth_failures: int = 0
    auth_failed_ms: int = 0
    noted: int | None = None
    """LeftOuts were logged up to this place among all that the partner yielded (Job.looked_at); None: all were."""
    item: Item = field(default_factory=Item)

    def settles(self, key: str) -> bool:
        """Whether a delivery needs no further call."""
        if not (self.done or self.refused):
            return False
        names = {short(key), short(key.former)} if isinstance(key, Key) else {short(key)}
        return not names.isdisjoint(self.done) or not names.isdisjoint(self.refused)


NO_PROGRESS = Progress()


def short(key: str) -> str:
    return key[:KEY_CHARS]


async def read_progress(state: State, message: Message) -> Progress:
    """The progress that an earlier receive wrote. Raises StateUnavailable."""
    item = await state.read(progress_key(message.account_id, message.id), message.part)
    return _progress(item.value if item.rev else await _of_former_release(state, message), item)


async def _of_former_release(state: State, message: Message) -> Mapping[str, Any]:
    """The progress that the previous release wrote of a message. It did not name the account: the first account that
    asks gets it, and another account's deliveries are repeated, never taken for done.
    """
    account_id, key = message.account_id or "", former_progress_key(message.id)
    item = await state.read(key, message.part)
    if not item.rev or item.value.get("account_id", account_id) != account_id:
        return {}
    value = {**item.value, "account_id": account_id}
    try:
        await state.swap(key, message.part, item, value, expires_at=message.received_at_ms // 1_000 + FORMER_KEPT_S)
    except (Conflict, StateRefused):  # somebody else asks at this moment; or with an account in it, it is too large
        return {}
    return value


async def write_progress(state: State, message: Message, progress: Progress, *, expires_at: int) -> None:
    """Keep progress until its message cannot come back any more. Raises StateUnavailable, Conflict.

    A conflict means that SQS delivered the message twice at once: the other worker's entry is as good.
    """
    key = progress_key(message.account_id, message.id)
    await state.swap(key, message.part, progress.item, _value(progress), expires_at=expires_at)


async def forget_progress(state: State, message: Message) -> None:
    """Remove the progress of a message that is settled. Raises StateUnavailable."""
    await state.delete(progress_key(message.account_id, message.id), message.part)


def _value(progress: Progress) -> dict[str, Any]:
    """The item's value, cut to the size of an item: reasons are dropped first, then refusals, then as many of the done
    deliveries as have no room. A delivery that is dropped is called again.
    """
    counts: dict[str, Any] = {name: getattr(progress, ours) for ours, name in COUNTS.items()}
    counts["failing"] = dict(sorted(progress.failing.items(), key=lambda one: -one[1])[:MAX_FAILING])
    done = _packed(progress.done)
    in_words: dict[str, list[str]] = {}
    for key, why in progress.refused.items():
        in_words.setdefault(why, []).append(key)
    for refused in (in_words, {SOME_REASON: progress.refused}):
        value = {"done": done, "refused": {why: _packed(keys) for why, keys in refused.items()}, **counts}
        if _size(value) <= MAX_BYTES:
            return value
    value = {"done": "", "refused": {}, **counts}
    room = (MAX_BYTES - _size(value)) // 8 * 8  # eight characters of base64 a key
    return {**value, "done": done[:room]}


def _size(value: Mapping[str, Any]) -> int:
    return len(json.dumps(value, separators=(",", ":")))  # as shared.state writes it, in ASCII


def _progress(value: Mapping[str, Any], item: Item) -> Progress:
    done, refused = value.get("done", ()), value.get("refused", {})
    if isinstance(done, str):
        done, refused = _unpacked(done), {key: why for why, keys in refused.items() for key in _unpacked(keys)}
    counts = {ours: int(value.get(name, 0)) for ours, name in COUNTS.items() if ours != "noted"}
    failing, noted = dict(value.get("failing", {})), value.get("noted")
    return Progress(frozenset(done), dict(refused), failing=failing, noted=noted, item=item, **counts)


def _packed(keys: Iterable[str]) -> str:
    """Short keys, hexadecimal, as base64 of their bytes: eight characters each."""
    return base64.b64encode(bytes.fromhex("".join(sorted(keys)))).decode()


def _unpacked(text: str) -> list[str]:
    digits = base64.b64decode(text).hex()
    return [digits[start : start + KEY_CHARS] for start in range(0, len(digits), KEY_CHARS)]
