"""Accounts whose credentials the partner refuses: their messages wait in the parking queue until somebody mends them.

One item an account, all under one key, so that a worker learns of all of them with one read. One message of the
account stays on the main queue as its probe and is tried every few minutes; the first one that arrives clears the
account.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from shared.errors import StateUnavailable
from shared.state import PARTNER, SUSPENDED, Conflict, Item, State

PROBE_EVERY_MS = 180_000
PROBE_LOST_MS = 3 * PROBE_EVERY_MS
"""A probe that was not seen for so long is gone (too old, or dead-lettered): the next message takes its place."""

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
    item: Item

    @classmethod
    def from_item(cls, account_id: str, item: Item) -> "Suspension":
        value = item.value
        return cls(account_id, value["status"], value["since_ms"], value["probe_id"], value["probe_at_ms"], item)

    def probe_is_lost(self, now_ms: int) -> bool:
        """Whether the probe was not seen for so long that it is gone."""
        return now_ms - self.probe_at_ms >= PROBE_LOST_MS


class Suspensions:
    """The suspended accounts, as one Lambda environment knows them. With the state table down nobody is suspended."""

    def __init__(self, state: State, *, now_ms: Callable[[], int], on_trouble: Callable[[], None]) -> None:
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
        """Where a message belongs; takes the probe's turn if it is due and this message is the probe."""
        suspension = self.of(account_id)
        if suspension is None:
            return Place.SEND
        now_ms = self._now_ms()
        if suspension.probe_id != message_id and not suspension.probe_is_lost(now_ms):
            return Place.PARK
        if now_ms < suspension.probe_at_ms:
            return Place.PROBE_LATER
        taken = await self._write(suspension, probe_id=message_id, probe_at_ms=now_ms + PROBE_EVERY_MS)
        if taken:
            return Place.SEND
        now = self.of(account_id)
        return Place.PARK if now is not None and now.probe_id != message_id else Place.PROBE_LATER

    async def suspend(self, account_id: str, *, status: int, message_id: str) -> None:
        """Suspend an account; the message that found it out is its probe, unless another worker was first."""
        now_ms = self._now_ms()
        found = Suspension(account_id, status, now_ms, message_id, now_ms + PROBE_EVERY_MS, Item())
        await self._write(found, probe_id=message_id, probe_at_ms=found.probe_at_ms)

    async def clear(self, account_id: str) -> None:
        """Its credentials work again: forget the suspension and have its parked messages moved back."""
        try:
            # In this order: a sweep that finds the account still suspended looks again; one that nobody wants does not.
            await request_sweep(self._state, now_ms=self._now_ms())
            await self._state.delete(SUSPENDED, account_id)
        except StateUnavailable:
            self._on_trouble()
        self._known.pop(account_id, None)

    async def expect_sweep(self) -> bool:
        """Have the tick look through the parking queue; False if nobody could be told, and nothing should be parked."""
        try:
            await request_sweep(self._state, now_ms=self._now_ms())
        except StateUnavailable:
            self._on_trouble()
            return False
        return True

    async def _write(self, suspension: Suspension, *, probe_id: str, probe_at_ms: int) -> bool:
        value = {
            "status": suspension.status,
            "since_ms": suspension.since_ms,
            "probe_id": probe_id,
            "probe_at_ms": probe_at_ms,
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


async def request_sweep(state: State, *, now_ms: int) -> None:
    """Tell the tick that parked messages have to move back. Raises StateUnavailable."""
    for _ in range(5):
        try:
            item = await state.read(PARTNER, SWEEP)
            await state.swap(PARTNER, SWEEP, item, {**item.value, "wanted_ms": now_ms}, expires_at=None)
        except Conflict:
            continue
        return
