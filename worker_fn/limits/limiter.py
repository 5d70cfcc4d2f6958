"""The rate limiter of one Lambda environment, for one agreement: the partner's, or one account's at it.

It keeps what outlives a batch: what is known of the shared item, the calls that were leased, and what calls came to and
the fleet was not told yet. A batch uses it through a session of its own (worker_fn/limits/session.py).
"""

import random
from collections.abc import Callable
from dataclasses import replace

from shared.errors import StateUnavailable
from shared.state import Contended, State
from worker_fn.limits import agreement
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.agreement import Ask, AtRate, Flow, Ruling, Tally, Wait
from worker_fn.limits.breaker import PROBE_LEASE_MS
from worker_fn.limits.fallback import Fallback
from worker_fn.limits.fleet_lease import FleetLease
from worker_fn.limits.known_item import KnownItem
from worker_fn.limits.lease import Lease, Start


class Limiter:
    """One agreement, as one Lambda environment keeps it between its invocations.

    `share` is the part of the limit that is ours when the state table is out of reach: one over MaximumConcurrency, so
    that all workers together stay within it. `table` is the limiter whose item the tick keeps alive: it says whether
    the table was in reach while this one was idle; None: this one.
    """

    def __init__(
        self,
        state: State,
        key: str,
        bounds: Bounds,
        *,
        share: float,
        now_ms: Callable[[], int],
        rng: random.Random,
        ttl_s: int | None = None,
        patience_ms: int | None = None,
        on_trouble: Callable[[], None] = lambda: None,
        probe_lease_ms: int = PROBE_LEASE_MS,
        table: "Limiter | None" = None,
    ) -> None:
        self.bounds = bounds
        self.now_ms = now_ms
        self.patience_ms = patience_ms
        """How long a call waits inside an invocation for its turn; None: as long as there is time."""
        self.probe_lease_ms = probe_lease_ms
        self.table = table
        self.item = KnownItem(
            state, key, now_ms=now_ms, rng=rng, ttl_s=ttl_s, on_there=self._close_fallback, on_trouble=on_trouble
        )
        of_table = None if table is None else table.item
        self._fleet = FleetLease(self.item, bounds, share=share, now_ms=now_ms, rng=rng, table=of_table)
        self._own = Fallback(bounds, share=share, rng=rng)
        self.reports = self._fleet.reports

    @property
    def flow(self) -> Flow:
        """What the fleet agreed on, as far as it is known here."""
        return self.item.flow

    @property
    def knows_now(self) -> bool:
        """Whether what it knows is of this batch, and the fleet's."""
        return self.item.is_of_now

    @property
    def limit(self) -> float | None:
        """What is known of the limit that is in force for all, in calls a second."""
        return self._fleet.limit

    @property
    def is_alone(self) -> bool:
        """Whether this worker calls at its own share."""
        return self._own.flow is not None

    @property
    def most_leased(self) -> int:
        """Calls that it may lease ahead."""
        return self._fleet.most

    async def reserve(self, count: int, per_call: int = 1) -> list[int]:
        """Times (ms) to come back for messages that wait for this rate; fewer than asked for when the line is full."""
        now_ms = self.now_ms()
        try:
            return await self.item.change(
                lambda flow: agreement.reserve(flow, self.bounds, count=count, per_call=per_call, now_ms=now_ms)
            )
        except StateUnavailable:
            return [now_ms + 1_000 * (index // per_call + 1) for index in range(count)]

    def blocked(self) -> Wait | None:
        """What forbids a call: a cool-down that we know of, and the breaker, our own while we are alone."""
        known = self.flow
        if self.item.lost_ms and self._own.flow is not None:
            known = replace(known, breaker=self._own.flow.breaker)
        return agreement.block(known, now_ms=self.now_ms())

    def stops_mapping(self) -> bool:
        """Whether the intake has to stop: the partner's limiter's business, while it knows what the fleet knows."""
        is_partners = self.patience_ms is None
        return is_partners and not self.item.lost_ms and agreement.stops_mapping(self.flow, now_ms=self.now_ms())

    def take(self) -> Start | None:
        """The next moment that is ours; None also where an earlier one may be had since the limit rose."""
        now_ms, until_ms = self.now_ms(), self.flow.cool_until_ms
        if self._own.flow is not None:
            limit = self._own.flow.limit.per_second
            return self._own.lease.take(now_ms=now_ms, not_before_ms=until_ms, limit=limit)
        if self._fleet.share_until_ms > now_ms:
            self._fleet.lease.drop()  # what was leased is somebody's share now
        if self._fleet.lease.is_outgrown(self.limit, now_ms=now_ms):
            return None
        return self._fleet.lease.take(now_ms=now_ms, not_before_ms=until_ms, limit=self.limit)

    def put_back(self, start: Start) -> None:
        """Have a moment that was taken used by another call."""
        self._lease.put_back(start)

    def holds(self, start: Start) -> bool:
        """Whether a moment is still ours at the limit that is known now."""
        return self.is_alone or self._lease.holds(start, self.limit)

    @property
    def _lease(self) -> Lease:
        return self._own.lease if self.is_alone else self._fleet.lease

    async def lease(self, ask: Ask) -> Ruling:
        """Ask for calls; at a rate, `take` gives them, at least one."""
        if ask.now_ms < self.item.silent_until_ms:
            return self._own.ask(ask, self.item)
        try:
            ruled = await self._fleet.ask(ask)
        except Contended:
            return self._fleet.soon()
        except StateUnavailable:
            return self._own.ask(ask, self.item)
        now_ms = self.now_ms()
        if isinstance(ruled, AtRate) and self._fleet.share_until_ms > now_ms:
            return self._own.ask(replace(ask, now_ms=now_ms), self.item, limit=ruled.limit)
        if isinstance(ruled, AtRate):
            self._own.close()
        return ruled

    def note(self, tally: Tally) -> None:
        """Remember what a call came to; our own next call knows it at once, the fleet with the next report."""
        self.reports.note(tally)
        self._own.note(tally, now_ms=self.now_ms())
        if tally.cool_until_ms:
            self.item.cool_down(tally.cool_until_ms)

    def _close_fallback(self) -> None:
        """The fleet keeps count: what is left of our own is not used, nor what was leased before."""
        if self.is_alone:
            self._own.close()
            self._fleet.lease.drop()
