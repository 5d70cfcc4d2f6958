"""Accounts whose credentials the partner refuses: their messages wait in the parking queue until somebody mends them.

One item an account, all under one key, so that a worker learns of all of them with one read. One message of the
account stays on the main queue as its probe and is tried every few minutes; the first one that arrives clears the
account. A message may be refused for its own sake (it carries an old key, or asks for what this customer may not do),
so the probe changes: docs/adr/0014.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from shared.errors import StateUnavailable
from shared.state import CLEARED, PARTNER, SUSPENDED, Conflict, Item, State

PROBE_EVERY_MS = 180_000
PROBE_LOST_MS = 3 * PROBE_EVERY_MS
"""A probe that was not seen for so long is gone (too old, or dead-lettered): the next message takes its place."""
TURNS_EACH = 3
"""A message that was refused so often as the probe makes room for another one of its account."""
NOBODY = ""
"""In place of the probe's id: the tick chooses one of those that are parked."""
KEPT_S = 14 * 86_400
"""For how long it is known that an account was cleared: as long as a message can be parked."""

FRESH_MS = 5_000
SWEEP = "sweep"
"""Under the partner's key: somebody was cleared, so the tick has to look through the parking queue."""


class Place(Enum):
    """Where a message of a suspended account belongs."""

    SEND = "send"
    PROBE_LATER = "probe_later"
    PARK = "park"


@dataclass(frozen=True, slots=True)
class Suspension:
    account_id: str
    status: int
    since_ms: int
    probe_id: str
    probe_at_ms: int
    """The probe's next turn."""
    others_at_ms: int
    """From when on another message of the account, if one comes, has the turn in its place and is the probe."""
    turns: int
    """How often this probe was refused."""
    item: Item

    @classmethod
    def from_item(cls, account_id: str, item: Item) -> "Suspension":
        value = item.value
        probe_at_ms = value["probe_at_ms"]
        return cls(
            account_id,
            value["status"],
            value["since_ms"],
            value["probe_id"],
            probe_at_ms,
            value.get("others_at_ms", probe_at_ms + PROBE_LOST_MS),
            value.get("turns", 1),
            item,
        )

    @property
    def lost_ms(self) -> int:
        """When the account has, or had, no probe any more, unless it is seen until then."""
        return self.probe_at_ms if self.probe_id == NOBODY else self.probe_at_ms + PROBE_LOST_MS


class Suspensions:
    """The suspended accounts, as one Lambda environment knows them. With the state table down nobody is suspended.

    `in_groups`: a FIFO queue, where no message may take the turn of those before it.
    """

    def __init__(
        self, state: State, *, now_ms: Callable[[], int], on_trouble: Callable[[], None], in_groups: bool = False
    ) -> None:
        self._in_groups = in_groups
        self._state = state
        self._now_ms = now_ms
        self._on_trouble = on_trouble
        self._known: dict[str, Suspension] = {}
        self._read_ms: int | None = None

    async def refresh(self) -> None:
        """Read who is suspended, if that was not done lately."""
        now_ms = self._now_ms()
        if self._read_ms is not None and now_ms - self._read_ms < FRESH_MS:
            return
        self._read_ms = now_ms
        try:
            items = await self._state.listed(SUSPENDED)
        except StateUnavailable:
            self._on_trouble()
            return
        self._known = {account_id: Suspension.from_item(account_id, item) for account_id, item in items.items()}

    def of(self, account_id: str | None) -> Suspension | None:
        return self._known.get(account_id) if account_id is not None else None

    def probe_wait_s(self, account_id: str | None) -> int:
        """Whole seconds until the account's probe may be tried again."""
        suspension = self.of(account_id)
        left_ms = suspension.probe_at_ms - self._now_ms() if suspension else PROBE_EVERY_MS
        return max(1, -(-left_ms // 1_000))

    async def place(self, account_id: str | None, message_id: str) -> Place:
        """Where a message belongs; takes the turn if it is due for this message, which is the probe from then on."""
        suspension = self.of(account_id)
        if suspension is None:
            return Place.SEND
        now_ms = self._now_ms()
        is_probe = suspension.probe_id == message_id
        if now_ms < (suspension.probe_at_ms if is_probe else suspension.others_at_ms):
            return Place.PROBE_LATER if is_probe else Place.PARK
        if is_probe and suspension.turns >= TURNS_EACH and not self._in_groups:
            given_up = replace(suspension, probe_id=NOBODY, probe_at_ms=now_ms, others_at_ms=now_ms)
            return Place.PARK if await self._write(given_up) else Place.PROBE_LATER
        next_ms = now_ms + PROBE_EVERY_MS
        turn = replace(
            suspension,
            probe_id=message_id,
            probe_at_ms=next_ms,
            others_at_ms=self._others_at_ms(next_ms, next_ms),
            turns=suspension.turns + 1 if is_probe else 1,
        )
        if await self._write(turn):
            return Place.SEND
        now = self.of(account_id)
        return Place.PARK if now is not None and now.probe_id != message_id else Place.PROBE_LATER

    async def suspend(self, account_id: str, *, status: int, message_id: str) -> None:
        """Suspend an account; the message that found it out is its probe, unless another worker was first.

        The next one of its messages that comes has a look at once: what was refused may be that one message.
        """
        now_ms = self._now_ms()
        next_ms = now_ms + PROBE_EVERY_MS
        others_at_ms = self._others_at_ms(next_ms, now_ms)
        await self._write(Suspension(account_id, status, now_ms, message_id, next_ms, others_at_ms, 1, Item()))

    def _others_at_ms(self, probe_at_ms: int, otherwise_ms: int) -> int:
        return probe_at_ms + PROBE_LOST_MS if self._in_groups else otherwise_ms

    async def clear(self, account_id: str) -> None:
        """Its credentials work again: forget the suspension and have its parked messages moved back."""
        try:
            await clear(self._state, account_id, now_ms=self._now_ms(), accepted=True)
        except StateUnavailable:
            self._on_trouble()
        self._known.pop(account_id, None)

    async def was_accepted_since(self, account_id: str, since_ms: int) -> bool:
        """Whether the account was suspended and cleared by a message that arrived after `since_ms`."""
        try:
            cleared = (await self._state.read(CLEARED, account_id)).value
        except StateUnavailable:
            self._on_trouble()
            return False
        return bool(cleared.get("accepted")) and cleared["at_ms"] > since_ms

    async def expect_sweep(self) -> bool:
        """Have the tick look through the parking queue; False if nobody could be told, and nothing should be parked."""
        try:
            await request_sweep(self._state, now_ms=self._now_ms())
        except StateUnavailable:
            self._on_trouble()
            return False
        return True

    async def _write(self, suspension: Suspension) -> bool:
        value = {
            "status": suspension.status,
            "since_ms": suspension.since_ms,
            "probe_id": suspension.probe_id,
            "probe_at_ms": suspension.probe_at_ms,
            "others_at_ms": suspension.others_at_ms,
            "turns": suspension.turns,
        }
        account_id = suspension.account_id
        try:
            item = await self._state.swap(SUSPENDED, account_id, suspension.item, value, expires_at=None)
        except Conflict as conflict:
            if conflict.current.value:
                self._known[account_id] = Suspension.from_item(account_id, conflict.current)
            return False
        except StateUnavailable:
            self._on_trouble()
            return False
        self._known[account_id] = Suspension.from_item(account_id, item)
        return True


async def clear(state: State, account_id: str, *, now_ms: int, accepted: bool) -> None:
    """Forget a suspension and have the account's parked messages moved back. `accepted`: the partner took one of its
    messages; an operator who clears does not know that. Raises StateUnavailable.
    """
    # In this order: a sweep that finds the account still suspended looks again; one that nobody wants does not.
    cleared = {"at_ms": now_ms, "accepted": accepted}
    await _put(state, CLEARED, account_id, lambda _: cleared, expires_at=now_ms // 1_000 + KEPT_S)
    await request_sweep(state, now_ms=now_ms)
    await state.delete(SUSPENDED, account_id)


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
