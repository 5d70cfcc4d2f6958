"""How far a batch is mapped at a time: as far as there is room in the memory, which is nearly always to its end.

Where there is not, the batch goes in rounds: some deliveries of each message are mapped, sent and forgotten, then the
next ones. Light messages go first, so a heavy one costs itself time and its neighbours nothing. The order of a FIFO
group holds, and messages of one lane go before or behind each other, never beside.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from partners import Delivery, Partner
from worker_fn.accounts.suspensions import Place
from worker_fn.batch.alone import ends_alone
from worker_fn.batch.context import Worker
from worker_fn.batch.job import Job
from worker_fn.batch.mapping_time import MappingTime
from worker_fn.batch.memory import cost_of
from worker_fn.batch.ordering import LaneKey, Ordering
from worker_fn.batch.prepare import begin, close, read, weigh
from worker_fn.batch.time_budget import TimeBudget
from worker_fn.batch.time_limit import OutOfTime, at_most, bell
from worker_fn.dispatch.lanes import Lane, holds_up

T = TypeVar("T")

MESSAGES_A_PART = 16
"""So many messages are decoded and mapped in two milliseconds of a whole core: until then connections are idle."""

TURN_S, TURNS = 0.1, 5
"""After so long between two messages, and after each part, the loop has as many turns as an answer takes to be heard,
or a call to leave: an answer that nobody hears for long would count as a time-out of the partner.
"""

BODIES_SHARE = 1 / 8
"""The share of a batch's room that is kept for bodies, however much the requests take that are being mapped."""

CLOSING_S = 1.0
"""The time for closing a generator that is not asked any more: it has nothing left to do."""

GONE = Delivery("", b"", "")
"""In place of a delivery that will not be sent any more in this invocation."""


@dataclass(slots=True)
class Rounds:
    """A batch's jobs, and how far each is mapped."""

    jobs: Sequence[Job]
    worker: Worker
    budget: TimeBudget
    parts: int = 1
    """Of so many parts of a batch this is one: each has its share of the room."""
    _room: int = field(init=False)
    _time: MappingTime = field(init=False)
    _ordering: Ordering = field(init=False)
    _left: int = field(init=False, default=0)
    """Bytes of memory that are free for the round."""
    _turn_s: float = field(init=False)
    """When the loop had its turns last."""
    _least: int = field(init=False)
    """Bytes that a round has for bodies, however much the requests take that are being mapped."""

    def __post_init__(self) -> None:
        self._room = self.worker.room.batch // self.parts
        self._least = int(BODIES_SHARE * self._room)
        self._time = MappingTime(self.budget, self.worker.stopwatch)
        self._turn_s = self.worker.stopwatch()
        partner, in_groups = self.worker.partner, self.worker.in_groups
        self._ordering = Ordering(self.jobs, in_groups=in_groups, in_lanes=partner.in_order)

    @classmethod
    def of_batch(cls, jobs: Sequence[Job], worker: Worker, budget: TimeBudget) -> "list[Rounds]":
        """The batch in parts, so that the first calls leave before the rest is decoded; as a whole where messages have
        an order or travel together, and where they are heavy.
        """
        for job in jobs:
            with ends_alone(job):
                weigh(job, worker.room)
        partner, most = worker.partner, MESSAGES_A_PART
        has_lanes = worker.in_groups or type(partner).lane_of is not Partner.lane_of
        is_heavy = sum(job.weight for job in jobs) > worker.room.batch // 2
        if has_lanes or partner.limits.bulk or is_heavy or len(jobs) <= most:
            return [cls(jobs, worker, budget)]
        parts = [jobs[start : start + most] for start in range(0, len(jobs), most)]
        return [cls(part, worker, budget, len(parts)) for part in parts]

    def read(self) -> None:
        """Decode all records. Payloads are kept as long as they take half of the room; the others are decoded again
        when it is their turn.
        """
        keeps = self._room // 2
        with bell():
            for job in self.jobs:
                if job.is_over:  # nobody can read it
                    continue
                with ends_alone(job):
                    self._in_time(job, partial(self._read, job, keeps))
                keeps -= job.weight if job.holds else 0

    async def map(self) -> None:
        """Map as far as there is room: first some of each message, then the rest in turn. Answers to the calls that are
        under way are heard meanwhile.
        """
        self._left = max(self._room - sum(job.weight for job in self.jobs if job.holds), self._least)
        jobs = self._ordering.in_turn()
        share = self._left // max(1, len(jobs))
        with bell():
            for most in (share, self._room):
                for job in jobs:
                    if job.end is None and not job.is_mapped and not job.is_stopped and self._may_go(job):
                        with ends_alone(job):
                            self._map(job, most)
                        if job.is_over:
                            self._drop(job)
                        if self.worker.stopwatch() - self._turn_s > TURN_S:
                            await give_turns()
                            self._turn_s = self.worker.stopwatch()

    def let_go(self) -> None:
        """Forget messages that are not sent in this invocation: they have an end, or suspended credentials."""
        for job in self.jobs:
            if job.is_over or job.place is not Place.SEND:
                self._drop(job)

    def lanes(self) -> list[Lane]:
        """This round's deliveries. A message's go one after the other, or each for itself; a FIFO group's messages are
        one lane, and so are those for which the partner names one.
        """
        own: list[Lane] = []
        named: dict[LaneKey, Lane] = {}
        # At most one message of a lane is half mapped: it goes last.
        for job in sorted(self._sending(), key=lambda job: not job.is_mapped):
            account_id, items, key = job.message.account_id, job.items[job.sent :], self._ordering.lane_of(job)
            if key is not None:
                named.setdefault(key, Lane(account_id, [])).items += items
            elif self.worker.partner.in_order:
                own.append(Lane(account_id, items))
            else:
                own += [Lane(account_id, [item]) for item in items]
        return [lane for lane in [*own, *named.values()] if lane.items]

    def clear(self) -> None:
        """After a round: forget deliveries that were sent, and stop messages that must wait."""
        for job in self._sending():
            round_ = job.items[job.sent :]
            waiting = [item for item in round_ if holds_up(item.outcome, job.message.account_id)]
            in_order = self.worker.partner.in_order or self.worker.in_groups
            if waiting and (in_order or len(waiting) == len(round_)):
                self._stop(job)
            for item in round_:
                item.delivery = GONE
            job.sent = len(job.items)

    def end(self) -> None:
        """No round comes any more: let go of everything."""
        for job in self.jobs:
            self._close(job)

    def _read(self, job: Job, keeps: int) -> None:
        read(job, self.worker.room, now_ms=self.worker.now_ms(), keeps=keeps)

    def _map(self, job: Job, most: int) -> None:
        """Map deliveries of a message until they take `most` bytes, or all the room that there is."""
        if not job.holds:
            if job.weight > self._left and not self._is_alone():
                return
            self._left = max(self._left - job.weight, 0) or self._least
        if self._in_time(job, partial(self._pull, job, most)):
            self._left += job.weight
            self._close(job)
            job.is_mapped = True

    def _pull(self, job: Job, most: int) -> bool:
        """Ask for deliveries: at least for one if the whole batch has none. Returns whether there are no more."""
        if job.source is None:
            begin(job, self.worker)
        if not self._may_go(job):
            return False  # behind another one in its lane, which is known only now
        used = 0
        while (used < most and self._left > 0) or not self._has_any():
            item = next(job.source, None) if job.source is not None else None
            if item is None:
                job.let_go = None  # it has ended by itself
                return True
            job.total += 1
            if not job.progress.settles(item.key):
                job.items.append(item)
                cost = cost_of(item.delivery.body)
                used, self._left = used + cost, self._left - cost
        return False

    def _has_any(self) -> bool:
        return any(len(job.items) > job.sent for job in self.jobs)

    def _is_alone(self) -> bool:
        """Whether nothing else is being mapped or sent. What is merely decoded makes room: it can be decoded again."""
        if self._has_any() or any(job.source is not None for job in self.jobs):
            return False
        for job in self.jobs:
            self._close(job)
        return True

    def _in_time(self, job: Job, work: Callable[[], T]) -> T | None:
        """Do some work on a message; if this invocation's time ends before, the message stops and None is returned.
        Raises Unmappable for work that takes too long.
        """
        try:
            return self._time.spend(job, work)
        except OutOfTime:
            self._stop(job)
            return None

    def _sending(self) -> Iterable[Job]:
        return [job for job in self.jobs if job.end is None and job.place is Place.SEND]

    def _may_go(self, job: Job) -> bool:
        """Whether a message may go now; a message behind one that waits is let go of."""
        may_go = self._ordering.may_go(job)
        if job.is_stopped:
            self._close(job)
        return may_go

    def _stop(self, job: Job) -> None:
        self._ordering.stop(job)
        self._close(job)

    def _drop(self, job: Job) -> None:
        """Let go of a message, and of its deliveries that were mapped but not sent: it has its end, or is not sent."""
        del job.items[job.sent :]
        self._close(job)

    def _close(self, job: Job) -> None:
        if job.let_go is not None:
            with ends_alone(job), at_most(CLOSING_S):
                close(job)
        elif job.holds:
            close(job)


async def give_turns() -> None:
    """Let the calls that are under way go on."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
