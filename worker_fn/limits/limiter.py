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
from worker_fn.limits.breaker import PROBE_LEASE_MS
from worker_fn.limits.fallback import Fallback
from worker_fn.limits.fleet_lease import FleetLease
from worker_fn.limits.flow import Flow
from worker_fn.limits.known_item import KnownItem
from worker_fn.limits.lease import Start
from worker_fn.limits.reports import Reports
from worker_fn.limits.ruling import Ask, AtRate, Ruling, Wait, block, what_stops_mapping
from worker_fn.limits.tally import Tally


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
        self.patience_ms = patience_ms
        """How long a call waits inside an invocation for its turn; None: as long as there is time."""
        of_table: KnownItem | None = None if table is None else table.item
        self.item: KnownItem = KnownItem(
            state, key, bounds, now_ms=now_ms, rng=rng, ttl_s=ttl_s, table=of_table, on_trouble=on_trouble
        )
        self.reports = Reports(self.item, share=share)
        self._fleet = FleetLease(self.item, self.reports, share=share, probe_lease_ms=probe_lease_ms)
        self._own = Fallback(self.item, share=share, probe_lease_ms=probe_lease_ms)

    @property
    def flow(self) -> Flow:
        """What the fleet agreed on, as far as it is known here."""
        return self.item.flow

    @property
    def is_alone(self) -> bool:
        """Whether this worker calls at its own share."""
        return self._own.is_open

    @property
    def most_leased(self) -> int:
        """Calls that it may lease ahead."""
        return self._fleet.most

    async def reserve(self, count: int, per_call: int = 1) -> list[int]:
        """Times (ms) to come back for messages that wait for this rate; fewer than asked for when the line is full."""
        now_ms = self.item.now_ms()
        try:
            return await self.item.change(
                lambda flow: agreement.reserve(flow, self.item.bounds, count=count, per_call=per_call, now_ms=now_ms)
            )
        except StateUnavailable:
            return [now_ms + 1_000 * (index // per_call + 1) for index in range(count)]

    def blocked(self) -> Wait | None:
        """What forbids a call: a cool-down that we know of, and the breaker, our own while the table is lost."""
        known = self.flow
        if self.item.lost_ms and self.is_alone:
            known = replace(known, breaker=self._own.breaker)
        return block(known, now_ms=self.item.now_ms())

    def what_stops_mapping(self) -> str:
        """Why the intake has to stop, in words; empty where it has not, for an account, or without fresh knowledge."""
        knows = self.patience_ms is None and self.item.is_of_now
        return what_stops_mapping(self.flow, now_ms=self.item.now_ms()) if knows else ""

    def take(self) -> Start | None:
        """The next moment that is ours; None also where an earlier one may be had since the limit rose."""
        return self._own.take() if self.is_alone else self._fleet.take()

    def put_back(self, start: Start) -> None:
        """Have a moment that was taken used by another call."""
        if self.is_alone:
            self._own.put_back(start)
        else:
            self._fleet.lease.put_back(start)

    def holds(self, start: Start) -> bool:
        """Whether a moment is still ours at the limit that is known now."""
        return self.is_alone or self._fleet.lease.holds(start, self.item.limit)

    async def lease(self, ask: Ask) -> Ruling:
        """Ask for calls; at a rate, `take` gives them, at least one."""
        if self.item.now_ms() < self.item.silent_until_ms:
            return self._own.ask(ask)
        try:
            ruled = await self._fleet.ask(ask)
        except Contended:
            return self._fleet.soon()
        except StateUnavailable:
            return self._own.ask(ask)
        at_share = isinstance(ruled, AtRate) and self.item.share_until_ms > self.item.now_ms()
        return self._own.ask(ask) if at_share else ruled

    def note(self, tally: Tally) -> None:
        """Remember what a call came to; our own next call knows it at once, the fleet with the next report."""
        self.reports.note(tally)
        if self.is_alone:
            self._own.note(tally)
        if tally.cool_until_ms:
            self.item.cool_down(tally.cool_until_ms)
