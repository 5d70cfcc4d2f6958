"""One suspension, as the state table holds it: a credential that the partner refuses, and its probe. Pure.

All suspensions stand under one key, so that a worker reads them at once:

    suspended   7              messages of account 7 that carry no secrets
    suspended   7#3f9c…        messages that carry those secrets
    suspended   7#*            all messages of the account: they carry more secrets than a customer rotates through
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import Any

from shared.state import Item, fields_in, whole_in
from worker_fn.accounts.fingerprint import NO_SECRETS

PROBE_EVERY_MS = 180_000
PROBE_LOST_MS = 3 * PROBE_EVERY_MS
"""A probe that does not come back within this time is gone (too old, or dead-lettered), and the next one is made."""
HEAD_START_MS = 30_000
"""How much earlier than the probe a new message may be tried: only new ones carry what the customer has corrected."""
TURNS_EACH = 3
"""How often a message is refused as the probe before another one with its credential takes its place."""
GIVE_UP_MS = 3_600_000
"""A refused credential counts as an old key this long after another one of its account was accepted: until then a key
revoked by mistake can be restored. Then its messages are dead letters: an operator learns of them within three days.
"""
NOBODY = ""
"""In place of the probe's id: the tick chooses a parked message."""
EVERY = "*"
"""In place of a fingerprint: all credentials of the account."""


@dataclass(frozen=True, slots=True)
class Carried:
    """The part of a message that decides about suspensions: its account and its credentials."""

    account_id: str | None
    fingerprints: Collection[str]
    message_id: str
    kind: str = ""
    received_at_ms: int = 0
    was_dead: bool = False
    """An operator redrove it from the dead-letter queue: it gets the probe's turn, and is not given up."""


@dataclass(frozen=True, slots=True)
class Suspension:
    sk: str
    account_id: str
    fingerprint: str
    status: int
    since_ms: int
    probe_id: str
    probe_at_ms: int
    """When the probe may be tried next."""
    others_at_ms: int
    """From then on another message with the credential may be tried, and becomes the probe."""
    turns: int = 1
    """How often this probe was refused."""
    kind: str = ""
    """The type of the message that was refused: a credential that is accepted for this type later replaces this one."""
    superseded_ms: int = 0
    """When another credential of the account was accepted; 0: none since this one was refused."""
    item: Item = field(default_factory=Item)

    @classmethod
    def from_item(cls, sk: str, item: Item) -> "Suspension":
        """Read an item; one of the previous release suspends everything of its account until its probe's next turn.
        Raises TypeError for an item that is no suspension.
        """
        others_at_ms = whole_in(item.value, "probe_at_ms") + PROBE_LOST_MS
        value = {"account_id": sk, "fingerprint": EVERY, "others_at_ms": others_at_ms, **item.value}
        return cls(**{**fields_in(value, cls), "sk": sk, "item": item})

    @classmethod
    def begun(cls, one: Carried, fingerprint: str, *, status: int, now_ms: int, in_groups: bool) -> "Suspension":
        """A new suspension; the message that was refused is its probe."""
        account_id, probe_at_ms = str(one.account_id), now_ms + PROBE_EVERY_MS
        return cls(
            sk=sk_of(account_id, fingerprint),
            account_id=account_id,
            fingerprint=fingerprint,
            status=status,
            since_ms=now_ms,
            probe_id=one.message_id,
            probe_at_ms=probe_at_ms,
            others_at_ms=probe_at_ms + PROBE_LOST_MS if in_groups else now_ms,
            kind=one.kind,
        )

    def to_item(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _STORED}

    @property
    def lost_ms(self) -> int:
        """When the probe counts as lost, if it is not seen before."""
        return self.probe_at_ms if self.probe_id == NOBODY else self.probe_at_ms + PROBE_LOST_MS

    @property
    def gives_up_ms(self) -> int | None:
        """From then on its messages are dead-lettered; None while nothing shows that the credential is an old key."""
        return self.superseded_ms + GIVE_UP_MS if self.superseded_ms else None

    def is_given_up(self, *, now_ms: int) -> bool:
        return self.gives_up_ms is not None and self.gives_up_ms <= now_ms

    def turn_of(self, message_id: str, *, now_ms: int, in_groups: bool) -> "Suspension | None":
        """The suspension after a message took the turn; None if no turn is due. After TURNS_EACH turns a message leaves
        the next to another one, but not on a FIFO queue, where no message may pass those before it.
        """
        is_probe = self.probe_id == message_id
        if now_ms < (self.probe_at_ms if is_probe else self.others_at_ms):
            return None
        if is_probe and self.turns >= TURNS_EACH and not in_groups:
            return replace(self, probe_id=NOBODY, probe_at_ms=now_ms, others_at_ms=now_ms)
        turns, next_ms = self.turns + 1 if is_probe else 1, now_ms + PROBE_EVERY_MS
        others_at_ms = next_ms + PROBE_LOST_MS if in_groups else next_ms - HEAD_START_MS
        return replace(self, probe_id=message_id, probe_at_ms=next_ms, others_at_ms=others_at_ms, turns=turns)


_STORED = tuple(one.name for one in fields(Suspension) if one.name not in {"sk", "item"})


def sk_of(account_id: str, fingerprint: str) -> str:
    """The sort key of a suspension in the state table."""
    return account_id if fingerprint == NO_SECRETS else f"{account_id}#{fingerprint}"


def by_account(items: Mapping[str, Item]) -> dict[str, list[Suspension]]:
    """The listed suspensions by account. An item that is no suspension suspends nobody."""
    found: dict[str, list[Suspension]] = {}
    for sk, item in items.items():
        with suppress(TypeError):
            one = Suspension.from_item(sk, item)
            found.setdefault(one.account_id, []).append(one)
    return found


def holding(suspensions: Iterable[Suspension], fingerprints: Collection[str]) -> Suspension | None:
    """The one of an account's suspensions that holds up messages with these credentials."""
    return next((one for one in suspensions if fingerprints and one.fingerprint in {EVERY, *fingerprints}), None)


def probe_wait_s(suspension: Suspension | None, *, now_ms: int) -> int:
    """Whole seconds until its probe may be tried again; where nobody knows it, as for a new one."""
    left_ms = suspension.probe_at_ms - now_ms if suspension else PROBE_EVERY_MS
    return max(1, -(-left_ms // 1_000))
