"""One clock for the fleet: the worker's own, corrected by the time that the state table's answers carry.

Leases are for seconds of the clock that all workers share, so a worker whose own clock is off would use the seconds of
others. Every answer of DynamoDB carries its time in whole seconds; with the moments of the request and of the answer,
that bounds the error of the worker's clock. Each answer narrows the bounds. While zero lies within them nothing is
corrected; on Lambda, whose clocks are good to milliseconds, it always does.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from shared.errors import StateUnavailable
from shared.state import FLOW, PARTNER, State

DATE_RESOLUTION_MS = 1_000
LONGEST_AGREEMENT_S = 3.0
CERTAIN_MS = 80
"""The clock is good enough when its bounds are this close: calls are not spread more evenly than that."""


class FleetClock:
    """`local_ms` is the worker's own clock, in milliseconds since the epoch."""

    def __init__(self, local_ms: Callable[[], int]) -> None:
        self.local_ms = local_ms
        self._least_ms: float = float("-inf")
        self._most_ms: float = float("inf")
        self._offset_ms = 0
        """Added to the worker's own clock: zero while the clock may be right, else the middle of the bounds."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, by the fleet's clock."""
        return self.local_ms() + self._offset_ms

    @property
    def uncertainty_ms(self) -> float:
        """The distance between the bounds; infinite before the first answer."""
        return self._most_ms - self._least_ms

    def observe(self, *, asked_ms: int, heard_ms: int, date_ms: int) -> None:
        """Learn from an answer with the time `date_ms` (whole seconds); the others are by the worker's own clock."""
        least: float = date_ms - heard_ms
        most: float = date_ms + DATE_RESOLUTION_MS - asked_ms
        if least <= self._most_ms and most >= self._least_ms:
            least, most = max(self._least_ms, least), min(self._most_ms, most)
        # else the worker's clock was set or has drifted: start anew
        self._least_ms, self._most_ms = least, most
        self._offset_ms = 0 if least <= 0 <= most else round((least + most) / 2)


async def agree(clock: FleetClock, state: State) -> None:
    """Read until a new second begins at the table: then the table's time is known to some hundredths of a second.

    Once for an environment, about a second and two dozen reads. Without an answer the worker's clock stays as it is.
    """
    with suppress(StateUnavailable, TimeoutError):
        async with asyncio.timeout(LONGEST_AGREEMENT_S):
            while clock.uncertainty_ms > CERTAIN_MS:
                await state.read(PARTNER, FLOW)
                await asyncio.sleep(CERTAIN_MS / 2_000)


class Once:
    """Runs an action at the first call only."""

    def __init__(self, action: Callable[[], Awaitable[None]]) -> None:
        self._action: Callable[[], Awaitable[None]] | None = action

    async def __call__(self) -> None:
        action, self._action = self._action, None
        if action is not None:
            await action()
