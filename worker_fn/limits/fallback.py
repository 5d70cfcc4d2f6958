"""The fallback without a state table: each worker calls at its share of the last known limit, evenly spread."""

import math
from dataclasses import replace

from shared.state.patient import LONGEST_SILENT_MS
from worker_fn.limits import agreement, breaker
from worker_fn.limits.adaptive import NO_CAP, Bounds, Limit, within
from worker_fn.limits.agreement import RETURN_MS, SILENCE_MS
from worker_fn.limits.flow import Flow, Tally
from worker_fn.limits.known_item import KnownItem
from worker_fn.limits.lease import Start
from worker_fn.limits.ruling import PROBE, AtRate, Because, Go, Wait, ruling
from worker_fn.limits.windows import HEADROOM, WINDOW_MS

LOST_MS = SILENCE_MS + 5_000
"""How long a worker waits for a state table that does not answer before it calls at its share of the limit. By then the
others have lost the table too, and their leases have run out: all shares together are the limit, and a share beside
leases would exceed it.
"""
ALONE_SHARE = 0.9
"""The part of its share that a worker uses: environments come and go within a second, and nobody counts for all."""
AHEAD_MS = RETURN_MS - LONGEST_SILENT_MS - 2 * WINDOW_MS
"""How far ahead a worker takes a moment. It must be over when the others lease by numbers again: RETURN_MS after the
first of them saw the table, which all of them have tried within LONGEST_SILENT_MS of that.
"""
US = "alone"


class Fallback:
    """A worker's own limit, breaker and cool-down while it calls at its share; begun with the fleet's last ones.

    `share` is the worker's part of the limit: one over MaximumConcurrency, so that all workers together stay within it.
    The worker's place in time is random, so that workers' calls do not coincide.
    """

    def __init__(self, fleet: KnownItem, *, share: float, probe_lease_ms: int) -> None:
        self._fleet = fleet
        self._bounds = fleet.bounds
        self._share = share
        self._probe_lease_ms = probe_lease_ms
        self._place = fleet.rng.random()
        self._last_ms = 0.0
        """The last moment that was taken."""
        self._since = (0, 0)
        """The loss of the table, or else the end of all workers' shares, for which `flow` was begun."""
        self.flow = Flow()

    @property
    def is_open(self) -> bool:
        """Whether this worker calls at its share: during a loss of the table, or until all workers' shares end."""
        lost_ms, share_until_ms = self._since
        if lost_ms:
            return lost_ms == self._fleet.lost_ms
        return share_until_ms == self._fleet.share_until_ms > self._fleet.now_ms()

    def ask(self, until_ms: int) -> Go | Start | Wait:
        """Whether a call may be made at this worker's share, once the table has been lost for LOST_MS.

        A probe is made like a call: no other worker can be asked whether it makes one.
        """
        now_ms, fleet = self._fleet.now_ms(), self._fleet
        known = (fleet.lost_ms and fleet.bounds.highest) or fleet.limit
        if not fleet.flow.cap.is_over(now_ms):
            known = within(Bounds(known), fleet.flow.cap).highest
        lost_ms = fleet.lost_ms or (0 if fleet.share_until_ms > now_ms else now_ms)
        if known is not None and now_ms < lost_ms + LOST_MS:
            # Wait until the table is asked again: a single call to it may fail while others succeed.
            return Wait(min(max(fleet.silent_until_ms, now_ms + 1), lost_ms + LOST_MS), Because.RATE)
        if not self.is_open:
            self._since = (fleet.lost_ms, fleet.share_until_ms)
            self.flow = replace(fleet.flow, counts={}, limit=Limit(), cap=NO_CAP, alive_ms=0, share_until_ms=0)
        self._bounds = Bounds(known and self._own(known), fleet.bounds.lowest * self._share)
        self.flow = agreement.fold(self.flow, self._bounds, now_ms=now_ms)
        ruled = ruling(self.flow, self._bounds, now_ms=now_ms)
        if ruled == PROBE:
            leased = breaker.lease_probe(self.flow.breaker, now_ms=now_ms, by=US, lease_ms=self._probe_lease_ms)
            self.flow = replace(self.flow, breaker=leased)
        return self._moment(ruled.limit, until_ms, now_ms) if isinstance(ruled, AtRate) else ruled

    def _own(self, limit: float) -> float:
        """This worker's part of a limit. A share above one call a second is rounded down, so that no second holds more
        calls than all workers may make, however their moments fall.
        """
        share = limit * self._share
        return (math.floor(share) if share > 1 else share) * ALONE_SHARE

    def _moment(self, limit: float, until_ms: int, now_ms: int) -> Start | Wait:
        """The next moment for a call, at least a step after the last one."""
        step_ms = 1_000 / (limit * HEADROOM)
        placed_ms = (math.ceil(now_ms / step_ms - self._place) + self._place) * step_ms
        start_ms = max(placed_ms, self._last_ms + step_ms)
        lasts_ms = now_ms + AHEAD_MS if self._fleet.lost_ms else self._fleet.share_until_ms
        if start_ms < min(until_ms, lasts_ms):
            self._last_ms = start_ms
            return Start(math.ceil(start_ms))
        self.flow = replace(self.flow, limit=replace(self.flow.limit, reached=True))  # more could have been used
        # A message that waits on the queue comes back up to a second late, and must not miss its moment.
        wait_ms = max(min(until_ms, lasts_ms), round(start_ms) - 2 * WINDOW_MS)
        return Wait(wait_ms if self._fleet.lost_ms else min(wait_ms, lasts_ms), Because.RATE)

    def note(self, tally: Tally) -> None:
        """Learn from the result of a call, as the fleet would."""
        now_ms, flow = self._fleet.now_ms(), self.flow.added(tally.counts(self.flow))
        flow = agreement.answered(flow, tally, self._bounds, now_ms=now_ms)
        self.flow = agreement.fold(flow, self._bounds, now_ms=now_ms)
