"""One suspension, as the state table holds it: a credential that the partner refuses, and its probe. Pure.

A credential is an account, and the fingerprint of the secrets that a message carries. All suspensions stand under one
key, so that a worker learns of all with one read.

    suspended   7              messages of account 7 that carry no secrets
    suspended   7#3f9c…        messages that carry those secrets
    suspended   7#*            all messages of the account: they carry more secrets than a customer rotates through
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.state import Item
from worker_fn.accounts.fingerprint import NO_SECRETS

PROBE_EVERY_MS = 180_000
PROBE_LOST_MS = 3 * PROBE_EVERY_MS
"""A probe that does not come back within this time is gone (too old, or dead-lettered); the next message is the probe.
"""
GIVE_UP_MS = 3_600_000
"""A refused credential counts as an old key so long after another one of its account was accepted. Until then a mistake
can be undone (a key revoked by mistake, a plan that was not paid). Then its messages are dead-lettered, so an operator
learns of them within the hour, not after the three days that they may wait.
"""
NOBODY = ""
"""In place of the probe's id: the tick chooses one of those that are parked."""
EVERY = "*"
"""In place of a fingerprint: all credentials of the account."""


@dataclass(frozen=True, slots=True)
class Suspension:
    sk: str
    account_id: str
    fingerprint: str
    status: int
    since_ms: int
    probe_id: str
    probe_at_ms: int
    """The probe's next turn."""
    others_at_ms: int
    """From then on another message with the credential, if one comes, takes the turn and becomes the probe."""
    turns: int
    """How often this probe was refused."""
    kind: str = ""
    """The type of the message that was refused: a credential that is accepted for this type later replaces this one."""
    superseded_ms: int = 0
    """When another credential of the account was accepted; 0: none since this one was refused."""
    item: Item = field(default_factory=Item)

    @classmethod
    def from_item(cls, sk: str, item: Item) -> "Suspension":
        """Read an item; one of the release before suspends everything of its account until its probe's next turn."""
        value = item.value
        probe_at_ms = value["probe_at_ms"]
        return cls(
            sk=sk,
            account_id=value.get("account_id", sk),
            fingerprint=value.get("fingerprint", EVERY),
            status=value["status"],
            since_ms=value["since_ms"],
            probe_id=value["probe_id"],
            probe_at_ms=probe_at_ms,
            others_at_ms=value.get("others_at_ms", probe_at_ms + PROBE_LOST_MS),
            turns=value.get("turns", 1),
            kind=value.get("kind", ""),
            superseded_ms=value.get("superseded_ms", 0),
            item=item,
        )

    def to_item(self) -> dict[str, Any]:
        names = ("account_id", "fingerprint", "status", "since_ms", "probe_id", "probe_at_ms", "others_at_ms")
        return {name: getattr(self, name) for name in (*names, "turns", "kind", "superseded_ms")}

    @property
    def lost_ms(self) -> int:
        """When the probe counts as lost, unless it is seen before."""
        return self.probe_at_ms if self.probe_id == NOBODY else self.probe_at_ms + PROBE_LOST_MS

    @property
    def gives_up_ms(self) -> int | None:
        """From then on its messages are dead-lettered; None while nothing shows that it is an old key."""
        return self.superseded_ms + GIVE_UP_MS if self.superseded_ms else None

    def is_given_up(self, *, now_ms: int) -> bool:
        return self.gives_up_ms is not None and self.gives_up_ms <= now_ms


def sk_of(account_id: str, fingerprint: str) -> str:
    """Where a suspension stands in the state table."""
    return account_id if fingerprint == NO_SECRETS else f"{account_id}#{fingerprint}"


def by_account(items: Mapping[str, Item]) -> dict[str, list[Suspension]]:
    """The suspensions that the state table lists, by account."""
    found: dict[str, list[Suspension]] = {}
    for sk, item in items.items():
        one = Suspension.from_item(sk, item)
        found.setdefault(one.account_id, []).append(one)
    return found


def holding(suspensions: Iterable[Suspension], fingerprints: Collection[str]) -> Suspension | None:
    """Of an account's suspensions, the one that holds up messages with these credentials."""
    return next((one for one in suspensions if fingerprints and one.fingerprint in {EVERY, *fingerprints}), None)
