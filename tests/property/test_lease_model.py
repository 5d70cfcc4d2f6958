"""The lease against a model: workers with stale knowledge and clocks that differ write in any order, and may die.

An addition is made whoever else made one, its answer may be lost, and it may be made twice. A change of the value is
written only if nobody changed it meanwhile; if somebody did, it is made anew of what stands there. Time passes between
every two steps.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.state import Conflict, Item
from testkit import updates
from worker_fn.limits import agreement as agreed
from worker_fn.limits import breaker, windows
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.flow import Flow, Tally
from worker_fn.limits.lease import Lease
from worker_fn.limits.ruling import PROBE, UNLIMITED, AtRate, ruling

START_MS = 1_790_000_000_000
WORKERS = 4
SLACK_MS = 4_000
"""The clocks' disagreement, twice."""
PROBE_LEASE_MS = 30_000


@dataclass
class Worker:
    """One environment: its clock's error, what it saw last, and what it holds."""

    name: str
    skew_ms: int = 0
    seen: Item = field(default_factory=Item)
    lease: Lease = field(default_factory=Lease)
    probe_until_ms: int = 0

    @property
    def flow(self) -> Flow:
        return Flow.of(self.seen)


workers = st.integers(0, WORKERS - 1)


class Leases(RuleBasedStateMachine):
    """`given` is the model's own account: whose each number of each second is."""

    @initialize(
        limit=st.sampled_from([1.0, 2.25, 7.0, 50.0]),
        skews=st.lists(st.integers(-2_000, 2_000), min_size=WORKERS, max_size=WORKERS),
    )
    def begin(self, limit: float, skews: list[int]) -> None:
        self.now_ms = START_MS
        self.bounds = Bounds(highest=limit, lowest=min(1.0, limit))
        self.item = Item()
        self.workers = [Worker(f"{index}", skew_ms=skew) for index, skew in enumerate(skews)]
        self.given: set[tuple[int, int]] = set()
        self.started: Counter[int] = Counter()

    def clock(self, worker: Worker) -> int:
        return self.now_ms + worker.skew_ms

    def change(self, worker: Worker, function: Callable[[Flow], Flow]) -> None:
        """Write what a function makes of what was seen, or of what stands there if somebody was first."""
        seen = worker.seen
        for _ in range(2):
            after = function(Flow.of(seen)).written_to(seen)
            counts = {name: count - seen.counts.get(name, 0) for name, count in after.counts.items()}
            drop = set(seen.counts) - set(after.counts)
            try:
                self.item = worker.seen = updates.swapped(self.item, seen, after.value, counts, drop)
            except Conflict as conflict:
                seen = conflict.current
            else:
                return

    # --- what workers do ------------------------------------------------------------------------------------------

    @rule(index=workers)
    def look(self, index: int) -> None:
        self.workers[index].seen = self.item

    @rule(
        index=workers,
        wanted=st.integers(1, 60),
        ahead_ms=st.integers(100, 15_000),
        most=st.integers(1, 30),
        becomes=st.sampled_from(["answered"] * 6 + ["doubled", "lost"]),
    )
    def ask(self, index: int, wanted: int, ahead_ms: int, most: int, becomes: str) -> None:
        """Ask for numbers by what was seen, however old that is."""
        worker = self.workers[index]
        now_ms = self.clock(worker)
        ruled = ruling(worker.flow, self.bounds, now_ms=now_ms)
        assert ruled != UNLIMITED, "where a rate is declared nobody calls freely"
        if not isinstance(ruled, AtRate):
            return
        asked = windows.plan(
            worker.flow.counts,
            limit=ruled.limit,
            now_ms=now_ms,
            until_ms=now_ms + ahead_ms,
            wanted=wanted,
            most_a_window=most,
        )
        counts = {windows.name_of(window): count for window, count in asked.items()}
        over = windows.over(worker.flow.counts, now_ms)
        for _ in range(2 if becomes == "doubled" else 1):
            self.item = updates.added(self.item, counts, over)
        if becomes == "lost":
            return
        worker.seen = self.item
        numbers = set(windows.numbers(self.item.counts, asked))
        usable = {one for one in numbers if one[0] * 1_000 > self.now_ms - windows.SKEW_MS}
        assert not usable & self.given, "no number is given twice"
        self.given |= usable
        worker.lease.keep(numbers, limit=worker.flow.rate(self.bounds) or 0.0, now_ms=now_ms)

    @rule(
        index=workers,
        delivered=st.integers(0, 5),
        refused=st.integers(0, 9),
        faults=st.integers(0, 12),
        cool_s=st.sampled_from([0, 0, 0, 2, 30]),
    )
    def tell(self, index: int, delivered: int, refused: int, faults: int, cool_s: int) -> None:
        """Tell what calls came to, and take a step that is due."""
        worker = self.workers[index]
        now_ms, before = self.clock(worker), Flow.of(self.item)
        counts = Tally(delivered=delivered, refused=refused, faults=faults).counts(worker.flow)
        try:
            if cool_s:
                worker.seen = self.item = updates.raised(self.item, now_ms + 1_000 * cool_s, now_ms, counts)
            else:
                worker.seen = self.item = updates.added(self.item, counts, ())
        except Conflict as conflict:
            worker.seen = conflict.current
        if worker.probe_until_ms > self.now_ms:
            arrived, worker.probe_until_ms = faults == 0, 0
            self.change(worker, lambda flow: agreed.answered(flow, Tally(probe=arrived), self.bounds, now_ms=now_ms))
        elif agreed.is_due(worker.flow, self.bounds, now_ms=now_ms):
            self.change(worker, lambda flow: agreed.fold(flow, self.bounds, now_ms=now_ms))
        assert Flow.of(self.item).cool_until_ms >= before.cool_until_ms, "a cool-down never gets shorter"

    @rule(index=workers, lost=st.booleans())
    def probe(self, index: int, lost: bool) -> None:
        """Lease the probe of an open breaker; a worker whose answer was lost knows its lease again."""
        worker = self.workers[index]
        now_ms = self.clock(worker)
        got: list[bool] = []

        def leased(flow: Flow) -> Flow:
            ours = breaker.holds_probe(flow.breaker, now_ms=now_ms, by=worker.name)
            due = ruling(flow, self.bounds, now_ms=now_ms) == PROBE
            got.append(ours or due)
            if not due:
                return flow
            after = breaker.lease_probe(flow.breaker, now_ms=now_ms, by=worker.name, lease_ms=PROBE_LEASE_MS)
            return replace(flow, breaker=after)

        self.change(worker, leased)
        if got[-1] and not lost:
            others = [one for one in self.workers if one is not worker and one.probe_until_ms - SLACK_MS > self.now_ms]
            assert others == [], "one probe at a time"
            worker.probe_until_ms = Flow.of(self.item).breaker.probe_until_ms - worker.skew_ms

    @rule(index=workers, count=st.integers(1, 20))
    def call(self, index: int, count: int) -> None:
        """Start calls at their moments, as far as they have come."""
        worker = self.workers[index]
        now_ms, limit = self.clock(worker), worker.flow.rate(self.bounds)
        for _ in range(count):
            start = worker.lease.take(now_ms=now_ms, not_before_ms=worker.flow.cool_until_ms, limit=limit)
            if start is None:
                return
            if start.ms > now_ms + 1_000:
                worker.lease.keep([(start.window, start.number)], limit=limit, now_ms=now_ms)
                return
            assert worker.flow.cool_until_ms <= start.ms
            self.started[start.window] += 1

    @rule(index=workers)
    def die(self, index: int) -> None:
        """Lose everything: what it holds, a probe, what it saw."""
        before = self.workers[index]
        self.workers[index] = Worker(f"{before.name}'", skew_ms=before.skew_ms)

    @rule()
    def fall(self) -> None:
        """The partner falls over: the breaker opens, and its first pause passes."""
        worker = self.workers[0]
        self.change(worker, lambda flow: agreed.fold(flow.added({"tf": 40}), self.bounds, now_ms=self.clock(worker)))
        self.now_ms += 8_000

    @rule(passed_ms=st.one_of(st.integers(1, 900), st.integers(900, 40_000)))
    def wait(self, passed_ms: int) -> None:
        self.now_ms += passed_ms

    # --- what must hold -------------------------------------------------------------------------------------------

    @invariant()
    @precondition(lambda self: hasattr(self, "item"))
    def no_second_is_over_admitted(self) -> None:
        """What was started stays within the declared rate, second by second."""
        for window, count in self.started.items():
            assert count <= windows.quota(window, self.bounds.highest or 0.0)

    @invariant()
    @precondition(lambda self: hasattr(self, "item"))
    def what_all_know_holds(self) -> None:
        """Once all know of a limit, what is still held of a second to come fits into it."""
        limit = Flow.of(self.item).rate(self.bounds) or 0.0
        held: Counter[int] = Counter()
        for worker in self.workers:
            held.update(w for w, n in worker.lease._numbers if n < windows.quota(w, limit))
        for window, count in held.items():
            assert count <= windows.quota(window, limit)


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=300, stateful_step_count=60)
