"""The lease against a model: workers with stale knowledge and clocks that differ write in any order, and may die.

What a worker makes of an item is written only if nobody wrote meanwhile; if somebody did, it is made anew of what
stands there. Time passes between every two steps.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from worker_fn.limits import agreement as flows
from worker_fn.limits import windows as rate
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.agreement import Ask, Elsewhere, Flow, Leased, Permit, Probe, Tally, Unlimited
from worker_fn.limits.breaker import PROBE_LEASE_MS

START_MS = 1_790_000_000_000
WORKERS = 4

Change = Callable[[Flow], tuple[Flow, Any]]


@dataclass
class Worker:
    """One environment: its clock's error, what it read last, and what it is about to write."""

    skew_ms: int = 0
    rev: int = 0
    seen: Flow = field(default_factory=Flow)
    change: Change | None = None
    made: tuple[Flow, Any] | None = None
    tokens: dict[int, set[int]] = field(default_factory=dict)
    probe_until_ms: int = 0
    asked_ms: int = 0

    def make(self) -> None:
        """Apply the change to what was seen, through what the table would store."""
        assert self.change is not None
        seen = Flow.from_item(self.seen.to_item())
        self.made = self.change(seen)


workers = st.integers(0, WORKERS - 1)


class Leases(RuleBasedStateMachine):
    """`granted` is the model's own account of the tokens that were given out and not given back."""

    @initialize(
        limit=st.sampled_from([1.0, 2.25, 7.0, 50.0]),
        skews=st.lists(st.integers(-2_000, 2_000), min_size=WORKERS, max_size=WORKERS),
    )
    def begin(self, limit: float, skews: list[int]) -> None:
        self.now_ms = START_MS
        self.bounds = Bounds(highest=limit, lowest=min(1.0, limit))
        self.rev, self.flow = 0, Flow()
        self.workers = [Worker(skew_ms=skew) for skew in skews]
        self.granted: Counter[int] = Counter()
        self.used: Counter[int] = Counter()
        self.limits: dict[int, float] = {}

    def clock(self, worker: Worker) -> int:
        return self.now_ms + worker.skew_ms

    # --- what workers do ------------------------------------------------------------------------------------------

    @rule(index=workers)
    def look(self, index: int) -> None:
        """Read the item; a worker that has something to write goes on with what it read before."""
        worker = self.workers[index]
        if worker.change is None:
            worker.rev, worker.seen = self.rev, self.flow

    @rule(index=workers, wanted=st.integers(1, 60), ahead_ms=st.integers(100, 9_000), most=st.integers(1, 30))
    def ask(self, index: int, wanted: int, ahead_ms: int, most: int) -> None:
        """Prepare a lease on what was seen, however old that is."""
        worker = self.workers[index]
        if worker.change is None:
            now_ms = self.clock(worker)
            worker.asked_ms = now_ms
            ask = Ask(now_ms=now_ms, until_ms=now_ms + ahead_ms, wanted=wanted, most_a_window=most)
            worker.change = lambda flow: flows.lease(flow, ask, self.bounds)
            worker.make()

    @rule(
        index=workers,
        delivered=st.integers(0, 5),
        refused=st.integers(0, 3),
        faults=st.integers(0, 12),
        cool_s=st.sampled_from([0, 0, 0, 2, 30]),
    )
    def tell(self, index: int, delivered: int, refused: int, faults: int, cool_s: int) -> None:
        """Prepare a report of what calls came to."""
        worker = self.workers[index]
        if worker.change is None:
            now_ms = self.clock(worker)
            probed = worker.probe_until_ms > self.now_ms
            tally = Tally(
                delivered=delivered,
                refused=refused,
                faults=faults,
                cool_until_ms=now_ms + 1_000 * cool_s if cool_s else 0,
                probe=faults == 0 if probed else None,
            )
            worker.change = lambda flow: (flows.report(flow, tally, self.bounds, now_ms=now_ms), tally)
            worker.make()

    @rule(index=workers)
    def give_back(self, index: int) -> None:
        """Prepare to return what is left for windows that are still to come, as a batch does at its end."""
        worker = self.workers[index]
        now_ms = self.clock(worker)
        unused = {window: tuple(held) for window, held in worker.tokens.items() if window * 1_000 > now_ms and held}
        if worker.change is None and unused:
            for window in unused:
                del worker.tokens[window]
            tally = Tally(unused=unused)
            worker.change = lambda flow: (flows.report(flow, tally, self.bounds, now_ms=now_ms), tally)
            worker.make()

    @rule(index=workers)
    def write(self, index: int) -> None:
        """Write what was prepared, or prepare it anew if somebody was first."""
        worker = self.workers[index]
        if worker.change is None or worker.made is None:
            return
        if worker.rev != self.rev:
            worker.rev, worker.seen = self.rev, self.flow
            worker.make()
            return
        before, (after, result) = self.flow, worker.made
        if after != before:
            self.rev, self.flow = self.rev + 1, after
        worker.rev, worker.seen, worker.change, worker.made = self.rev, self.flow, None, None
        assert after.cool_until_ms >= before.cool_until_ms, "a cool-down never gets shorter"
        if isinstance(result, Permit | Elsewhere):
            self.permitted(worker, before, result)
        else:
            self.told(worker, result)

    @rule(index=workers, count=st.integers(1, 20))
    def call(self, index: int, count: int) -> None:
        """Start calls with the tokens of the present window."""
        worker = self.workers[index]
        window = self.clock(worker) // 1_000
        held = worker.tokens.get(window, set())
        for _ in range(min(count, len(held))):
            held.pop()
            self.used[window] += 1

    @rule(index=workers)
    def die(self, index: int) -> None:
        """Lose everything: tokens, a probe, what was about to be written."""
        self.workers[index] = Worker(skew_ms=self.workers[index].skew_ms)

    @rule(index=workers)
    def ask_at_once(self, index: int) -> None:
        """Look, ask and write with nobody in between."""
        self.look(index)
        self.ask(index, wanted=5, ahead_ms=3_000, most=5)
        self.write(index)

    @rule()
    def fall(self) -> None:
        """The partner falls over: the breaker opens, and its first pause passes."""
        told = Tally(faults=40)
        self.rev, self.flow = self.rev + 1, flows.report(self.flow, told, self.bounds, now_ms=self.now_ms)
        self.now_ms += 8_000

    @rule(passed_ms=st.one_of(st.integers(1, 900), st.integers(900, 40_000)))
    def wait(self, passed_ms: int) -> None:
        self.now_ms += passed_ms

    # --- what must hold -------------------------------------------------------------------------------------------

    def permitted(self, worker: Worker, before: Flow, permit: Permit | Elsewhere) -> None:
        """A lease was written: what it gave must have been free, and nothing else may forbid it."""
        if isinstance(permit, Probe | Leased):
            assert before.cool_until_ms <= worker.asked_ms, "a cool-down binds every lease, a probe's as well"
        if isinstance(permit, Probe):
            assert before.breaker.is_open
            slack_ms = 4_000  # the clocks' disagreement: the lease ran out by the clock of the one that takes it
            others = [one for one in self.workers if one is not worker and one.probe_until_ms - slack_ms > self.now_ms]
            assert others == [], "one probe at a time"
            worker.probe_until_ms = worker.asked_ms - worker.skew_ms + PROBE_LEASE_MS
            return
        assert not isinstance(permit, Unlimited), "where a rate is declared there is none to be had without tokens"
        if not isinstance(permit, Leased):
            return  # a wait; or after a silence nothing is leased: everybody keeps to its share
        assert not before.breaker.is_open
        for window, numbers in permit.tokens.items():
            assert numbers
            assert len(set(numbers)) == len(numbers)
            if window < self.clock(worker) // 1_000:
                continue  # it took so long to write that the window is over: nobody can use it
            taken = {number for one in self.workers for number in one.tokens.get(window, ())}
            if permit.limit == self.limits.setdefault(window, permit.limit):
                assert not taken & set(numbers), "no moment is given to two"
            self.granted[window] += len(numbers)
            worker.tokens.setdefault(window, set()).update(numbers)
            quota = rate.quota(window, self.flow.limit.per_second or 0.0)
            assert self.granted[window] <= quota, "no window is given away twice"

    def told(self, worker: Worker, tally: Tally) -> None:
        """A report was written: tokens that went back are free again, a probe that ended is nobody's."""
        if tally.probe is not None:
            worker.probe_until_ms = 0
        for window, numbers in tally.unused.items():
            self.granted[window] -= len(numbers)

    @invariant()
    @precondition(lambda self: hasattr(self, "flow"))
    def no_window_is_over_admitted(self) -> None:
        """What was started and what may still be started stays within the declared rate, window by window."""
        held: Counter[int] = Counter()
        for worker in self.workers:
            present = self.clock(worker) // 1_000
            held += Counter({window: len(one) for window, one in worker.tokens.items() if window >= present})
        for window in set(self.used) | set(held):
            assert self.used[window] + held[window] <= rate.quota(window, self.bounds.highest or 0.0)

    @invariant()
    @precondition(lambda self: hasattr(self, "flow"))
    def books_are_right(self) -> None:
        """The books agree with the model in every window that somebody may still use."""
        oldest = (self.now_ms - 2_000) // 1_000
        for window, count in self.granted.items():
            if window >= oldest and self.rev:
                book = self.flow.books.get(window, rate.Book())
                assert book.given - len(book.back) >= count


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=300, stateful_step_count=60)
