"""Calls leased from what the fleet counts together."""

import math
from dataclasses import replace

from worker_fn.limits import breaker, windows
from worker_fn.limits.adaptive import rises
from worker_fn.limits.flow import Flow
from worker_fn.limits.known_item import KnownItem
from worker_fn.limits.lease import Lease, Start
from worker_fn.limits.reports import Reports
from worker_fn.limits.ruling import Ask, AtRate, Because, ProbeIsDue, Ruling, Wait, block, ruling
from worker_fn.limits.silence import alive, is_silent
from worker_fn.limits.windows import LEASE_AHEAD_MS, WINDOW_MS

TRIES = 3
"""How often a call asks for numbers in a row, where others were first each time."""

RISING_AHEAD_MS = 2_000
"""How far ahead calls are leased while the limit is on its way up: what sixty workers leased for a quarter of a minute
at a third of the rate keeps their calls there long after it rose.
"""

AGAIN_MS, LONGEST_AGAIN_MS = 50, 1_000
"""How long a call waits before it asks again."""


class FleetLease:
    """`share` is one over MaximumConcurrency, `probe_lease_ms` how long a probe is somebody's."""

    def __init__(self, item: KnownItem, reports: Reports, *, share: float, probe_lease_ms: int) -> None:
        self._item = item
        self._reports = reports
        self._share = share
        self._probe_lease_ms = probe_lease_ms
        self._name = f"{item.rng.getrandbits(32):x}"
        """Whose a probe is."""
        self._eased = 1
        """How many times its share a worker leases ahead, where nobody else presses."""
        self.lease = Lease()

    @property
    def most(self) -> int:
        """Calls that one worker may lease ahead: its share of all there are, so that nobody finds them given away; more
        where few ask.
        """
        return max(
            1, math.ceil((self._item.limit or 0.0) * min(1.0, self._eased * self._share) * self._ahead_ms / 1_000)
        )

    @property
    def _ahead_ms(self) -> int:
        """How far ahead calls are leased now."""
        return RISING_AHEAD_MS if rises(self._item.flow.limit) else LEASE_AHEAD_MS

    def take(self) -> Start | None:
        """The next moment that is ours; None also where an earlier one may be had since the limit rose."""
        now_ms = self._item.now_ms()
        if self._item.share_until_ms > now_ms:
            self.lease.drop()  # what was leased is somebody's share now
        if self.lease.is_outgrown(self._item.limit, now_ms=now_ms):
            return None
        return self.lease.take(now_ms=now_ms, not_before_ms=self._item.flow.cool_until_ms, limit=self._item.limit)

    async def ask(self, ask: Ask) -> Ruling:
        """What holds for a call. At a rate `take` gives what comes of it, unless everybody keeps to its share now.
        Raises StateUnavailable, of these Contended.
        """
        for _ in range(TRIES):
            ruled = self._item.ruling
            if not isinstance(ruled, AtRate) and not self._item.is_fresh(self._item.now_ms()):
                await self._item.read()
                ruled = self._item.ruling
            if isinstance(ruled, ProbeIsDue):
                return await self._lease_probe()
            if not isinstance(ruled, AtRate) or self._item.share_until_ms > self._item.now_ms():
                return ruled
            if (told := await self._lease_numbers(ask, ruled.limit)) is not None:
                return told
        return self.soon()

    def soon(self) -> Wait:
        """Others were first each time: ask again in a moment."""
        return Wait(self._item.now_ms() + self._item.rng.randint(AGAIN_MS, LONGEST_AGAIN_MS), Because.RATE)

    async def _lease_numbers(self, ask: Ask, limit: float) -> Ruling | None:
        """Ask for numbers of the coming seconds; None if none came of it, or something else holds now."""
        now_ms = self._item.now_ms()
        until_ms = min(ask.until_ms, now_ms + self._ahead_ms)
        wanted = min(ask.wanted, self.most) - len(self.lease)
        asked = windows.plan(
            self._item.flow.counts,
            limit=limit,
            now_ms=now_ms,
            until_ms=until_ms,
            wanted=wanted,
            most_a_window=ask.most_a_window,
            least_a_window=int(limit * self._share),
        )
        if not asked:
            self.lease.keep((), limit=limit, now_ms=now_ms)
            return AtRate(limit) if len(self.lease) else self._line(until_ms - now_ms, limit)
        given = await self._reports.add({windows.name_of(window): count for window, count in asked.items()})
        if await self._was_silent() or self._item.limit is None:
            return None
        self.lease.keep(windows.numbers(given, asked), limit=self._item.limit, now_ms=self._item.now_ms())
        self._ease(max(asked) + 1, self._item.limit)
        return AtRate(limit) if len(self.lease) else None

    async def _was_silent(self) -> bool:
        """Have everybody keep to its share for a while if the table was out of reach for so long that some call at
        theirs.
        """
        table, now_ms = self._item.table, self._item.now_ms()
        if not is_silent(table.flow, now_ms=now_ms):
            return False
        await table.change(lambda flow: (alive(flow, now_ms=now_ms), None))
        return True

    def _ease(self, following: int, limit: float) -> None:
        """Lease twice as far the next time where nobody presses: of the window behind the lease little is asked for.
        While the limit rises nobody asks that far ahead.
        """
        half_asked = 2 * self._item.flow.counts.get(windows.name_of(following), 0) >= windows.quota(following, limit)
        presses = half_asked or rises(self._item.flow.limit)
        self._eased = 1 if presses else min(2 * self._eased, round(1 / self._share))

    def _line(self, ahead_ms: int, limit: float) -> Wait:
        """Wait until a window comes within reach of which something is left, each worker a little longer or shorter."""
        now_ms = self._item.now_ms()
        free_ms = windows.first_free_ms(self._item.flow.counts, limit=limit, now_ms=now_ms)
        reach_ms = free_ms - ahead_ms + self._item.rng.randint(0, WINDOW_MS)
        return Wait(max(reach_ms, now_ms + AGAIN_MS), Because.RATE)

    async def _lease_probe(self) -> Ruling:
        now_ms = self._item.now_ms()

        def leased(flow: Flow) -> tuple[Flow, bool]:
            if breaker.holds_probe(flow.breaker, now_ms=now_ms, by=self._name):  # ours, and its answer was lost
                return flow, True
            if not isinstance(ruling(flow, self._item.bounds, now_ms=now_ms), ProbeIsDue):
                return flow, False
            after = breaker.lease_probe(flow.breaker, now_ms=now_ms, by=self._name, lease_ms=self._probe_lease_ms)
            return replace(flow, breaker=after), True

        if await self._item.change(leased):
            return ProbeIsDue()
        return block(self._item.flow, now_ms=self._item.now_ms()) or self.soon()
