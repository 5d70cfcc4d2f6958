"""What one environment leases of the fleet's seconds: how far ahead, how many calls of each, and when it asks again."""

import math

from worker_fn.limits import agreement, windows
from worker_fn.limits.known_item import AGAIN_MS, KnownItem
from worker_fn.limits.lease import Lease
from worker_fn.limits.reports import Reports
from worker_fn.limits.ruling import AtRate, Because, Wait
from worker_fn.limits.windows import LEASE_AHEAD_MS, WINDOW_MS

RISING_AHEAD_MS = 2_000
"""How far ahead calls are leased while the limit is rising: calls that sixty workers leased for a quarter of a minute
at a third of the rate would keep to those late moments long after the rise.
"""


class Leasing:
    """Fills a lease. `share` is the part of the limit that it leases ahead at least: one over MaximumConcurrency."""

    def __init__(self, item: KnownItem, reports: Reports, *, share: float) -> None:
        self.lease = Lease()
        self._item = item
        self._reports = reports
        self._share = share
        self._eased = 1
        """How many times its share a worker leases ahead: more than once while other workers ask for little."""

    @property
    def most(self) -> int:
        """The most calls to lease ahead: the worker's share, so that others find some, or more while few ask."""
        return math.ceil((self._item.limit or 0.0) * self._eased * self._share * self._ahead_ms / 1_000)

    @property
    def _ahead_ms(self) -> int:
        """How far ahead calls are leased now."""
        return RISING_AHEAD_MS if self._item.flow.limit.rises else LEASE_AHEAD_MS

    async def ask(self, limit: float, *, until_ms: int, wanted: int, most_a_window: int) -> AtRate | Wait | None:
        """Lease numbers of the coming seconds at the limit that is then known, or wait for later seconds; None if
        others took them, or something else holds now. Raises StateUnavailable.
        """
        item, lease, now_ms = self._item, self.lease, self._item.now_ms()
        until_ms = min(until_ms, now_ms + self._ahead_ms)
        asked = windows.plan(
            item.flow.counts,
            limit=limit,
            now_ms=now_ms,
            until_ms=until_ms,
            wanted=min(wanted, self.most),
            most_a_window=most_a_window,
            least_a_window=int(limit * self._share),
        )
        if not asked:
            return self._in_line(until_ms - now_ms, limit)
        given = await self._reports.add({windows.name_of(window): count for window, count in asked.items()})
        if await self._was_silent() or item.limit is None:
            return None
        lease.keep(windows.numbers(given, asked), limit=item.limit, now_ms=item.now_ms())
        self._ease(max(asked) + 1, item.limit)
        return AtRate(item.limit) if len(lease) else None

    async def _was_silent(self) -> bool:
        """Whether the table was out of reach until now, and some call at their share: then all do for a while."""
        table, now_ms = self._item.table, self._item.now_ms()
        if not agreement.is_silent(table.flow, now_ms=now_ms):
            return False
        await table.change(lambda flow: (agreement.alive(flow, now_ms=now_ms), None))
        return True

    def _ease(self, following: int, limit: float) -> None:
        """Lease twice as much the next time if less than half of the window behind the lease is asked for. While the
        limit rises nobody asks that far ahead.
        """
        flow = self._item.flow
        half_asked = 2 * flow.counts.get(windows.name_of(following), 0) >= windows.quota(following, limit)
        self._eased = 1 if half_asked or flow.limit.rises else min(2 * self._eased, round(1 / self._share))

    def _in_line(self, ahead_ms: int, limit: float) -> Wait:
        """Wait until the next window with numbers left comes within reach, each worker a little longer or shorter."""
        item, now_ms = self._item, self._item.now_ms()
        free_ms = windows.first_free_ms(item.flow.counts, limit=limit, now_ms=now_ms)
        return Wait(max(free_ms - ahead_ms + item.rng.randint(0, WINDOW_MS), now_ms + AGAIN_MS), Because.RATE)
