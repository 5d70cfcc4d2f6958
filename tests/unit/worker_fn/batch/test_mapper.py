"""How long one message may take to be mapped."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from partners import Delivery
from shared.errors import Unmappable
from shared.firehose import Request
from testkit.records import record
from tests.fakes.echo import Echo
from worker_fn.batch.job import Job
from worker_fn.batch.mapper import Mapper
from worker_fn.batch.ordering import Ordering
from worker_fn.batch.record import Record
from worker_fn.batch.time_budget import TimeBudget


class Watch:
    """A stopwatch whose time passes when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def takes(self, seconds: float) -> Callable[[], str]:
        def work() -> str:
            self.now_s += seconds
            return "mapped"

        return work


def made(fleet: Any, watch: Watch, *, time_s: float = 60.0) -> tuple[Job, Mapper]:
    job, worker = Job(Record({})), replace(fleet.worker, stopwatch=watch)
    return job, Mapper(
        [job], Ordering([job], in_groups=False, in_lanes=False), worker, TimeBudget(lambda: time_s, 10.0)
    )


def test_work_within_its_time_gives_what_it_comes_to(fleet: Any) -> None:
    """Work that ends within its time returns its result, and its time is counted, up to a fifth of the batch's."""
    watch = Watch()
    job, mapper = made(fleet, watch)
    assert mapper.spend(job, watch.takes(10.0)) == "mapped"
    assert (job.took_s, job.is_stopped) == (10.0, False)


def test_pieces_of_a_message_count_together(fleet: Any) -> None:
    """A message that is mapped bit by bit has one time for all."""
    watch = Watch()
    job, mapper = made(fleet, watch)
    mapper.spend(job, watch.takes(6.0))
    with pytest.raises(Unmappable, match="longer than 10 s"):
        mapper.spend(job, watch.takes(6.0))


def test_without_time_nothing_is_begun(fleet: Any) -> None:
    """If no time is left a message is not mapped, and waits."""
    watch = Watch()
    job, mapper = made(fleet, watch, time_s=9.0)
    assert mapper.spend(job, watch.takes(1.0)) is None
    assert (job.took_s, job.is_stopped, job.end) == (0, True, None)


class Slow(Echo):
    """Takes nine seconds for each event that says so."""

    def __init__(self, clock: Any = None) -> None:
        self.clock = clock

    def deliveries(self, request: Request) -> Iterator[Delivery]:
        for delivery in super().deliveries(request):
            self.clock.now_s += 9 * (b"slow" in delivery.body)
            yield delivery


@pytest.mark.parametrize("in_groups", [False, True])
def test_slow_messages_leave_their_neighbours_time_for_calls(make_fleet: Any, in_groups: bool) -> None:
    """Slow mappings together leave time for calls, though each may take a fifth of the batch's time."""
    partner = Slow()
    fleet = make_fleet(partner, in_groups=in_groups)
    partner.clock = fleet.clock
    worker = replace(fleet.worker, stopwatch=lambda: fleet.clock.now_s)
    names = ["200"] * 3 + ["200|slow"] * 7
    batch = [record(number, [name], group=f"g-{number}") for number, name in enumerate(names)]
    report = fleet.run(*batch, worker=worker, time_s=60.0)
    assert (report.delivered, report.waiting) == (7, 3)
    assert fleet.api.ids[:3] == ["0.0", "1.0", "2.0"]
