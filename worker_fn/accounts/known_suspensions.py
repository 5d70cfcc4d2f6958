"""The suspensions that one Lambda environment knows of: none while the state table is down."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from shared.errors import StateUnavailable
from shared.state import SUSPENDED, Conflict, State
from worker_fn.accounts.clearing import SUSPENSION_KEPT_S
from worker_fn.accounts.suspension import Suspension, by_account, holding

KNOWN_FOR_MS = 5_000
"""How old a worker's knowledge of suspensions may be."""
MOST_OLD = 20
"""So many replaced credentials, the latest ones, are kept besides. A customer that rotates its key every day is never
suspended as a whole for its old keys.
"""


class KnownSuspensions:
    """Read anew every few seconds; a suspension that this environment writes itself is known at once."""

    def __init__(self, state: State, *, now_ms: Callable[[], int], on_trouble: Callable[[], None]) -> None:
        self._state = state
        self._now_ms = now_ms
        self._on_trouble = on_trouble
        self._by_account: dict[str, list[Suspension]] = {}
        self._read_ms: int | None = None
        self._reading = asyncio.Lock()

    async def refresh(self) -> None:
        """Read the suspensions, if that was not done lately; who comes while they are read waits for them."""
        async with self._reading:
            now_ms = self._now_ms()
            if self._read_ms is not None and now_ms - self._read_ms < KNOWN_FOR_MS:
                return
            self._read_ms = now_ms
            try:
                self._by_account = by_account(await self._state.listed(SUSPENDED))
            except StateUnavailable:
                self._on_trouble()

    def of(self, account_id: str | None, fingerprints: Collection[str]) -> Suspension | None:
        """The suspension that holds up a message of an account with these credentials."""
        return None if account_id is None else holding(self.of_account(account_id), fingerprints)

    def of_account(self, account_id: str) -> Sequence[Suspension]:
        """All suspensions of an account."""
        return tuple(self._by_account.get(account_id, ()))

    def current(self, account_id: str) -> list[Suspension]:
        """An account's suspensions, except those of replaced credentials."""
        return [one for one in self.of_account(account_id) if not one.superseded_ms]

    async def drop_oldest(self, account_id: str) -> None:
        """Forget, of too many old credentials, the one that was replaced first: its messages were given up long ago."""
        old = [one for one in self.of_account(account_id) if one.superseded_ms]
        if len(old) < MOST_OLD:
            return
        oldest = min(old, key=lambda one: one.superseded_ms)
        try:
            await self._state.delete(SUSPENDED, oldest.sk)
        except StateUnavailable:
            self._on_trouble()
            return
        self.forget(oldest)

    async def write(self, suspension: Suspension) -> bool:
        """Write a suspension over the one that was read; False if another worker was first, or the table is down."""
        expires_at = self._now_ms() // 1_000 + SUSPENSION_KEPT_S
        try:
            item = await self._state.swap(
                SUSPENDED, suspension.sk, suspension.item, suspension.to_item(), expires_at=expires_at
            )
        except Conflict as conflict:
            self.forget(suspension)
            if conflict.current.value:
                self._know(Suspension.from_item(suspension.sk, conflict.current))
            return False
        except StateUnavailable:
            self._on_trouble()
            return False
        self._know(replace(suspension, item=item))
        return True

    def forget(self, suspension: Suspension) -> None:
        left = [one for one in self._by_account.pop(suspension.account_id, ()) if one.sk != suspension.sk]
        if left:
            self._by_account[suspension.account_id] = left

    def _know(self, suspension: Suspension) -> None:
        self.forget(suspension)
        self._by_account.setdefault(suspension.account_id, []).append(suspension)
