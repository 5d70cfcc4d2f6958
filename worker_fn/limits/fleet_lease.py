"""Calls leased from what the fleet counts together."""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from worker_fn.limits import agreement, breaker, windows
from worker_fn.limits.adaptive import Bounds, rises
from worker_fn.limits.agreement import Ask, AtRate, Because, Flow, ProbeIsDue, Ruling, Unlimited, Wait
from worker_fn.limits.known_item import KnownItem
from worker_fn.limits.lease import Lease
from worker_fn.limits.reports import Reports
from worker_fn.limits.windows import LEASE_AHEAD_MS

TRIES = 3
"""How often a call asks for numbers in a row, where others were first each time."""

LONGEST_MISSES = 4

RISING_AHEAD_MS = 2_000
"""How far ahead calls are leased while the limit is on its way up: what sixty workers leased for a quarter of a minute
at a third of the rate keeps their calls there long after it rose.
"""

AGAIN_MS = 50
"""The least that a call waits before it asks again."""


class FleetLease:
    """`share` is one over MaximumConcurrency. `table` is what is known of the item that the tick keeps alive: it says
    whether the table was in reach while this one was idle; None: this one.
    """

    def __init__(
        self,
        item: KnownItem,
        bounds: Bounds,
        *,
        share: float,
        now_ms: Callable[[], int],
        rng: random.Random,
        table: KnownItem | None,
    ) -> None:
        self._item = item
        self._bounds = bounds
        self._share = share
        self._now_ms = now_ms
        self._rng = rng
        self._table = table
        self._name = f"{rng.getrandbits(32):x}"
        """Whose a probe is."""
        self._misses = 0
        self._eased = 1
        """How many times its share a worker leases ahead, where nobody else presses."""
        self.lease = Lease()
        self.reports = Reports(item, bounds, share=share, now_ms=now_ms, also_alive_ms=self._also_alive_ms)

    @property
    def limit(self) -> float | None:
        """What is known of the limit that is in force for all, in calls a second."""
        return self._item.flow.rate(self._bounds)

    @property
    def share_until_ms(self) -> int:
        """Until when everybody keeps to its share. For an account's item that was written lately there was no silence:
        what was leased from it since is in use, and shares beside that would be more than the rate.
        """
        flow = self._item.flow
        was_written = bool(flow.alive_ms) and self._now_ms() - flow.alive_ms <= agreement.SILENCE_MS
        of_table = 0 if self._table is None or was_written else self._table.flow.share_until_ms
        return max(flow.share_until_ms, of_table)

    @property
    def most(self) -> int:
        """Calls that one worker may lease ahead: its share of all there are, so that nobody finds them given away; more
        where few ask.
        """
        return max(1, math.ceil((self.limit or 0.0) * min(1.0, self._eased * self._share) * self._ahead_ms / 1_000))

    @property
    def _ahead_ms(self) -> int:
        """How far ahead calls are leased now."""
        return RISING_AHEAD_MS if rises(self._item.flow.limit) else LEASE_AHEAD_MS

    async def ask(self, ask: Ask) -> Ruling:
        """What holds for a call. What comes of it at a rate stands in `lease`, unless everybody keeps to its share now.
        Raises StateUnavailable, of these Contended.
        """
        for _ in range(TRIES):
            now_ms = self._now_ms()
            if self.reports.is_of_all:
                await self.reports.tell()
            ruled = agreement.ruling(self._item.flow, self._bounds, now_ms=now_ms)
            if not isinstance(ruled, AtRate) and not self._item.is_fresh(now_ms):
                await self._item.read()
                ruled = agreement.ruling(self._item.flow, self._bounds, now_ms=now_ms)
            match ruled:
                case Wait() | Unlimited():
                    return ruled
                case ProbeIsDue():
                    return await self._lease_probe(ask)
                case AtRate(limit=limit):
                    if (share_until_ms := self.share_until_ms) > now_ms:
                        if self._item.flow.share_until_ms < share_until_ms:
                            await self._keep_to_shares(share_until_ms)
                        return ruled
                    if (told := await self._lease_numbers(replace(ask, now_ms=now_ms), limit)) is not None:
                        return told
                case _:
                    assert_never(ruled)
        return self.soon()

    async def _lease_numbers(self, ask: Ask, limit: float) -> Ruling | None:
        """Ask for numbers of the coming seconds; None if none came of it, or something else holds now."""
        ask = replace(ask, until_ms=min(ask.until_ms, ask.now_ms + self._ahead_ms))
        asked = windows.plan(
            self._item.flow.counts,
            limit=limit,
            now_ms=ask.now_ms,
            until_ms=ask.until_ms,
            wanted=min(ask.wanted, self.most) - len(self.lease),
            most_a_window=ask.most_a_window,
        )
        if asked:
            given = await self.reports.add({windows.name_of(window): count for window, count in asked.items()})
            now_ms, also_ms = self._now_ms(), self._also_alive_ms()
            if agreement.is_silent(self._item.flow, now_ms=now_ms, also_alive_ms=also_ms):
                await self._item.change(
                    lambda flow: (agreement.alive(flow, now_ms=now_ms, also_alive_ms=also_ms), None)
                )
                return None
            if (now := self.limit) is None:
                return None
            numbers = windows.numbers(given, asked)
            self.lease.keep(numbers, limit=now, now_ms=self._now_ms())
            following = max(asked) + 1
            half_asked = 2 * self._item.flow.counts.get(windows.name_of(following), 0) >= windows.quota(following, now)
            presses = half_asked or rises(self._item.flow.limit)  # while it rises nobody asks for what lies behind
            self._eased = 1 if presses else min(2 * self._eased, round(1 / self._share))
        else:
            self.lease.count_as_leased_under(limit)
        if len(self.lease):
            self._misses = 0
            return AtRate(limit)
        if asked:
            return None
        free_ms = windows.first_free_ms(self._item.flow.counts, limit=limit, now_ms=ask.now_ms, longest_ms=300_000)
        reach_ms = free_ms - max(0, ask.until_ms - ask.now_ms) + self._rng.randint(0, windows.WINDOW_MS)
        return Wait(max(reach_ms, ask.now_ms + AGAIN_MS), Because.RATE)

    async def _keep_to_shares(self, until_ms: int) -> None:
        """Write what another item says: later signs of life in this one must not hide it."""
        await self._item.change(lambda flow: (replace(flow, share_until_ms=max(flow.share_until_ms, until_ms)), None))

    async def _lease_probe(self, ask: Ask) -> Ruling:
        now_ms = self._now_ms()

        def leased(flow: Flow) -> tuple[Flow, bool]:
            if breaker.holds_probe(flow.breaker, now_ms=now_ms, by=self._name):  # ours, and its answer was lost
                return flow, True
            if not isinstance(agreement.ruling(flow, self._bounds, now_ms=now_ms), ProbeIsDue):
                return flow, False
            after = breaker.lease_probe(flow.breaker, now_ms=now_ms, by=self._name, lease_ms=ask.probe_lease_ms)
            return replace(flow, breaker=after), True

        if await self._item.change(leased):
            return ProbeIsDue()
        return agreement.block(self._item.flow, now_ms=self._now_ms()) or self.soon()

    def _also_alive_ms(self) -> int:
        """When the state table was in reach by what the item that the tick writes says."""
        return 0 if self._table is None else self._table.flow.alive_ms

    def soon(self) -> Wait:
        """Others were first too often: ask again in a moment, and each time later."""
        self._misses = min(self._misses + 1, LONGEST_MISSES)
        soon_ms = self._now_ms() + self._rng.randint(100, 500 * 2**self._misses)
        return Wait(soon_ms, Because.RATE)
