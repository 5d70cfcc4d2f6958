"""The results of one environment's calls, on their way to the fleet."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

from shared.errors import StateRefused, StateSilent, StateThrottled, StateUnavailable
from shared.state import NO_COUNTS, Conflict
from worker_fn.limits import agreement
from worker_fn.limits.breaker import MIN_CALLS
from worker_fn.limits.flow import FAULTS, PUSHED, Flow, Tally
from worker_fn.limits.known_item import KnownItem

URGENT_EVERY_MS = 250
"""Faults and push-backs are reported this often at most: workers of a failing fleet must not contend for one item.
Cool-downs and probes are reported at once."""
MANY = MIN_CALLS // 2
"""This many faults and push-backs are reported at once, too: those of two workers are enough to open the breaker."""
REPORT_EVERY_MS = 1_000
"""Good results are reported this often, if there are any; less often where there are many workers."""
REPORTS_A_SECOND = 100
"""The most reports of good results a second, of all workers together."""
UNSENT = (StateSilent, StateThrottled, StateRefused, Conflict)
"""After these errors nothing was counted; after any other the results may have been, and are not counted again."""


class Reports:
    """The results that are still to be reported. They outlive a batch: what is not urgent goes with the next one's."""

    def __init__(self, item: KnownItem, *, share: float) -> None:
        self._item = item
        self._seldom_ms = max(REPORT_EVERY_MS, round(1_000 / REPORTS_A_SECOND / share))
        self._counts: Counter[str] = Counter()
        """Results of calls, as counts of the item. Push-backs count for the limit that was known at their time."""
        self.for_all: list[Tally] = []
        """Results that the fleet should know at once: a cool-down, or a probe's answer."""
        self._told_ms = 0

    def is_due(self, *, last: bool) -> bool:
        """Whether to report now. `last`: the batch is done."""
        now_ms = self._item.now_ms()
        if now_ms < self._item.silent_until_ms:
            return False
        trouble = sum(count for name, count in self._counts.items() if name == FAULTS or name[0] == PUSHED)
        if self.for_all or trouble >= MANY or (last and trouble):
            return True
        return now_ms - self._told_ms >= (URGENT_EVERY_MS if trouble else self._seldom_ms)

    def note(self, tally: Tally) -> None:
        """Remember a call's result. A push-back of a call begun before the limit was lowered is an echo: ignored."""
        if self._item.is_echo(self._item.now_ms() - tally.took_ms):
            tally = replace(tally, refused=0)
        self._counts.update(tally.counts(self._item.flow.added(self._counts)))
        if tally.is_for_all:
            self.for_all.append(tally)

    async def tell(self) -> None:
        """Report the results to the fleet. Raises StateUnavailable."""
        told, self.for_all = self.for_all, []
        until_ms = max((tally.cool_until_ms for tally in told), default=0)

        def after(flow: Flow) -> tuple[Flow, None]:
            for tally in told:
                flow = agreement.answered(flow, tally, self._item.bounds, now_ms=self._item.now_ms())
            return flow, None

        try:
            if until_ms:
                with suppress(Conflict), self._taken() as counts:
                    await self._item.raise_to(until_ms, counts)
            if any(tally.probe is not None or tally.asks_long for tally in told):
                await self._item.change(after)
        except StateUnavailable:  # a probe that is not reported ends with its lease
            self.for_all += [replace(tally, probe=None) for tally in told if tally.cool_until_ms]
            raise
        await self.add(NO_COUNTS)

    async def add(self, numbers: Mapping[str, int]) -> Mapping[str, int]:
        """Ask for numbers and report results in one write; returns the counts as that write left them, to which others
        may have added since. Raises StateUnavailable.
        """
        given: Mapping[str, int] = {}
        with self._taken() as counts:
            if asked := {**numbers, **counts}:
                given = await self._item.add(asked)
        with suppress(StateUnavailable):  # the counts stay in the item for the next worker that looks
            await self._item.change(self._stepped)
        return given

    @contextmanager
    def _taken(self) -> Iterator[Mapping[str, int]]:
        """The counts to report; kept for the next report if this one did not count them."""
        counts, self._counts, self._told_ms = self._counts, Counter(), self._item.now_ms()
        try:
            yield counts
        except UNSENT:
            self._counts.update(counts)
            raise

    def _stepped(self, flow: Flow) -> tuple[Flow, None]:
        """Take in the counts if a step of the limit is due, or the breaker would open."""
        bounds, now_ms = self._item.bounds, self._item.now_ms()
        is_first = self._item.of_partner is None and not flow.alive_ms  # no sign of life was ever left there
        is_due = is_first or agreement.is_due(flow, bounds, now_ms=now_ms)
        return (agreement.fold(flow, bounds, now_ms=now_ms) if is_due else flow), None
