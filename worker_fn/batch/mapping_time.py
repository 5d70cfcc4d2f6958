"""The share of its batch's time in which one message may be decoded and mapped."""

from collections.abc import Callable
from typing import TypeVar

from shared.errors import Unmappable
from worker_fn.batch.job import Job
from worker_fn.batch.time_budget import TimeBudget
from worker_fn.batch.time_limit import OutOfTime, at_most

T = TypeVar("T")


class MappingTime:
    """`most_s` is the time that one message may take in all; `stopwatch` measures it."""

    def __init__(self, budget: TimeBudget, stopwatch: Callable[[], float]) -> None:
        self.most_s = budget.for_one_mapping_s()
        self._budget = budget
        self._stopwatch = stopwatch

    def spend(self, job: Job, work: Callable[[], T]) -> T:
        """Do some work on a message, within the time that it may take. Raises OutOfTime if this invocation's time ends
        before, and Unmappable if the work takes too long, even if it could not be interrupted.
        """
        left_s, allowed_s = self._budget.for_calls_s(), self.most_s - job.took_s
        if left_s <= 0:
            raise OutOfTime
        began_s, done = self._stopwatch(), None
        try:
            with at_most(min(left_s, allowed_s)):
                done = [work()]
        except OutOfTime:
            pass
        job.took_s += self._stopwatch() - began_s
        if job.took_s > self.most_s or (done is None and 0 < allowed_s <= left_s):
            raise Unmappable(f"it took longer than {self.most_s:.3g} s to map")
        if done is None:
            raise OutOfTime
        return done[0]
