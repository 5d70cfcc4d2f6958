"""Suspended credentials: the messages that carry one wait in the parking queue until the customer mends it.

`Suspensions.place` decides that a message is parked for its credentials. One message of each credential stays on the
main queue as its probe and is tried every few minutes; the first one that arrives clears it. A suspension does not
affect other credentials of the account: a customer that rotates its key is served with the new one at once. A refusal
may be the fault of the one message, so another message becomes the probe in time: docs/adr/0014 and 0041.
"""

import random
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import Enum

from shared.errors import StateUnavailable
from shared.state import CLEARED, SUSPENDED, State
from worker_fn.accounts.auth_failures import Credential
from worker_fn.accounts.clearing import clear, request_sweep
from worker_fn.accounts.known_suspensions import KnownSuspensions
from worker_fn.accounts.suspension import EVERY, NOBODY, PROBE_EVERY_MS, PROBE_LOST_MS, Suspension, sk_of

HEAD_START_MS = 30_000
"""How much earlier than the probe a new message may be tried: only new ones carry what the customer has mended.
"""
TURNS_EACH = 3
"""How often a message is refused as the probe before another one of its credential takes its place."""
STRAGGLERS_MS = 600_000
"""How long after a customer changed its key requests may still carry the one before. A request that carries it later
shows that the customer uses both.
"""
MOST_EACH = 5
"""So many credentials of an account are suspended one by one. If a partner made a new secret for each message, there
would be as many suspensions as messages.
"""
MOST_REMEMBERED = 2_000


class Place(Enum):
    """Where a message with a suspended credential belongs."""

    SEND = "send"
    PROBE_LATER = "probe_later"
    PARK = "park"
    GIVE_UP = "give_up"
    """To the dead-letter queue: its credential is an old one."""


@dataclass(frozen=True, slots=True)
class Carried:
    """The part of a message that matters here: its account and its credentials."""

    account_id: str | None
    fingerprints: Collection[str]
    message_id: str
    kind: str = ""
    received_at_ms: int = 0
    was_dead: bool = False
    """An operator redrove it from the dead-letter queue: it gets the probe's turn, and is not given up."""


class Suspensions:
    """Suspends credentials, says where their messages belong, and clears them.

    `in_groups`: a FIFO queue, where no message may take the turn of those before it.
    """

    def __init__(
        self,
        state: State,
        *,
        now_ms: Callable[[], int],
        on_trouble: Callable[[], None],
        rng: random.Random,
        in_groups: bool = False,
    ) -> None:
        self._state = state
        self._now_ms = now_ms
        self._on_trouble = on_trouble
        self._rng = rng
        self._in_groups = in_groups
        self._known = KnownSuspensions(state, now_ms=now_ms, on_trouble=on_trouble)
        self._taken_ms: OrderedDict[Credential, int] = OrderedDict()
        """Credential -> when the last call was begun that this environment saw arrive."""

    async def refresh(self) -> None:
        """Read the suspensions, if that was not done lately."""
        await self._known.refresh()

    def of(self, account_id: str | None, fingerprints: Collection[str]) -> Suspension | None:
        """The suspension that holds up a message of an account with these credentials."""
        return self._known.of(account_id, fingerprints)

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
            await self._known.write(replace(suspension, superseded_ms=0))  # the customer uses it still
            suspension = self.of(one.account_id, one.fingerprints) or suspension
        now_ms = self._now_ms()
        is_probe = suspension.probe_id == one.message_id
        if now_ms < (suspension.probe_at_ms if is_probe else suspension.others_at_ms):
            return self._without_turn(one)
        if is_probe and suspension.turns >= TURNS_EACH and not self._in_groups:
            await self._known.write(replace(suspension, probe_id=NOBODY, probe_at_ms=now_ms, others_at_ms=now_ms))
            return self._without_turn(one)
        next_ms = now_ms + PROBE_EVERY_MS
        turn = replace(
            suspension,
            probe_id=one.message_id,
            probe_at_ms=next_ms,
            others_at_ms=self._others_at_ms(next_ms, next_ms - HEAD_START_MS),
            turns=suspension.turns + 1 if is_probe else 1,
        )
        return Place.SEND if await self._known.write(turn) else self._without_turn(one)

    def _without_turn(self, one: Carried) -> Place:
        """Where a message belongs that may not be tried now."""
        suspension = self.of(one.account_id, one.fingerprints)
        if suspension is not None and suspension.is_given_up(now_ms=self._now_ms()) and not one.was_dead:
            return Place.GIVE_UP
        return Place.PROBE_LATER if suspension is None or suspension.probe_id == one.message_id else Place.PARK

    async def suspend(self, one: Carried, fingerprint: str, *, status: int) -> None:
        """Suspend a credential; the message that was refused is its probe, unless another worker was first.

        The next message that carries it is tried at once: the refusal may have been about that one message.
        """
        account_id = str(one.account_id)
        fingerprint = EVERY if len(self._known.current(account_id)) >= MOST_EACH else fingerprint
        await self._known.drop_oldest(account_id)
        now_ms = self._now_ms()
        next_ms = now_ms + PROBE_EVERY_MS
        await self._known.write(
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
        """The probe of a whole account's suspension, as the release before wrote it, was refused: suspend the message's
        credentials instead. Messages with other credentials move back.
        """
        if len(self._known.current(whole.account_id)) > MOST_EACH:
            return
        try:
            await request_sweep(self._state, now_ms=self._now_ms(), rng=self._rng)
            await self._state.delete(SUSPENDED, whole.sk)
        except StateUnavailable:
            self._on_trouble()
            return
        self._known.forget(whole)
        await self.suspend(one, fingerprint, status=status)

    def _others_at_ms(self, probe_at_ms: int, otherwise_ms: int) -> int:
        return probe_at_ms + PROBE_LOST_MS if self._in_groups else otherwise_ms

    async def note_taken(
        self, credential: Credential, *, kind: str, begun_ms: int, beside: Collection[str] = ()
    ) -> None:
        """A call arrived: other credentials of its account that are suspended for the same kind of request may be old
        keys, except those that the call's own message carries `beside` it.
        """
        self._taken_ms[credential] = max(begun_ms, self._taken_ms.get(credential, 0))
        self._taken_ms.move_to_end(credential)
        if len(self._taken_ms) > MOST_REMEMBERED:
            self._taken_ms.popitem(last=False)
        for one in self._known.of_account(credential.account_id):
            is_other = one.fingerprint not in {EVERY, credential.fingerprint, *beside} and one.kind == kind
            if is_other and not one.superseded_ms and begun_ms >= one.since_ms:
                await self._known.write(replace(one, superseded_ms=self._now_ms()))

    async def clear(self, suspension: Suspension) -> None:
        """The partner accepts it again: forget the suspension and have its parked messages moved back."""
        try:
            await clear(self._state, suspension, now_ms=self._now_ms(), accepted=True, rng=self._rng)
        except StateUnavailable:
            self._on_trouble()
        self._known.forget(suspension)

    async def was_taken_since(self, credential: Credential, *, refused_ms: int, received_at_ms: int) -> bool:
        """Whether a message that carries it arrived after this one was refused before, or, never refused before, the
        credential was cleared by one that arrived since mParticle sent this one.
        """
        if refused_ms and self._taken_ms.get(credential, 0) > refused_ms:
            return True
        try:
            cleared = (await self._state.read(CLEARED, sk_of(*credential))).value
        except StateUnavailable:
            self._on_trouble()
            return False
        return bool(cleared.get("accepted")) and cleared["at_ms"] > (refused_ms or received_at_ms)

    async def expect_sweep(self) -> bool:
        """Have the tick look through the parking queue; False if it could not be told, and nothing should be parked."""
        try:
            await request_sweep(self._state, now_ms=self._now_ms(), rng=self._rng)
        except StateUnavailable:
            self._on_trouble()
            return False
        return True
