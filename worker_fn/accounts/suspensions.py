"""Credentials that the partner refuses: the messages that carry one wait in the parking queue until somebody mends it.

One item a credential (an account, and the fingerprint of the secrets), all under one key, so that a worker learns of
all with one read. One message of each stays on the main queue as its probe and is tried every few minutes; the
first one that arrives clears it. What carries another credential of the account is none of its business: a customer
that rotates its key is served with the new one at once. A message may be refused for its own sake, so the probe
changes: docs/adr/0014 and 0041.

    suspended   7              what carries no secrets, of account 7
    suspended   7#3f9c…        what carries those secrets
    suspended   7#*            everything of the account: its messages carry more of them than anybody rotates through
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from shared.errors import StateUnavailable
from shared.state import CLEARED, PARTNER, SUSPENDED, Conflict, Item, State
from worker_fn.accounts.auth_failures import Credential
from worker_fn.accounts.fingerprint import NO_SECRETS

PROBE_EVERY_MS = 180_000
HEAD_START_MS = 30_000
"""New messages may have a look so much earlier than the probe: what the customer mended is in them, not in old ones."""
PROBE_LOST_MS = 3 * PROBE_EVERY_MS
"""A probe that was not seen for so long is gone (too old, or dead-lettered): the next message takes its place."""
TURNS_EACH = 3
"""A message that was refused so often as the probe makes room for another one of its credential."""
NOBODY = ""
"""In place of the probe's id: the tick chooses one of those that are parked."""
KEPT_S = 14 * 86_400
"""For how long it is known that a credential was cleared, or refused: as long as a message can be parked."""
GIVE_UP_MS = 3_600_000
"""A credential that is refused for so long after another one of its account was taken is an old one. Until then a slip
can be undone (a key revoked by mistake, a plan that was not paid); then its messages are dead-lettered, and whoever is
on call knows within the hour, not after the three days that they may wait.
"""
STRAGGLERS_MS = 600_000
"""For so long after a customer changed its key requests may still carry the one before; one that comes later shows that
the customer uses both.
"""
MOST_EACH = 5
"""Credentials of an account that are suspended one by one; a partner that makes another secret of each message would
have as many as messages.
"""
EVERY = "*"
"""In place of a fingerprint: all of the account's."""
MOST_REMEMBERED = 2_000

FRESH_MS = 5_000
SWEEP = "sweep"
"""Under the partner's key: somebody was cleared, so the tick has to look through the parking queue."""


class Place(Enum):
    """Where a message with a suspended credential belongs."""

    SEND = "send"
    PROBE_LATER = "probe_later"
    PARK = "park"
    GIVE_UP = "give_up"
    """To the dead-letter queue: its credential is an old one."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A message, as far as it matters here: whose it is, and what it carries."""

    account_id: str | None
    fingerprints: Collection[str]
    message_id: str
    kind: str = ""
    received_at_ms: int = 0
    was_dead: bool = False
    """Somebody redrove it from the dead-letter queue: it gets the turn that it asks for, and is not given up."""


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


class Suspensions:
    """What is suspended, as one Lambda environment knows it. With the state table down nothing is.

    `in_groups`: a FIFO queue, where no message may take the turn of those before it.
    """

    def __init__(
        self, state: State, *, now_ms: Callable[[], int], on_trouble: Callable[[], None], in_groups: bool = False
    ) -> None:
        self._in_groups = in_groups
        self._state = state
        self._now_ms = now_ms
        self._on_trouble = on_trouble
        self._known: dict[str, list[Suspension]] = {}
        self._read_ms: int | None = None
        self._taken_ms: OrderedDict[Credential, int] = OrderedDict()
        """Credential -> when the last call was begun that this environment saw arrive."""

    async def refresh(self) -> None:
        """Read what is suspended, if that was not done lately."""
        now_ms = self._now_ms()
        if self._read_ms is not None and now_ms - self._read_ms < FRESH_MS:
            return
        self._read_ms = now_ms
        try:
            self._known = by_account(await self._state.listed(SUSPENDED))
        except StateUnavailable:
            self._on_trouble()

    def of(self, account_id: str | None, fingerprints: Collection[str]) -> Suspension | None:
        """What holds up a message of an account that carries these credentials."""
        return None if account_id is None else holding(self._known.get(account_id, ()), fingerprints)

    def probe_wait_s(self, suspension: Suspension | None) -> int:
        """Whole seconds until its probe may be tried again."""
        left_ms = suspension.probe_at_ms - self._now_ms() if suspension else PROBE_EVERY_MS
        return max(1, -(-left_ms // 1_000))

    async def place(self, one: Carried) -> Place:
        """Where a message belongs; takes the turn if it is due for this message, which is the probe from then on."""
        suspension = self.of(one.account_id, one.fingerprints)
        if suspension is None:
            return Place.SEND
        if suspension.superseded_ms and one.received_at_ms - suspension.superseded_ms > STRAGGLERS_MS:
            await self._write(replace(suspension, superseded_ms=0))  # the customer uses it still
            suspension = self.of(one.account_id, one.fingerprints) or suspension
        now_ms = self._now_ms()
        is_probe = suspension.probe_id == one.message_id
        if now_ms < (suspension.probe_at_ms if is_probe else suspension.others_at_ms):
            return self._without_turn(one)
        if is_probe and suspension.turns >= TURNS_EACH and not self._in_groups:
            await self._write(replace(suspension, probe_id=NOBODY, probe_at_ms=now_ms, others_at_ms=now_ms))
            return self._without_turn(one)
        next_ms = now_ms + PROBE_EVERY_MS
        turn = replace(
            suspension,
            probe_id=one.message_id,
            probe_at_ms=next_ms,
            others_at_ms=self._others_at_ms(next_ms, next_ms - HEAD_START_MS),
            turns=suspension.turns + 1 if is_probe else 1,
        )
        return Place.SEND if await self._write(turn) else self._without_turn(one)

    def _without_turn(self, one: Carried) -> Place:
        """Where a message belongs that may not be tried now, as far as is known."""
        suspension = self.of(one.account_id, one.fingerprints)
        if suspension is not None and suspension.is_given_up(now_ms=self._now_ms()) and not one.was_dead:
            return Place.GIVE_UP
        return Place.PROBE_LATER if suspension is None or suspension.probe_id == one.message_id else Place.PARK

    async def suspend(self, one: Carried, fingerprint: str, *, status: int) -> None:
        """Suspend a credential; the message that found it out is its probe, unless another worker was first.

        The next message that carries it has a look at once: what was refused may be that one message.
        """
        account_id = str(one.account_id)
        fingerprint = EVERY if len(self._known.get(account_id, ())) >= MOST_EACH else fingerprint
        now_ms = self._now_ms()
        next_ms = now_ms + PROBE_EVERY_MS
        await self._write(
            Suspension(
                sk=sk_of(account_id, fingerprint),
                account_id=account_id,
                fingerprint=fingerprint,
                status=status,
                since_ms=now_ms,
                probe_id=one.message_id,
                probe_at_ms=next_ms,
                others_at_ms=self._others_at_ms(next_ms, now_ms),
                turns=1,
                kind=one.kind,
            )
        )

    async def narrow(self, whole: Suspension, one: Carried, fingerprint: str, *, status: int) -> None:
        """The turn of a suspension of a whole account, as the release before wrote it, was refused: suspend what the
        message carries in its place. What carries something else moves back.
        """
        if len(self._known.get(whole.account_id, ())) > MOST_EACH:
            return
        try:
            await request_sweep(self._state, now_ms=self._now_ms())
            await self._state.delete(SUSPENDED, whole.sk)
        except StateUnavailable:
            self._on_trouble()
            return
        self._forget(whole)
        await self.suspend(one, fingerprint, status=status)

    def _others_at_ms(self, probe_at_ms: int, otherwise_ms: int) -> int:
        return probe_at_ms + PROBE_LOST_MS if self._in_groups else otherwise_ms

    async def note_taken(self, credential: Credential, *, kind: str, begun_ms: int) -> None:
        """A call arrived: what else of its account is suspended for the same kind of request may be an old key."""
        self._taken_ms[credential] = max(begun_ms, self._taken_ms.get(credential, 0))
        self._taken_ms.move_to_end(credential)
        if len(self._taken_ms) > MOST_REMEMBERED:
            self._taken_ms.popitem(last=False)
        for one in tuple(self._known.get(credential.account_id, ())):
            is_other = one.fingerprint not in {EVERY, credential.fingerprint} and one.kind == kind
            if is_other and not one.superseded_ms and begun_ms >= one.since_ms:
                await self._write(replace(one, superseded_ms=self._now_ms()))

    async def clear(self, suspension: Suspension) -> None:
        """It is taken again: forget the suspension and have its parked messages moved back."""
        try:
            await clear(self._state, suspension, now_ms=self._now_ms(), accepted=True)
        except StateUnavailable:
            self._on_trouble()
        self._forget(suspension)

    async def was_taken_since(self, credential: Credential, *, denied_ms: int, received_at_ms: int) -> bool:
        """Whether a message that carries it arrived after this one was refused before, or, never refused before, the
        credential was cleared by one that arrived since mParticle sent this one.
        """
        if denied_ms and self._taken_ms.get(credential, 0) > denied_ms:
            return True
        try:
            cleared = (await self._state.read(CLEARED, sk_of(*credential))).value
        except StateUnavailable:
            self._on_trouble()
            return False
        return bool(cleared.get("accepted")) and cleared["at_ms"] > (denied_ms or received_at_ms)

    async def expect_sweep(self) -> bool:
        """Have the tick look through the parking queue; False if nobody could be told, and nothing should be parked."""
        try:
            await request_sweep(self._state, now_ms=self._now_ms())
        except StateUnavailable:
            self._on_trouble()
            return False
        return True

    async def _write(self, suspension: Suspension) -> bool:
        expires_at = self._now_ms() // 1_000 + KEPT_S
        try:
            item = await self._state.swap(
                SUSPENDED, suspension.sk, suspension.item, suspension.to_item(), expires_at=expires_at
            )
        except Conflict as conflict:
            self._forget(suspension)
            if conflict.current.value:
                self._know(Suspension.from_item(suspension.sk, conflict.current))
            return False
        except StateUnavailable:
            self._on_trouble()
            return False
        self._know(replace(suspension, item=item))
        return True

    def _know(self, suspension: Suspension) -> None:
        self._forget(suspension)
        self._known.setdefault(suspension.account_id, []).append(suspension)

    def _forget(self, suspension: Suspension) -> None:
        left = [one for one in self._known.pop(suspension.account_id, ()) if one.sk != suspension.sk]
        if left:
            self._known[suspension.account_id] = left


async def clear_account(state: State, account_id: str, *, now_ms: int, accepted: bool) -> None:
    """Clear all that is suspended of an account. Raises StateUnavailable."""
    for one in by_account(await state.listed(SUSPENDED)).get(account_id, ()):
        await clear(state, one, now_ms=now_ms, accepted=accepted)


async def clear(state: State, suspension: Suspension, *, now_ms: int, accepted: bool) -> None:
    """Forget a suspension and have its parked messages moved back. `accepted`: the partner took one of them; an
    operator who clears does not know that. Raises StateUnavailable.
    """
    # In this order: a sweep that finds it still suspended looks again; one that nobody wants does not.
    cleared = {"at_ms": now_ms, "accepted": accepted, "account_id": suspension.account_id}
    sk = sk_of(suspension.account_id, suspension.fingerprint)
    await _put(state, CLEARED, sk, lambda _: cleared, expires_at=now_ms // 1_000 + KEPT_S)
    await request_sweep(state, now_ms=now_ms)
    await state.delete(SUSPENDED, suspension.sk)


async def request_sweep(state: State, *, now_ms: int) -> None:
    """Tell the tick that parked messages have to move back. Raises StateUnavailable."""
    await _put(state, PARTNER, SWEEP, lambda value: {**value, "wanted_ms": now_ms}, expires_at=None)


async def _put(
    state: State,
    pk: str,
    sk: str,
    function: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    *,
    expires_at: int | None,
) -> None:
    """Change an item, whoever else does. Raises StateUnavailable."""
    for _ in range(5):
        item = await state.read(pk, sk)
        try:
            await state.swap(pk, sk, item, function(item.value), expires_at=expires_at)
        except Conflict:
            continue
        return
