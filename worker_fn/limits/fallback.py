"""A worker on its own, while nobody can keep count for all: its share of what was known last."""

from dataclasses import replace

from shared.state.patient import LONGEST_SILENT_MS
from worker_fn.limits import agreement, breaker, windows
from worker_fn.limits.adaptive import Bounds, Limit
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.cap import NO_CAP, within
from worker_fn.limits.flow import Flow
from worker_fn.limits.known_item import KnownItem
from worker_fn.limits.lease import Lease, Start
from worker_fn.limits.ruling import Ask, AtRate, Because, ProbeIsDue, Ruling, Wait, ruling
from worker_fn.limits.silence import RETURN_MS, SILENCE_MS
from worker_fn.limits.tally import Tally
from worker_fn.limits.windows import WINDOW_MS

LOST_MS = SILENCE_MS + 5_000
"""How long a worker waits for a state table that does not answer before it calls at its share of the limit. By then the
others have lost it, too, and their leases have run out: all shares together are the limit, and a share beside leases
would be more.
"""

ALONE_SHARE = 0.9
"""What of its share a worker uses while nobody keeps count for all: environments come and go within a second."""

US = "alone"


class Fallback:
    """What a worker agrees on with itself, of what the fleet agreed on last; none while the fleet keeps count.

    `share` is the part of the limit that is ours: one over MaximumConcurrency, so that all workers together stay within
    it. Our place in time is drawn: the others' should not be the same, and the fractions of their shares should not
    become whole calls in the same second.
    """

    def __init__(self, fleet: KnownItem, *, share: float, probe_lease_ms: int) -> None:
        self._fleet = fleet
        self._bounds = fleet.bounds
        self._share = share * ALONE_SHARE
        self._probe_lease_ms = probe_lease_ms
        self._ahead_ms = WINDOW_MS * fleet.rng.randrange(1_000)
        """How far our numbered seconds are ahead of the others'."""
        self._lease = Lease(phase=fleet.rng.random())
        self._flow = Flow()
        self._since = (0, 0)
        """Of which loss of the table it is, and until when all keep to their shares."""

    @property
    def is_open(self) -> bool:
        """Whether we call at our share: of this loss of the table, or until its end for all."""
        lost_ms, share_until_ms = self._since
        if lost_ms:
            return lost_ms == self._fleet.lost_ms
        return share_until_ms == self._fleet.share_until_ms > self._fleet.now_ms()

    @property
    def breaker(self) -> Breaker:
        """Our own, by what the fleet's was."""
        return self._flow.breaker

    def ask(self, ask: Ask) -> Ruling:
        """What holds for a call, at our share, once the table is out of reach for so long that it is for everybody. At
        a rate `take` gives what comes of it.

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
            counts = self._flow.counts  # of no second is a share given out twice: what was leased of it is still ours
            self._flow = replace(fleet.flow, counts=counts, limit=Limit(), cap=NO_CAP, alive_ms=0, share_until_ms=0)
        self._bounds = Bounds(None if known is None else known * self._share, fleet.bounds.lowest * self._share)
        self._flow = agreement.fold(self._flow, self._bounds, now_ms=now_ms)
        ruled = ruling(self._flow, self._bounds, now_ms=now_ms)
        if isinstance(ruled, ProbeIsDue):
            leased = breaker.lease_probe(self.breaker, now_ms=now_ms, by=US, lease_ms=self._probe_lease_ms)
            self._flow = replace(self._flow, breaker=leased)
        return self._lease_numbers(ask, ruled.limit) if isinstance(ruled, AtRate) else ruled

    def _lease_numbers(self, ask: Ask, limit: float) -> AtRate | Wait:
        # What is ours must be over when the others lease from common seconds again: RETURN_MS after the first of us saw
        # the table, which all of us have tried by LONGEST_SILENT_MS after that.
        now_ms = self._fleet.now_ms()
        lost_until_ms = now_ms + RETURN_MS - LONGEST_SILENT_MS - 2 * WINDOW_MS
        until_ms = min(ask.until_ms, lost_until_ms if self._fleet.lost_ms else self._fleet.share_until_ms)
        own_ms, counts = now_ms + self._ahead_ms, dict(self._flow.counts)
        for name in windows.over(counts, own_ms):
            del counts[name]
        asked = windows.plan(
            counts,
            limit=limit,
            now_ms=own_ms,
            until_ms=until_ms + self._ahead_ms,
            wanted=ask.wanted,
            most_a_window=ask.most_a_window,
        )
        given = {windows.name_of(window): count for window, count in asked.items()}
        self._flow = replace(self._flow, counts=counts).added(given)
        self._lease.keep(windows.numbers(self._flow.counts, asked), limit=limit, now_ms=own_ms)
        if len(self._lease):
            return AtRate(limit)
        self._flow = replace(self._flow, limit=replace(self._flow.limit, reached=True))  # we could have used more
        free_ms = windows.first_free_ms(self._flow.counts, limit=limit, now_ms=own_ms)
        return Wait(free_ms - self._ahead_ms, Because.RATE)

    def take(self) -> Start | None:
        """The next moment that is ours."""
        start = self._lease.take(
            now_ms=self._fleet.now_ms() + self._ahead_ms,
            not_before_ms=self._fleet.flow.cool_until_ms + self._ahead_ms,
            limit=self._flow.limit.per_second,
        )
        return start and Start(start.ms - self._ahead_ms, start.number)

    def put_back(self, start: Start) -> None:
        """Have a moment that was taken used by another call."""
        self._lease.put_back(Start(start.ms + self._ahead_ms, start.number))

    def note(self, tally: Tally) -> None:
        """Learn what a call came to, as the fleet would."""
        now_ms, flow = self._fleet.now_ms(), self._flow.added(tally.counts(self._flow))
        if tally.cool_until_ms > flow.cool_until_ms:
            flow = replace(flow, cool_until_ms=tally.cool_until_ms, cool_from_ms=now_ms)
        flow = agreement.answered(flow, tally, self._bounds, now_ms=now_ms)
        self._flow = agreement.fold(flow, self._bounds, now_ms=now_ms)
