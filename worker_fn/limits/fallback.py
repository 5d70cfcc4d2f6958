"""A worker's own books, while nobody can keep common ones: its share of what was known last."""

import random
from dataclasses import replace

from worker_fn.limits import agreement as flows
from worker_fn.limits.adaptive import Bounds, Limit
from worker_fn.limits.agreement import Ask, Because, Flow, Permit, Tally, Wait
from worker_fn.limits.known_item import SILENT_MS, KnownItem
from worker_fn.limits.sharding import Sharding
from worker_fn.limits.starts import Starts
from worker_fn.limits.windows import WINDOW_MS, Books, Share, Tokens

LOST_MS = flows.SILENCE_MS + 5_000
"""How long a worker waits for a state table that does not answer before it calls at its share of the limit. By then the
others have lost it, too, and their leases have run out: all shares together are the limit, and a share beside leases
would be more.
"""

ALONE_SHARE = 0.9
"""What of its share a worker uses while nobody keeps common books: environments come and go within a second."""


class Fallback:
    """`flow` is None while the fleet has common books.

    `share` is the part of the limit that is ours: one over MaximumConcurrency, so that all workers together stay within
    it. Our place in time is drawn: the others' should not be the same.
    """

    def __init__(self, bounds: Bounds, *, share: float, rng: random.Random) -> None:
        self._declared = bounds
        self._bounds = bounds
        self._share = share
        self._phase, self._own = rng.random(), Share(shift=rng.randrange(1_000))
        self._used: Books = {}
        """What was given out of them before they were closed: of no second is a share given out twice."""
        self.flow: Flow | None = None

    def lease(self, ask: Ask, fleet: KnownItem, *, limit: float | None = None) -> Permit:
        """Lease our share, of `limit` or of what was known last, once the table is out of reach for so long that it is
        for everybody.

        No probe is ours to make: nobody could be asked whether it is.
        """
        known = fleet.flow.limit.per_second if self._declared.highest is None else self._declared.highest
        known = known if limit is None else limit
        if known is not None and fleet.lost_ms and ask.now_ms < fleet.lost_ms + LOST_MS:
            # Until the table is asked again: one call to it may fail amid others that do not.
            again_ms = max(fleet.silent_until_ms, ask.now_ms + 1)
            return Wait(min(again_ms, fleet.lost_ms + LOST_MS), Because.RATE)
        # What we take from our own books must be over when the others lease from the common ones again: RETURN_MS after
        # the first of us saw the table, which all of us have tried by SILENT_MS after that.
        lost_until_ms = ask.now_ms + flows.RETURN_MS - SILENT_MS - 2 * WINDOW_MS
        own_until_ms = lost_until_ms if fleet.lost_ms else max(fleet.flow.share_until_ms, ask.now_ms)
        ask = replace(ask, until_ms=min(ask.until_ms, own_until_ms), share=self._own)
        share = self._share * ALONE_SHARE
        self._bounds = Bounds(None if known is None else known * share, self._declared.lowest * share)
        own = self.flow or replace(fleet.flow, books=self._used, limit=Limit())
        own = replace(own, alive_ms=0, share_until_ms=0, sharding=Sharding())  # these are about the others
        self.flow, permit = flows.lease_alone(own, ask, self._bounds)
        self._used = self.flow.books
        return permit

    def note(self, tally: Tally, *, now_ms: int) -> None:
        """Learn what a call came to, as the fleet would."""
        if self.flow is not None:
            self.flow = flows.report(self.flow, tally, self._bounds, now_ms=now_ms)

    def keep(self, starts: Starts, tokens: Tokens, *, limit: float) -> None:
        """Keep what was leased, at our own place in time while we are alone."""
        if self.flow is None:
            starts.lease(tokens, limit=limit)
        else:
            starts.lease(tokens, limit=limit, phase=self._phase, shift=self._own.shift)

    def close(self) -> None:
        """The fleet has common books again."""
        self.flow = None
