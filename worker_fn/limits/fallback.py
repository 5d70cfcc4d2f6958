"""A worker on its own, while nobody can keep count for all: its share of what was known last."""

import random
from collections.abc import Mapping
from dataclasses import replace

from worker_fn.limits import agreement, breaker, windows
from worker_fn.limits.adaptive import Bounds, Limit
from worker_fn.limits.agreement import Ask, AtRate, Because, Flow, ProbeIsDue, Ruling, Tally, Wait
from worker_fn.limits.cap import NO_CAP, within
from worker_fn.limits.known_item import LONGEST_SILENT_MS, KnownItem
from worker_fn.limits.lease import Lease
from worker_fn.limits.windows import WINDOW_MS

LOST_MS = agreement.SILENCE_MS + 5_000
"""How long a worker waits for a state table that does not answer before it calls at its share of the limit. By then the
others have lost it, too, and their leases have run out: all shares together are the limit, and a share beside leases
would be more.
"""

ALONE_SHARE = 0.9
"""What of its share a worker uses while nobody keeps count for all: environments come and go within a second."""

US = "alone"


class Fallback:
    """`flow` is what the worker agreed on with itself; None while the fleet keeps count.

    `share` is the part of the limit that is ours: one over MaximumConcurrency, so that all workers together stay within
    it. Our place in time is drawn: the others' should not be the same, and the fractions of their shares should not
    become whole calls in the same second.
    """

    def __init__(self, bounds: Bounds, *, share: float, rng: random.Random) -> None:
        self._declared = bounds
        self._bounds = bounds
        self._share = share
        self._shift = rng.randrange(1_000)
        self._given: Mapping[str, int] = {}
        """What was given of each second before the fleet kept count again: of no second is a share given out twice."""
        self.lease = Lease(phase=rng.random(), shift=self._shift)
        self.flow: Flow | None = None

    def ask(self, ask: Ask, fleet: KnownItem, *, limit: float | None = None) -> Ruling:
        """What holds for a call, at our share of `limit` or of what was known last, once the table is out of reach for
        so long that it is for everybody. What comes of it at a rate stands in `lease`.

        A probe is ours to make like a call: nobody could be asked whether it is somebody else's.
        """
        known = fleet.flow.limit.per_second if self._declared.highest is None else self._declared.highest
        known = known if limit is None else limit
        if not fleet.flow.cap.is_over(ask.now_ms):
            known = within(Bounds(known), fleet.flow.cap).highest
        if known is not None and fleet.lost_ms and ask.now_ms < fleet.lost_ms + LOST_MS:
            # Until the table is asked again: one call to it may fail amid others that do not.
            again_ms = max(fleet.silent_until_ms, ask.now_ms + 1)
            return Wait(min(again_ms, fleet.lost_ms + LOST_MS), Because.RATE)
        share = self._share * ALONE_SHARE
        self._bounds = Bounds(None if known is None else known * share, self._declared.lowest * share)
        begun = replace(fleet.flow, counts=self._given, limit=Limit(), cap=NO_CAP, alive_ms=0, share_until_ms=0)
        self.flow = agreement.fold(self.flow or begun, self._bounds, now_ms=ask.now_ms)
        ruled = agreement.ruling(self.flow, self._bounds, now_ms=ask.now_ms)
        if isinstance(ruled, ProbeIsDue):
            lease_ms = ask.probe_lease_ms
            leased = breaker.lease_probe(self.flow.breaker, now_ms=ask.now_ms, by=US, lease_ms=lease_ms)
            self.flow = replace(self.flow, breaker=leased)
        if isinstance(ruled, AtRate):
            # What is ours must be over when the others lease from common seconds again: RETURN_MS after the first of us
            # saw the table, which all of us have tried by LONGEST_SILENT_MS after that.
            lost_until_ms = ask.now_ms + agreement.RETURN_MS - LONGEST_SILENT_MS - 2 * WINDOW_MS
            own_until_ms = lost_until_ms if fleet.lost_ms else max(fleet.flow.share_until_ms, ask.now_ms)
            return self._leased(replace(ask, until_ms=min(ask.until_ms, own_until_ms)), ruled.limit)
        return ruled

    def _leased(self, ask: Ask, limit: float) -> AtRate | Wait:
        flow = self.flow or Flow()
        asked = windows.plan(
            flow.counts,
            limit=limit,
            now_ms=ask.now_ms,
            until_ms=ask.until_ms,
            wanted=ask.wanted,
            most_a_window=ask.most_a_window,
            shift=self._shift,
        )
        kept = {name: count for name, count in flow.counts.items() if name not in windows.over(flow.counts, ask.now_ms)}
        flow = agreement.added(
            replace(flow, counts=kept), {windows.name_of(window): count for window, count in asked.items()}
        )
        self.flow, self._given = flow, {name: count for name, count in flow.counts.items() if name[0] == "w"}
        numbers = windows.numbers(flow.counts, asked)
        self.lease.keep(numbers, limit=limit, now_ms=ask.now_ms)
        if len(self.lease):
            return AtRate(limit)
        free_ms = windows.first_free_ms(
            flow.counts, limit=limit, now_ms=ask.now_ms, longest_ms=300_000, shift=self._shift
        )
        return Wait(free_ms, Because.RATE)

    def note(self, tally: Tally, *, now_ms: int) -> None:
        """Learn what a call came to, as the fleet would."""
        if self.flow is None:
            return
        flow = agreement.added(self.flow, tally.counts(self.flow))
        if tally.cool_until_ms > flow.cool_until_ms:
            flow = replace(flow, cool_until_ms=tally.cool_until_ms, cool_from_ms=now_ms)
        if tally.probe is not None:
            flow = agreement.probed(flow, self._bounds, delivered=tally.probe, said=tally.said, now_ms=now_ms)
        if tally.asks_long:
            flow = agreement.asked_long(flow, tally.cool_until_ms, now_ms=now_ms)
        self.flow = agreement.fold(flow, self._bounds, now_ms=now_ms)

    def close(self) -> None:
        """The fleet keeps count again."""
        self.flow = None
        self.lease.drop()
