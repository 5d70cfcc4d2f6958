"""The rate limiter of one Lambda environment, for one agreement: the partner's, or one account's at it.

It keeps what outlives a batch: what is known of the shared item, the calls that were leased, and what calls came to and
the fleet was not told yet. A batch uses it through a session of its own (worker_fn/limits/session.py).
"""

import math
from dataclasses import replace

from shared.errors import StateUnavailable
from shared.state import Contended
from worker_fn.limits import agreement, breaker, windows
from worker_fn.limits.fallback import Fallback
from worker_fn.limits.flow import Flow, Tally
from worker_fn.limits.known_item import KnownItem
from worker_fn.limits.lease import Lease, Start
from worker_fn.limits.reports import Reports
from worker_fn.limits.ruling import PROBE, AtRate, Because, Go, Ruling, Wait, block, ruling, what_stops_mapping
from worker_fn.limits.windows import LEASE_AHEAD_MS, WINDOW_MS

TRIES = 3
"""How often a call asks for numbers in a row, where others were first each time."""
RISING_AHEAD_MS = 2_000
"""How far ahead calls are leased while the limit is on its way up: what sixty workers leased for a quarter of a minute
at a third of the rate keeps their calls there long after it rose.
"""
AGAIN_MS, LONGEST_AGAIN_MS = 50, 1_000
"""How long a call waits before it asks again."""


class Limiter:
    """`share` is one over MaximumConcurrency: what a worker leases ahead where others press, and what is its own of the
    limit when the state table is out of reach. `probe_lease_ms` is how long a probe is somebody's.
    """

    def __init__(self, item: KnownItem, *, share: float, probe_lease_ms: int, patience_ms: int | None = None) -> None:
        self.item = item
        self.patience_ms = patience_ms
        """How long a call waits inside an invocation for its turn; None: as long as there is time."""
        self.reports = Reports(item, share=share)
        self._alone = Fallback(item, share=share, probe_lease_ms=probe_lease_ms)
        self._lease = Lease()
        self._share, self._probe_lease_ms = share, probe_lease_ms
        self._name = f"{item.rng.getrandbits(32):x}"
        """Whose a probe is."""
        self._eased = 1
        """How many times its share a worker leases ahead, where nobody else presses."""

    @property
    def flow(self) -> Flow:
        """What the fleet agreed on, as far as it is known here."""
        return self.item.flow

    @property
    def most_leased(self) -> int:
        """Calls that it may lease ahead: its share, so that nobody finds all given away; more where few ask."""
        share = min(1.0, self._eased * self._share)
        return max(1, math.ceil((self.item.limit or 0.0) * share * self._ahead_ms / 1_000))

    @property
    def _ahead_ms(self) -> int:
        """How far ahead calls are leased now."""
        return RISING_AHEAD_MS if self.flow.limit.rises else LEASE_AHEAD_MS

    def blocked(self) -> Wait | None:
        """What forbids a call: a cool-down that we know of, and the breaker, our own while the table is lost."""
        is_own = self.item.lost_ms and self._alone.is_open
        known = replace(self.flow, breaker=self._alone.flow.breaker) if is_own else self.flow
        return block(known, now_ms=self.item.now_ms())

    def what_stops_mapping(self) -> str:
        """Why the intake has to stop, in words; empty where it has not, for an account, or without fresh knowledge."""
        knows = self.patience_ms is None and self.item.is_of_now
        return what_stops_mapping(self.flow, now_ms=self.item.now_ms()) if knows else ""

    def take(self) -> Start | None:
        """The next moment that was leased; None also where an earlier one may be had since the limit rose."""
        now_ms = self.item.now_ms()
        if self.item.share_until_ms > now_ms:
            self._lease = Lease()  # what was leased is somebody's share now
        if self._alone.is_open:
            return None
        return self._lease.take(now_ms=now_ms, not_before_ms=self.flow.cool_until_ms, limit=self.item.limit)

    def put_back(self, start: Start) -> None:
        """Have a moment that was taken used by another call; one of our own share is over."""
        if not self._alone.is_open:
            self._lease.put_back(start)

    def holds(self, start: Start) -> bool:
        """Whether a moment is still ours at the limit that is known now, which may have gone down since."""
        limit = self.item.limit
        return self._alone.is_open or limit is None or start.number < windows.quota(start.window, limit)

    def note(self, tally: Tally) -> None:
        """Remember what a call came to; our own next call knows it at once, the fleet with the next report."""
        self.reports.note(tally)
        if self._alone.is_open:
            self._alone.note(tally)
        if tally.cool_until_ms:
            self.item.cool_down(tally.cool_until_ms)

    async def ask(self, *, until_ms: int, wanted: int, most_a_window: int) -> Go | Start | Wait:
        """Ask for calls: `wanted` that can start until `until_ms`, at most so many a window; gives the first."""
        ruled: Ruling | Start | None = None
        if self.item.now_ms() >= self.item.silent_until_ms:
            try:
                ruled = await self._of_fleet(until_ms, wanted, most_a_window)
            except Contended:
                ruled = self._soon()
            except StateUnavailable:
                ruled = None
        if ruled is None:
            ruled = self._alone.ask(until_ms)
        blocked = self.blocked()
        if blocked is not None and blocked.because is Because.COOL_DOWN and ruled != PROBE:
            return blocked  # by an answer that came while we asked
        if isinstance(ruled, AtRate):
            return self.take() or Wait(self.item.now_ms() + AGAIN_MS, Because.RATE)
        return ruled

    async def _of_fleet(self, until_ms: int, wanted: int, most_a_window: int) -> Ruling | None:
        """What holds for a call; at a rate something is leased. None where everybody keeps to its share."""
        item = self.item
        for _ in range(TRIES):
            ruled = ruling(item.flow, item.bounds, now_ms=item.now_ms())
            if not isinstance(ruled, AtRate) and not item.is_fresh(item.now_ms()):
                await item.read()
                ruled = ruling(item.flow, item.bounds, now_ms=item.now_ms())
            if ruled == PROBE:
                return await self._lease_probe()
            if not isinstance(ruled, AtRate):
                return ruled
            if item.share_until_ms > item.now_ms():
                return None
            told = await self._lease_numbers(ruled.limit, until_ms, wanted, most_a_window)
            if told is not None or item.now_ms() >= until_ms:
                return told or self._soon()
        return self._soon()

    async def _lease_numbers(self, limit: float, until_ms: int, wanted: int, most_a_window: int) -> Ruling | None:
        """Ask for numbers of the coming seconds; None if none came of it, or something else holds now."""
        item, lease, now_ms = self.item, self._lease, self.item.now_ms()
        until_ms = min(until_ms, now_ms + self._ahead_ms)
        asked = windows.plan(
            item.flow.counts,
            limit=limit,
            now_ms=now_ms,
            until_ms=until_ms,
            wanted=min(wanted, self.most_leased) - len(lease),
            most_a_window=most_a_window,
            least_a_window=int(limit * self._share),
        )
        if not asked:
            lease.keep((), limit=limit, now_ms=now_ms)
            return AtRate(limit) if len(lease) else self._in_line(until_ms - now_ms, limit)
        given = await self.reports.add({windows.name_of(window): count for window, count in asked.items()})
        if await self._was_silent() or item.limit is None:
            return None
        lease.keep(windows.numbers(given, asked), limit=item.limit, now_ms=item.now_ms())
        self._ease(max(asked) + 1, item.limit)
        return AtRate(limit) if len(lease) else None

    async def _was_silent(self) -> bool:
        """Whether the table was out of reach until now, and some call at their share: everybody does for a while."""
        table, now_ms = self.item.table, self.item.now_ms()
        if not agreement.is_silent(table.flow, now_ms=now_ms):
            return False
        await table.change(lambda flow: (agreement.alive(flow, now_ms=now_ms), None))
        return True

    def _ease(self, following: int, limit: float) -> None:
        """Lease twice as far the next time where nobody presses: of the window behind the lease little is asked for.
        While the limit rises nobody asks that far ahead.
        """
        half_asked = 2 * self.flow.counts.get(windows.name_of(following), 0) >= windows.quota(following, limit)
        self._eased = 1 if half_asked or self.flow.limit.rises else min(2 * self._eased, round(1 / self._share))

    def _in_line(self, ahead_ms: int, limit: float) -> Wait:
        """Wait until a window comes within reach of which something is left, each worker a little longer or shorter."""
        now_ms = self.item.now_ms()
        free_ms = windows.first_free_ms(self.flow.counts, limit=limit, now_ms=now_ms)
        return Wait(max(free_ms - ahead_ms + self.item.rng.randint(0, WINDOW_MS), now_ms + AGAIN_MS), Because.RATE)

    def _soon(self) -> Wait:
        """Others were first each time: ask again in a moment."""
        return Wait(self.item.now_ms() + self.item.rng.randint(AGAIN_MS, LONGEST_AGAIN_MS), Because.RATE)

    async def _lease_probe(self) -> Go | Wait:
        now_ms = self.item.now_ms()

        def leased(flow: Flow) -> tuple[Flow, bool]:
            if breaker.holds_probe(flow.breaker, now_ms=now_ms, by=self._name):  # ours, and its answer was lost
                return flow, True
            if ruling(flow, self.item.bounds, now_ms=now_ms) != PROBE:
                return flow, False
            after = breaker.lease_probe(flow.breaker, now_ms=now_ms, by=self._name, lease_ms=self._probe_lease_ms)
            return replace(flow, breaker=after), True

        if await self.item.change(leased):
            return PROBE
        return block(self.flow, now_ms=self.item.now_ms()) or self._soon()
