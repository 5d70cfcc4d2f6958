"""The rate limiter of one Lambda environment, for one agreement: the partner's, or one account's at it.

It keeps what outlives a batch: the last state of the shared item, the leased calls, and the results that are still to
be reported. A batch uses it through a session of its own (worker_fn/limits/session.py).
"""

from dataclasses import replace

from shared.errors import StateUnavailable
from shared.state import Contended
from worker_fn.limits import breaker, windows
from worker_fn.limits.fallback import Fallback
from worker_fn.limits.flow import Flow, Tally
from worker_fn.limits.known_item import AGAIN_MS, KnownItem
from worker_fn.limits.lease import Lease, Start
from worker_fn.limits.leasing import Leasing
from worker_fn.limits.reports import Reports
from worker_fn.limits.ruling import PROBE, AtRate, Because, Go, Ruling, Wait, block, ruling, what_stops_mapping

TRIES = 3
"""How often in a row a call asks for numbers if other workers were first each time."""
LONGEST_AGAIN_MS = 1_000
"""The longest time that a call waits before it asks again, if other workers were first each time."""


class Limiter:
    """`share` is one over MaximumConcurrency: what a worker leases ahead at least, and its part of the limit while the
    state table is out of reach. `probe_lease_ms` is how long a probe is leased.
    """

    def __init__(self, item: KnownItem, *, share: float, probe_lease_ms: int, patience_ms: int | None = None) -> None:
        self.item = item
        self.patience_ms = patience_ms
        """How long a call waits inside an invocation for its turn; None: as long as there is time."""
        self.reports = Reports(item, share=share)
        self.leasing = Leasing(item, self.reports, share=share)
        self._alone = Fallback(item, share=share, probe_lease_ms=probe_lease_ms)
        self._probe_lease_ms = probe_lease_ms
        self._name = f"{item.rng.getrandbits(32):x}"
        """The name under which this limiter leases probes."""

    @property
    def flow(self) -> Flow:
        """What the fleet agreed on, as this environment last saw it."""
        return self.item.flow

    def blocked(self) -> Wait | None:
        """What forbids a call: a known cool-down, or the breaker; without the table, this worker's own breaker."""
        is_own = self.item.lost_ms and self._alone.is_open
        known = replace(self.flow, breaker=self._alone.flow.breaker) if is_own else self.flow
        return block(known, now_ms=self.item.now_ms())

    def what_stops_mapping(self) -> str:
        """Why the intake has to stop, in words; empty if it need not, for an account, or without fresh knowledge."""
        knows = self.patience_ms is None and self.item.is_of_now
        return what_stops_mapping(self.flow, now_ms=self.item.now_ms()) if knows else ""

    def take(self) -> Start | None:
        """The next leased moment."""
        item, now_ms = self.item, self.item.now_ms()
        if item.share_until_ms > now_ms:
            self.leasing.lease = Lease()  # the leased moments belong to shares now
        return self.leasing.lease.take(now_ms=now_ms, not_before_ms=item.flow.cool_until_ms, limit=item.limit)

    def put_back(self) -> None:
        """Let another call start in place of one that was to start now."""
        self.leasing.lease.put_back(self.item.now_ms())

    def holds(self, start: Start) -> bool:
        """Whether a moment is still within the limit, which may have been lowered since."""
        limit = self.item.limit
        return limit is None or start.number < windows.quota(start.window, limit)

    def note(self, tally: Tally) -> None:
        """Remember a call's result; this worker's next call knows it at once, the fleet with the next report."""
        self.reports.note(tally)
        if self._alone.is_open:
            self._alone.note(tally)
        if tally.cool_until_ms:
            self.item.cool_down(tally.cool_until_ms)

    async def ask(self, *, until_ms: int, wanted: int, most_a_window: int) -> Go | Start | Wait:
        """Lease `wanted` calls before `until_ms`, at most `most_a_window` a window; returns the first, a Go or Wait."""
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
        """Whether a call may be made; with a rate, calls are leased. None while every worker keeps to its share."""
        item = self.item
        for _ in range(TRIES):
            ruled = ruling(item.flow, item.bounds, now_ms=item.now_ms())
            if not isinstance(ruled, AtRate) and not item.is_fresh(item.now_ms()):
                await item.read()
                ruled = ruling(item.flow, item.bounds, now_ms=item.now_ms())
            if not isinstance(ruled, AtRate):
                return await self._lease_probe() if ruled == PROBE else ruled
            if item.share_until_ms > item.now_ms():
                return None
            told = await self.leasing.ask(ruled.limit, until_ms=until_ms, wanted=wanted, most_a_window=most_a_window)
            if told is not None or item.now_ms() >= until_ms:
                return told or self._soon()
        return self._soon()

    def _soon(self) -> Wait:
        """Wait a moment before asking again, because other workers were first each time."""
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
