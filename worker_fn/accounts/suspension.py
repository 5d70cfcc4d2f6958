"""One suspension, as the state table holds it: a credential that the partner refuses, and its probe. Pure.

A credential is an account, and the fingerprint of the secrets that a message carries. All suspensions stand under one
key, so that a worker learns of all with one read.

    suspended   7              what carries no secrets, of account 7
    suspended   7#3f9c…        what carries those secrets
    suspended   7#*            everything of the account: its messages carry more of them than anybody rotates through
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.state import Item
from worker_fn.accounts.fingerprint import NO_SECRETS

PROBE_EVERY_MS = 180_000
PROBE_LOST_MS = 3 * PROBE_EVERY_MS
"""A probe that did not come back in this time is gone (too old, or dead-lettered): the next message takes its place."""
GIVE_UP_MS = 3_600_000
"""How long after another credential of its account was taken a refused one counts as an old one. Until then a slip can
be undone (a key revoked by mistake, a plan that was not paid). Then its messages are dead-lettered, and whoever is on
call knows within the hour, not after the three days that they may wait.
"""
NOBODY = ""
"""In place of the probe's id: the tick chooses one of those that are parked."""
EVERY = "*"
"""In place of a fingerprint: all of the account's."""


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
    """From when on another message that carries it, if one comes, has the turn in its place and is the probe."""
    turns: int
    """How often this probe was refused."""
    kind: str = ""
    """Of the message that found it out: another credential that is taken for the same kind of request replaces it."""
    superseded_ms: int = 0
    """When another credential of the account was taken; 0: none since this one is refused."""
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
        """When it has, or had, no probe any more, unless it is seen until then."""
        return self.probe_at_ms if self.probe_id == NOBODY else self.probe_at_ms + PROBE_LOST_MS

    @property
    def gives_up_ms(self) -> int | None:
        """From when on its messages are dead-lettered; None while nothing shows that it is an old one."""
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
    """Of an account's suspensions, the one that holds up what carries these credentials."""
    return next((one for one in suspensions if fingerprints and one.fingerprint in {EVERY, *fingerprints}), None)
