"""What one message may take to be mapped."""

from collections.abc import Callable

import pytest

from shared.errors import Unmappable
from worker_fn.batch.job import Job
from worker_fn.batch.mapping_time import MappingTime
from worker_fn.batch.time_budget import TimeBudget
from worker_fn.batch.time_limit import OutOfTime


class Watch:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def takes(self, seconds: float) -> Callable[[], str]:
        def work() -> str:
            self.now_s += seconds
            return "mapped"

        return work


def test_work_within_its_time_gives_what_it_comes_to() -> None:
    """And what it took is counted."""
    watch, job = Watch(), Job({})
    limit = MappingTime(TimeBudget(lambda: 60.0, 10.0), watch)
    assert limit.spend(job, watch.takes(2.0)) == "mapped"
    assert (limit.most_s, job.took_s) == (10.0, 2.0)


def test_pieces_of_a_message_count_together() -> None:
    """A message that is mapped bit by bit has one time for all."""
    watch, job = Watch(), Job({})
    limit = MappingTime(TimeBudget(lambda: 60.0, 10.0), watch)
    limit.spend(job, watch.takes(6.0))
    with pytest.raises(Unmappable, match="longer than 10 s"):
        limit.spend(job, watch.takes(6.0))


def test_without_time_nothing_is_begun() -> None:
    """The message is not at fault: it waits."""
    watch, job = Watch(), Job({})
    limit = MappingTime(TimeBudget(lambda: 9.0, 10.0), watch)
    with pytest.raises(OutOfTime):
        limit.spend(job, watch.takes(1.0))
    assert job.took_s == 0
