"""A worker on its own, while nobody can keep count for all: its share of what was known last, evenly spread."""

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
others have lost it, too, and their leases have run out: all shares together are the limit, and a share beside leases
would be more.
"""
ALONE_SHARE = 0.9
"""What of its share a worker uses while nobody keeps count for all: environments come and go within a second."""
AHEAD_MS = RETURN_MS - LONGEST_SILENT_MS - 2 * WINDOW_MS
"""How far ahead a moment is ours: it must be over when the others lease from common seconds again, RETURN_MS after the
first of us saw the table, which all of us have tried by LONGEST_SILENT_MS after that.
"""
US = "alone"


class Fallback:
    """What a worker agrees on with itself, of what the fleet agreed on last; none while the fleet keeps count.

    `share` is the part of the limit that is ours: one over MaximumConcurrency, so that all workers together stay within
    it. Our place in time is drawn, so that others' calls do not fall together with ours.
    """

    def __init__(self, fleet: KnownItem, *, share: float, probe_lease_ms: int) -> None:
        self._fleet = fleet
        self._bounds = fleet.bounds
        self._share = share
        self._probe_lease_ms = probe_lease_ms
        self._place = fleet.rng.random()
        self._last_ms = 0.0
        """The moment that was taken last."""
        self._since = (0, 0)
        """By which loss of the table, or else for which time of shares, we have counted for ourselves."""
        self.flow = Flow()

    @property
    def is_open(self) -> bool:
        """Whether we call at our share: of this loss of the table, or until its end for all."""
        lost_ms, share_until_ms = self._since
        if lost_ms:
            return lost_ms == self._fleet.lost_ms
        return share_until_ms == self._fleet.share_until_ms > self._fleet.now_ms()

    def ask(self, until_ms: int) -> Go | Start | Wait:
        """What holds for a call, at our share, once the table is out of reach for so long that it is for everybody.

        A probe is ours to make like a call: nobody could be asked whether it is somebody else's.
        """
        now_ms, fleet = self._fleet.now_ms(), self._fleet
        known = (fleet.lost_ms and fleet.bounds.highest) or fleet.limit
        if not fleet.flow.cap.is_over(now_ms):
            known = within(Bounds(known), fleet.flow.cap).highest
        lost_ms = fleet.lost_ms or (0 if fleet.share_until_ms > now_ms else now_ms)
        if known is not None and now_ms < lost_ms + LOST_MS:
            # Until the table is asked again: one call to it may fail amid others that do not.
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
        """Our share of a limit. From one call a second on whole calls are shared, so that no second holds more than all
        may have, however the shares' moments meet.
        """
        share = limit * self._share
        return (math.floor(share) if share > 1 else share) * ALONE_SHARE

    def _moment(self, limit: float, until_ms: int, now_ms: int) -> Start | Wait:
        """The next moment that is ours, a step after the last one at least."""
        step_ms = 1_000 / (limit * HEADROOM)
        placed_ms = (math.ceil(now_ms / step_ms - self._place) + self._place) * step_ms
        start_ms = max(placed_ms, self._last_ms + step_ms)
        lasts_ms = now_ms + AHEAD_MS if self._fleet.lost_ms else self._fleet.share_until_ms
        if start_ms < min(until_ms, lasts_ms):
            self._last_ms = start_ms
            return Start(math.ceil(start_ms))
        self.flow = replace(self.flow, limit=replace(self.flow.limit, reached=True))  # we could have used more
        # A message that waits on the queue comes back up to a second late, and must not miss its moment.
        wait_ms = max(min(until_ms, lasts_ms), round(start_ms) - 2 * WINDOW_MS)
        return Wait(wait_ms if self._fleet.lost_ms else min(wait_ms, lasts_ms), Because.RATE)

    def note(self, tally: Tally) -> None:
        """Learn what a call came to, as the fleet would."""
        now_ms, flow = self._fleet.now_ms(), self.flow.added(tally.counts(self.flow))
        if tally.cool_until_ms > flow.cool_until_ms:
            flow = replace(flow, cool_until_ms=tally.cool_until_ms, cool_from_ms=now_ms)
        flow = agreement.answered(flow, tally, self._bounds, now_ms=now_ms)
        self.flow = agreement.fold(flow, self._bounds, now_ms=now_ms)
