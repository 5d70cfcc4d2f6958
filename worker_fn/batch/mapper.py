"""How much of a batch is mapped at a time: as much as the memory has room for, nearly always all of it, and for no
longer than one message may take.

Where there is no room, some deliveries of each message are mapped, sent and forgotten, then the next ones. Light
messages go first, so a heavy one costs itself time and its neighbours nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from shared.errors import Unmappable
from worker_fn.batch.alone import ends_alone
from worker_fn.batch.context import Worker
from worker_fn.batch.job import Job
from worker_fn.batch.memory import cost_of
from worker_fn.batch.ordering import Ordering
from worker_fn.batch.prepare import begin, let_go, read
from worker_fn.batch.time_budget import TimeBudget
from worker_fn.batch.time_limit import OutOfTime, at_most, ticking

T = TypeVar("T")

BODIES_SHARE = 1 / 8
"""The share of a batch's room that is kept for bodies, however much the requests take that are being mapped."""

TURN_S, TURNS = 0.1, 5
"""Between two messages, if this many seconds have passed, and after each part the event loop has this many turns,
enough to read an answer or to send a call: an answer left unread for long would count as a time-out of the partner.
"""


class Mapper:
    """Maps a batch, or one of its `parts`, each of which has its share of the room."""

    def __init__(
        self, jobs: Sequence[Job], ordering: Ordering, worker: Worker, budget: TimeBudget, *, parts: int = 1
    ) -> None:
        self._jobs = jobs
        self._ordering = ordering
        self._worker = worker
        self._budget = budget
        self._room = worker.room.batch // parts
        self._least = int(BODIES_SHARE * self._room)
        """Bytes that a round has for bodies in any case."""
        self._left = 0
        """Bytes of memory that are free for the round."""
        self._most_s = budget.for_one_mapping_s()
        self._turn_s = worker.stopwatch()
        """When the event loop last had its turns."""

    def read(self) -> None:
        """Decode all records. Payloads are kept while they fit into half of the room; the others are decoded again when
        it is their turn.
        """
        keeps, room, now_ms = self._room // 2, self._worker.room, self._worker.now_ms()
        with ticking():
            for job in self._jobs:
                if job.is_over:  # nobody can read it
                    continue
                with ends_alone(job):
                    self.spend(job, partial(read, job, room, now_ms=now_ms, keeps=keeps))
                keeps -= job.weight if job.holds else 0

    async def map(self) -> None:
        """Map as far as there is room: first some of each message, then the rest in turn. Answers to the calls that are
        under way are heard meanwhile. What is mapped once a single message's time has passed is sent before the rest is
        mapped, or slow messages would leave their neighbours no time for calls.
        """
        self._left = max(self._room - sum(job.weight for job in self._jobs if job.holds), self._least)
        jobs, began_s = self._ordering.in_turn(), self._worker.stopwatch()
        with ticking():
            for most in (self._left // max(1, len(jobs)), self._room):
                for job in jobs:
                    if job.end is None and not job.is_mapped and not job.is_stopped and self._may_go(job):
                        with ends_alone(job):
                            self._map(job, most)
                        if job.is_over:
                            drop(job)
                        now_s = self._worker.stopwatch()
                        if now_s - began_s > self._most_s and self._has_any():
                            return
                        if now_s - self._turn_s > TURN_S:
                            await give_turns()
                            self._turn_s = self._worker.stopwatch()

    def spend(self, job: Job, work: Callable[[], T]) -> T | None:
        """Do some work on a message, within the time that it may take in all. If this invocation's time ends before,
        the message stops, and None is returned. Raises Unmappable if it takes too long, even if it could not be
        interrupted.
        """
        left_s, allowed_s = self._budget.for_calls_s(), self._most_s - job.took_s
        done: list[T] = []
        if left_s > 0:
            began_s = self._worker.stopwatch()
            try:
                with at_most(min(left_s, allowed_s)):
                    done.append(work())
            except OutOfTime:
                pass
            job.took_s += self._worker.stopwatch() - began_s
            if job.took_s > self._most_s or (not done and 0 < allowed_s <= left_s):
                raise Unmappable(f"it took longer than {self._most_s:.3g} s to map")
        if done:
            return done[0]
        self.stop(job)
        return None

    def stop(self, job: Job) -> None:
        """Map nothing more of a message in this invocation, nor of those behind it."""
        self._ordering.stop(job)
        let_go(job)

    def _map(self, job: Job, most: int) -> None:
        """Map deliveries of a message until they take `most` bytes, or all the room that there is."""
        if not job.holds:
            if job.weight > self._left and not self._is_alone():
                return
            self._left = max(self._left - job.weight, 0) or self._least
        if self.spend(job, partial(self._pull, job, most)):
            self._left += job.weight
            job.is_mapped = True

    def _pull(self, job: Job, most: int) -> bool:
        """Ask for deliveries: at least for one if the whole batch has none. Returns whether there are no more."""
        if job.source is None:
            begin(job, self._worker)
        if not self._may_go(job):
            return False  # behind another one in its lane, which is known only now
        used = 0
        while (used < most and self._left > 0) or not self._has_any():
            item = next(job.source, None) if job.source is not None else None
            if item is None:
                job.source = None
                return True
            job.total += 1
            if not job.progress.settles(item.key):
                job.items.append(item)
                cost = cost_of(item.delivery.body)
                used, self._left = used + cost, self._left - cost
        return False

    def _may_go(self, job: Job) -> bool:
        """Whether a message may go now; a message behind one that waits is let go of."""
        may_go = self._ordering.may_go(job)
        if job.is_stopped:
            let_go(job)
        return may_go

    def _has_any(self) -> bool:
        return any(len(job.items) > job.sent for job in self._jobs)

    def _is_alone(self) -> bool:
        """Whether nothing else is being mapped or sent. What is merely decoded makes room: it can be decoded again."""
        if self._has_any() or any(job.source is not None for job in self._jobs):
            return False
        for job in self._jobs:
            let_go(job)
        return True


def drop(job: Job) -> None:
    """Let go of a message, and of its deliveries that were mapped but not sent: it has its end, or is not sent."""
    del job.items[job.sent :]
    let_go(job)


async def give_turns() -> None:
    """Let the calls that are under way go on."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
