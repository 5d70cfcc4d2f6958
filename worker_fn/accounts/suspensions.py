"""Suspended credentials: the messages that carry one wait in the parking queue until the customer mends it.

One message of each credential stays on the main queue as its probe and is tried every few minutes; the first one that
arrives clears it. A refusal may be the fault of the one message, so another one becomes the probe in time. Other
credentials of the account are served: a customer may rotate its key. docs/adr/0014 and 0041 say why.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from enum import Enum

from shared.errors import StateUnavailable
from shared.state import CLEARED, SUSPENDED, Conflict, State, whole_in
from worker_fn.accounts.auth_failures import Credential
from worker_fn.accounts.clearing import SUSPENSION_KEPT_S, clear, request_sweep
from worker_fn.accounts.suspension import EVERY, Carried, Suspension, by_account, holding, sk_of

KNOWN_FOR_MS = 5_000
"""How old a worker's knowledge of suspensions may be."""
STRAGGLERS_MS = 600_000
"""How long after a customer changed its key requests may still carry the old one; later ones show that it uses both."""
MOST_EACH = 5
"""The most credentials of an account that are suspended one by one: a partner might make a secret for each message."""
MOST_OLD = 20
"""The most replaced credentials kept besides: a customer that rotates its key every day is not suspended as a whole."""
MOST_REMEMBERED = 2_000


class Place(Enum):
    """Where a message with a suspended credential belongs."""

    SEND = "send"
    PROBE_LATER = "probe_later"
    PARK = "park"
    GIVE_UP = "give_up"
    """The message belongs in the dead-letter queue: its credential is an old one."""


@dataclass(slots=True)
class Suspensions:
    """One environment's knowledge of suspensions: read every few seconds; what it writes itself it knows at once."""

    state: State
    _: KW_ONLY
    now_ms: Callable[[], int]
    on_trouble: Callable[[], None]
    """Called when a call to the state table failed: work goes on without it."""
    rng: random.Random
    in_groups: bool = False
    """A FIFO queue."""
    _by_account: dict[str, list[Suspension]] = field(default_factory=dict)
    _read_ms: int | None = None
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _taken_ms: OrderedDict[Credential, int] = field(default_factory=OrderedDict)
    """Credential -> when the last call that arrived, as this environment saw, was begun."""

    async def refresh(self) -> None:
        """Read the suspensions, if that was not done within KNOWN_FOR_MS; one reading serves all who wait."""
        async with self._reading:
            now_ms = self.now_ms()
            if self._read_ms is None or now_ms - self._read_ms >= KNOWN_FOR_MS:
                self._read_ms = now_ms
                try:
                    self._by_account = by_account(await self.state.listed(SUSPENDED))
                except StateUnavailable:
                    self.on_trouble()

    def of_account(self, account_id: str | None) -> Sequence[Suspension]:
        """All suspensions of an account."""
        return tuple(self._by_account.get(account_id or "", ()))

    def of(self, account_id: str | None, fingerprints: Collection[str]) -> Suspension | None:
        """The suspension that holds up a message of an account with these credentials."""
        return holding(self.of_account(account_id), fingerprints)

    async def place(self, one: Carried) -> Place:
        """Where a message belongs; if a turn is due for it, it takes the turn and is the probe from then on."""
        suspension = self.of(one.account_id, one.fingerprints)
        if suspension is None:
            return Place.SEND
        if suspension.superseded_ms and one.received_at_ms - suspension.superseded_ms > STRAGGLERS_MS:
            await self.write(replace(suspension, superseded_ms=0))  # the customer still uses it
            suspension = self.of(one.account_id, one.fingerprints) or suspension
        turn = suspension.turn_of(one.message_id, now_ms=self.now_ms(), in_groups=self.in_groups)
        if turn is not None and await self.write(turn) and turn.probe_id == one.message_id:
            return Place.SEND
        suspension = self.of(one.account_id, one.fingerprints)  # as another worker may have written it
        if suspension is not None and suspension.is_given_up(now_ms=self.now_ms()) and not one.was_dead:
            return Place.GIVE_UP
        return Place.PROBE_LATER if suspension is None or suspension.probe_id == one.message_id else Place.PARK

    async def suspend(self, one: Carried, fingerprint: str, *, status: int) -> None:
        """Suspend a credential, unless another worker was first; the refused message is its probe. Among too many old
        keys the one that was replaced first is forgotten: its messages were given up long ago.
        """
        known = self.of_account(one.account_id)
        old = [each for each in known if each.superseded_ms]
        if len(known) - len(old) >= MOST_EACH:
            fingerprint = EVERY
        if len(old) >= MOST_OLD:
            await self._drop(min(old, key=lambda each: each.superseded_ms))
        await self.write(
            Suspension.begun(one, fingerprint, status=status, now_ms=self.now_ms(), in_groups=self.in_groups)
        )

    async def narrow(self, whole: Suspension, one: Carried, fingerprint: str, *, status: int) -> None:
        """Suspend the credentials of a probe in place of its whole account, which the previous release had suspended,
        because the probe was refused; messages with other credentials are moved back.
        """
        current = [each for each in self.of_account(whole.account_id) if not each.superseded_ms]
        if len(current) <= MOST_EACH and await self.expect_sweep() and await self._drop(whole):
            await self.suspend(one, fingerprint, status=status)

    async def note_taken(
        self, credential: Credential, *, kind: str, begun_ms: int, beside: Collection[str] = ()
    ) -> None:
        """Note a call that arrived: other credentials of its account that are suspended for the same kind of request
        may be old keys, except those that the call's own message carries `beside` it.
        """
        self._taken_ms[credential] = max(begun_ms, self._taken_ms.get(credential, 0))
        self._taken_ms.move_to_end(credential)
        if len(self._taken_ms) > MOST_REMEMBERED:
            self._taken_ms.popitem(last=False)
        for one in self.of_account(credential.account_id):
            is_other = one.fingerprint not in {EVERY, credential.fingerprint, *beside} and one.kind == kind
            if is_other and not one.superseded_ms and begun_ms >= one.since_ms:
                await self.write(replace(one, superseded_ms=self.now_ms()))

    async def clear(self, suspension: Suspension) -> None:
        """Clear a suspension, because the partner accepts its credential again: its parked messages move back."""
        await self._done(clear(self.state, suspension, now_ms=self.now_ms(), accepted=True, rng=self.rng))
        self._forget(suspension)

    async def was_taken_since(self, credential: Credential, *, refused_ms: int, received_at_ms: int) -> bool:
        """Whether the credential was accepted after this message was refused; or, if the message was never refused,
        whether a message that arrived has cleared the credential since mParticle sent this one.
        """
        if refused_ms and self._taken_ms.get(credential, 0) > refused_ms:
            return True
        try:
            cleared = (await self.state.read(CLEARED, sk_of(*credential))).value
        except StateUnavailable:
            self.on_trouble()
            return False
        return bool(cleared.get("accepted")) and whole_in(cleared, "at_ms") > (refused_ms or received_at_ms)

    async def expect_sweep(self) -> bool:
        """Ask the tick to sweep the parking queue; False if that failed, and nothing should be parked."""
        return await self._done(request_sweep(self.state, now_ms=self.now_ms(), rng=self.rng))

    async def write(self, suspension: Suspension) -> bool:
        """Write a suspension over the one that was read; False if another worker was first, or the table is down."""
        sk, expires_at = suspension.sk, self.now_ms() // 1_000 + SUSPENSION_KEPT_S
        try:
            item = await self.state.swap(SUSPENDED, sk, suspension.item, suspension.to_item(), expires_at=expires_at)
        except Conflict as conflict:
            self._forget(suspension)
            for one in by_account({sk: conflict.current}).get(suspension.account_id, ()):
                self._know(one)
            return False
        except StateUnavailable:
            self.on_trouble()
            return False
        self._know(replace(suspension, item=item))
        return True

    async def _done(self, work: Awaitable[None]) -> bool:
        try:
            await work
        except StateUnavailable:
            self.on_trouble()
            return False
        return True

    async def _drop(self, suspension: Suspension) -> bool:
        is_gone = await self._done(self.state.delete(SUSPENDED, suspension.sk))
        if is_gone:
            self._forget(suspension)
        return is_gone

    def _know(self, suspension: Suspension) -> None:
        self._forget(suspension)
        self._by_account.setdefault(suspension.account_id, []).append(suspension)

    def _forget(self, suspension: Suspension) -> None:
        left = [one for one in self._by_account.pop(suspension.account_id, ()) if one.sk != suspension.sk]
        if left:
            self._by_account[suspension.account_id] = left
