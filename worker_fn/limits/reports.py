"""What one environment's calls came to, on its way to the fleet."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from shared.errors import StateRefused, StateSilent, StateThrottled, StateUnavailable
from worker_fn.limits import agreement
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.agreement import NOTHING, Flow, Tally
from worker_fn.limits.breaker import MIN_CALLS
from worker_fn.limits.known_item import KnownItem

URGENT_EVERY_MS = 250
"""Faults and push-backs travel so often at most: a fleet that fails must not fight over one item. Cool-downs and probes
travel at once."""

MANY = MIN_CALLS // 2
"""So many faults and push-backs at once, too: two workers' are enough to open the breaker."""

REPORT_EVERY_MS = 1_000
"""Good news travels this often, if there is any; more seldom where there are many workers."""

REPORTS_A_SECOND = 100
"""Good news of all workers together."""

UNSENT = (StateSilent, StateThrottled, StateRefused)
"""After these nothing was counted; after any other failure it may have been, and is not counted again."""


class Reports:
    """It outlives a batch: what is not urgent goes with the next one. `also_alive_ms` tells when the state table was in
    reach by what another item says.
    """

    def __init__(
        self,
        item: KnownItem,
        bounds: Bounds,
        *,
        share: float,
        now_ms: Callable[[], int],
        also_alive_ms: Callable[[], int],
    ) -> None:
        self._item = item
        self._bounds = bounds
        self._seldom_ms = max(REPORT_EVERY_MS, round(1_000 / REPORTS_A_SECOND / share))
        self._now_ms = now_ms
        self._also_alive_ms = also_alive_ms
        self._pending: Tally = NOTHING
        self._about = 0
        """The generation of the limit that the pending push-backs are about."""
        self._told_ms = 0

    @property
    def is_of_all(self) -> bool:
        """Whether the fleet should know something at once."""
        return self._pending.is_of_all

    def is_due(self, *, last: bool) -> bool:
        """Whether the fleet should be told now. `last`: the batch is done."""
        tally, since_ms = self._pending, self._now_ms() - self._told_ms
        at_once = tally.is_of_all or tally.faults + tally.refused >= MANY or (last and tally.is_urgent)
        due = at_once or since_ms >= (URGENT_EVERY_MS if tally.is_urgent else self._seldom_ms)
        return tally != NOTHING and due and self._now_ms() >= self._item.silent_until_ms

    def note(self, tally: Tally) -> None:
        """Remember what a call came to. What pushed back a call that began before the limit was lowered is an echo."""
        self._drop_echo()
        if tally.refused and self._item.is_echo(self._now_ms() - tally.took_ms):
            tally = replace(tally, refused=0)
        self._pending += tally
        self._about = self._item.flow.generation

    def _drop_echo(self) -> None:
        """Push-backs that waited to be told while the limit was lowered for others' are about the one before."""
        if self._about != self._item.flow.generation:
            self._pending = replace(self._pending, refused=0)

    async def tell(self) -> None:
        """Tell the fleet what calls came to. Raises StateUnavailable."""
        self._drop_echo()
        tally = self._pending
        if not tally.is_of_all:
            await self.add({})
            return
        self._pending, self._told_ms = tally.counted, self._now_ms()
        try:
            if tally.cool_until_ms and await self._item.raise_to(
                tally.cool_until_ms, tally.counted.counts(self._item.flow)
            ):
                self._pending = NOTHING
            if tally.probe is not None or tally.asks_long:
                await self._item.change(lambda flow: (self._after(flow, tally), None))
        except StateUnavailable:  # a probe that nobody heard of ends with its lease
            self._pending += replace(tally.of_all, probe=None, said="")
            raise
        await self._fold_if_due()

    async def add(self, numbers: Mapping[str, int]) -> Mapping[str, int]:
        """Ask for numbers, and tell with it what calls came to; gives the counts as the asking left them. Others may
        have asked since. Raises StateUnavailable.
        """
        self._drop_echo()
        tally = self._pending
        counts = {**numbers, **tally.counts(self._item.flow)}
        self._pending, self._told_ms = tally.of_all, self._now_ms()
        given: Mapping[str, int] = {}
        try:
            if counts:
                given = await self._item.add(counts)
        except UNSENT:
            self._pending += tally.counted
            raise
        await self._fold_if_due()
        return given

    def _after(self, flow: Flow, tally: Tally) -> Flow:
        """The agreement after a probe, or after an answer that asks everybody to wait for long."""
        now_ms = self._now_ms()
        if tally.probe is not None:
            flow = agreement.probed(flow, self._bounds, delivered=tally.probe, said=tally.said, now_ms=now_ms)
        return agreement.asked_long(flow, tally.cool_until_ms, now_ms=now_ms) if tally.asks_long else flow

    async def _fold_if_due(self) -> None:
        """Whoever sees that a step is due takes it, or that the breaker would open."""

        def folded(flow: Flow) -> tuple[Flow, None]:
            if not self._is_due(flow):
                return flow, None
            also_ms = self._also_alive_ms()
            return agreement.fold(flow, self._bounds, now_ms=self._now_ms(), also_alive_ms=also_ms), None

        if self._is_due(self._item.flow):
            with suppress(StateUnavailable):  # what was counted stands there for the next one who looks
                await self._item.change(folded)

    def _is_due(self, flow: Flow) -> bool:
        """Whether something is to be written into the value: of an item that no other one speaks for, its first sign of
        life, too.
        """
        is_first = flow.alive_ms == self._also_alive_ms() == 0
        return is_first or agreement.is_due(flow, self._bounds, now_ms=self._now_ms())
