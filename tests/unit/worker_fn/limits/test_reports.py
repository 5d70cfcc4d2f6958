import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest

from shared.errors import StateThrottled, StateUnavailable
from shared.state import FLOW, PARTNER
from worker_fn.limits.adaptive import STEP_MS, Bounds
from worker_fn.limits.breaker import MIN_CALLS
from worker_fn.limits.flow import FAULTS, Flow, Tally
from worker_fn.limits.known_item import KnownItem
from worker_fn.limits.reports import REPORT_EVERY_MS, URGENT_EVERY_MS, Reports

LIMIT = 50.0


class Worker:
    """One environment's reports, and what it knows of the fleet."""

    def __init__(self, fleet: Any, share: float = 0.5) -> None:
        now_ms = lambda: int(fleet.clock.now_s * 1_000)  # noqa: E731
        self.item = KnownItem(state=fleet.state, key=PARTNER, bounds=Bounds(LIMIT), now_ms=now_ms, rng=random.Random(1))
        self.reports = Reports(self.item, share=share)

    def tell(self, *tallies: Tally) -> None:
        for tally in tallies:
            self.reports.note(tally)
        asyncio.run(self.reports.tell())


def known(fleet: Any) -> Flow:
    return Flow.of(fleet.state.items[PARTNER, FLOW])


def test_good_news_is_told_now_and_then(fleet: Any) -> None:
    """Successes are reported now and then, more rarely the more workers there are; faults within a quarter of a second,
    and many at once.
    """
    few, many = Worker(fleet).reports, Worker(fleet, share=0.001).reports
    for one in (few, many):
        asyncio.run(one.add({"w1": 1}))
        one.note(Tally(delivered=1))
        assert not one.is_due(last=True)
    fleet.clock.now_s += REPORT_EVERY_MS / 1_000 - 0.01
    assert not few.is_due(last=True)
    fleet.clock.now_s += 0.01
    assert (few.is_due(last=False), many.is_due(last=False)) == (True, False)
    fleet.clock.now_s += 9
    assert many.is_due(last=False)
    for trouble in (Tally(refused=1), Tally(faults=1)):
        asyncio.run(few.add({}))
        few.note(trouble)
        assert (few.is_due(last=False), few.is_due(last=True)) == (False, True)
    fleet.clock.now_s += URGENT_EVERY_MS / 1_000
    assert few.is_due(last=False)
    asyncio.run(few.add({}))
    few.note(Tally(faults=MIN_CALLS))
    assert few.is_due(last=False)


@pytest.mark.parametrize(("error", "counted"), [(StateThrottled, 2), (StateUnavailable, 1)])
def test_what_may_have_been_counted_is_not_counted_again(fleet: Any, error: type[Exception], counted: int) -> None:
    """After a throttle counts go with the next report; after a lost answer they do not, because they may have been
    counted.
    """
    worker = Worker(fleet)
    fleet.state.down, fleet.state.error = True, error
    with pytest.raises(error):
        worker.tell(Tally(faults=1))
    fleet.state.down = False
    worker.tell(Tally(faults=1))
    assert known(fleet).breaker.faults + known(fleet).counts.get(FAULTS, 0) == counted


def test_a_cool_down_is_told_until_somebody_heard(fleet: Any) -> None:
    """A cool-down is reported until a write succeeds, because writing it again changes nothing."""
    worker, until_ms = Worker(fleet), int(fleet.clock.now_s * 1_000) + 9_000
    fleet.state.down = True
    with pytest.raises(StateUnavailable):
        worker.tell(Tally(refused=1, cool_until_ms=until_ms))
    fleet.state.down = False
    fleet.clock.now_s += 1
    assert worker.reports.is_due(last=False)
    worker.tell()
    assert known(fleet).cool_until_ms == until_ms


def test_a_shorter_cool_down_loses_no_counts(fleet: Any) -> None:
    """If a longer cool-down is stored already, the counts go with the next report."""
    longer, shorter = Worker(fleet), Worker(fleet)
    until_ms = int(fleet.clock.now_s * 1_000) + 9_000
    longer.tell(Tally(refused=1, cool_until_ms=until_ms))
    shorter.tell(Tally(refused=1, cool_until_ms=until_ms - 1))
    shorter.tell()
    pushed_back = known(fleet).limit.pushed_back + known(fleet).counts.get("p0", 0)
    assert (known(fleet).cool_until_ms, pushed_back) == (until_ms, 2)


def test_what_is_noted_while_a_cool_down_is_written_is_told_too(fleet: Any) -> None:
    """Results that are noted while a cool-down is written are reported, too."""
    worker, raise_to = Worker(fleet), fleet.state.raise_to

    async def raise_late(*arguments: Any, **named: Any) -> Any:
        worker.reports.note(Tally(refused=1))
        return await raise_to(*arguments, **named)

    fleet.state.raise_to = raise_late
    worker.tell(Tally(refused=1, cool_until_ms=int(fleet.clock.now_s * 1_000) + 9_000))
    worker.tell()
    assert known(fleet).limit.pushed_back + known(fleet).counts.get("p0", 0) == 2


def test_whoever_sees_that_a_step_is_due_takes_it_once(fleet: Any) -> None:
    """Push-backs that two workers report for one step lower the limit once; later ones of the same calls do not."""
    first, second = Worker(fleet), Worker(fleet)
    first.tell(Tally(delivered=1))
    fleet.clock.now_s += STEP_MS / 1_000
    second.reports.note(Tally(refused=3))
    first.tell(Tally(refused=3))
    asyncio.run(second.item.look(by_ms=2**62))
    second.tell()
    fleet.clock.now_s += STEP_MS / 1_000
    first.tell(Tally(delivered=9))
    assert known(fleet).generation == 1


def test_what_pushed_back_a_call_from_before_the_limit_was_lowered_is_not_told(fleet: Any) -> None:
    """It began at a limit that nobody keeps to any more; one that began since speaks of the limit as it is."""
    worker = Worker(fleet)
    worker.tell(Tally(delivered=1))
    fleet.clock.now_s += 1
    asyncio.run(worker.item.change(lambda flow: (replace(flow, generation=1), None)))
    for pushed_back in (0, 1):
        worker.tell(Tally(refused=1, took_ms=500))
        assert known(fleet).limit.pushed_back + known(fleet).counts.get("p1", 0) == pushed_back
        fleet.clock.now_s += 0.6


def test_who_has_nothing_to_tell_takes_a_step_that_is_due(fleet: Any) -> None:
    """Push-backs of a window in which nothing arrived are not mixed with what arrives after the cool-down."""
    worker, idle = Worker(fleet), Worker(fleet)
    worker.tell(Tally(delivered=1))
    worker.tell(Tally(refused=9))
    fleet.clock.now_s += STEP_MS / 1_000
    assert idle.reports.is_due(last=True)
    idle.tell()
    assert known(fleet).limit.per_second == 0.9 * LIMIT


def test_a_report_within_a_step_is_one_write(fleet: Any) -> None:
    """The value stays as it is until somebody sees that a step is due."""
    worker = Worker(fleet)
    worker.tell(Tally(delivered=1))
    before = fleet.state.items[PARTNER, FLOW].rev
    worker.tell(Tally(delivered=1))
    assert fleet.state.items[PARTNER, FLOW].rev == before
    fleet.clock.now_s += STEP_MS / 1_000
    worker.tell(Tally(delivered=1))
    assert fleet.state.items[PARTNER, FLOW].rev > before


def test_a_table_that_is_left_alone_is_told_nothing(fleet: Any) -> None:
    """However urgent: it goes with the first report that the table may be asked for again."""
    worker = Worker(fleet)
    worker.reports.note(Tally(faults=MIN_CALLS))
    worker.item.silent_until_ms = int(fleet.clock.now_s * 1_000) + 500
    assert not worker.reports.is_due(last=True)
    fleet.clock.now_s += 0.5
    assert worker.reports.is_due(last=False)


def test_the_breaker_opens_with_the_fault_that_is_one_too_many(fleet: Any) -> None:
    """The breaker opens with the fault that reaches the bound, whichever worker reports it."""
    first, second = Worker(fleet), Worker(fleet)
    first.tell(*[Tally(faults=1)] * (MIN_CALLS - 1))
    assert not known(fleet).breaker.is_open
    second.tell(Tally(faults=1))
    assert known(fleet).breaker.is_open
