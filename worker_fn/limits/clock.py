"""One clock for the fleet: ours, corrected by what the state table's answers say of the time.

Leases are for seconds of the clock that all workers share, so a worker whose own clock is off would use the seconds
of others. Every answer of DynamoDB carries its time in whole seconds; with when we asked and when we heard, that
bounds how far we are off. Each answer narrows the bounds; while zero is within them nothing is corrected, and on
Lambda, whose clocks are good to milliseconds, it always is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from shared.errors import StateUnavailable
from shared.state import FLOW, PARTNER, State

DATE_RESOLUTION_MS = 1_000
LONGEST_AGREEMENT_S = 3.0
CERTAIN_MS = 80
"""Near enough: calls are not spread more evenly than that."""


class FleetClock:
    """`local_ms` is our own clock, milliseconds since the epoch."""

    def __init__(self, local_ms: Callable[[], int]) -> None:
        self.local_ms = local_ms
        self._least_ms: float = float("-inf")
        self._most_ms: float = float("inf")
        self._offset_ms = 0
        """What is added to our clock: nothing while it may be right, else the middle of what is possible."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, as the fleet has it."""
        return self.local_ms() + self._offset_ms

    @property
    def uncertainty_ms(self) -> float:
        """How far apart the bounds are; infinite before the first answer."""
        return self._most_ms - self._least_ms

    def observe(self, *, asked_ms: int, heard_ms: int, date_ms: int) -> None:
        """Learn from an answer that carried the time `date_ms` (whole seconds); asked and heard are by our clock."""
        least: float = date_ms - heard_ms
        most: float = date_ms + DATE_RESOLUTION_MS - asked_ms
        if least <= self._most_ms and most >= self._least_ms:
            least, most = max(self._least_ms, least), min(self._most_ms, most)
        # else our clock was set, or has drifted: start anew
        self._least_ms, self._most_ms = least, most
        self._offset_ms = 0 if least <= 0 <= most else round((least + most) / 2)


async def agree(clock: FleetClock, state: State) -> None:
    """Read until a second begins at the table: then we know to some hundredths of a second how late it is there.

    Once for an environment, about a second and two dozen reads. A table that does not answer leaves our clock as it is.
    """
    with suppress(StateUnavailable, TimeoutError):
        async with asyncio.timeout(LONGEST_AGREEMENT_S):
            while clock.uncertainty_ms > CERTAIN_MS:
                await state.read(PARTNER, FLOW)
                await asyncio.sleep(CERTAIN_MS / 2_000)


class Once:
    """Does something the first time that it is called."""

    def __init__(self, action: Callable[[], Awaitable[None]]) -> None:
        self._action: Callable[[], Awaitable[None]] | None = action

    async def __call__(self) -> None:
        action, self._action = self._action, None
        if action is not None:
            await action()
