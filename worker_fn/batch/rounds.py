"""A batch is sent in rounds, each of which holds what is mapped at a time: nearly always one round is enough. Rounds
keep the order of a FIFO group, and messages of one lane are sent one after the other, never side by side.
"""

from collections.abc import Callable, Sequence
from functools import partial

from partners import Delivery, Partner
from worker_fn.accounts.auth_failures import AuthFailures
from worker_fn.accounts.suspensions import Place
from worker_fn.batch.alone import ends_alone
from worker_fn.batch.context import Worker
from worker_fn.batch.facts import tell_attempt
from worker_fn.batch.job import Job
from worker_fn.batch.mapper import Mapper, drop
from worker_fn.batch.ordering import LaneKey, Ordering
from worker_fn.batch.prepare import let_go, weigh
from worker_fn.batch.refusals import place
from worker_fn.batch.time_budget import TimeBudget
from worker_fn.dispatch.caller import Caller
from worker_fn.dispatch.dispatcher import Dispatcher
from worker_fn.dispatch.fair_semaphore import FairSemaphore
from worker_fn.dispatch.feedback import Feedback
from worker_fn.dispatch.lanes import Lane, holds_up
from worker_fn.dispatch.packing import CallsLeft
from worker_fn.limits.registry import Sessions

MESSAGES_A_PART = 16
"""Decoding and mapping this many messages takes two milliseconds of a whole core, while connections are idle."""

GONE = Delivery("", b"", "")
"""In place of a delivery that will not be sent any more in this invocation."""


def parts_of(jobs: Sequence[Job], worker: Worker, budget: TimeBudget) -> "list[Rounds]":
    """The batch in parts, so that the first calls leave before the rest is decoded; one part if messages have an order,
    travel together or are heavy.
    """
    for job in jobs:
        with ends_alone(job):
            weigh(job, worker.room)
    partner, most = worker.partner, MESSAGES_A_PART
    has_lanes = worker.in_groups or type(partner).lane_of is not Partner.lane_of
    is_heavy = sum(job.weight for job in jobs) > worker.room.batch // 2
    if has_lanes or partner.limits.bulk or is_heavy or len(jobs) <= most:
        return [Rounds(jobs, worker, budget)]
    parts = [jobs[start : start + most] for start in range(0, len(jobs), most)]
    return [Rounds(part, worker, budget, parts=len(parts)) for part in parts]


class Rounds:
    """The rounds of a batch, or of one of its `parts`."""

    def __init__(self, jobs: Sequence[Job], worker: Worker, budget: TimeBudget, *, parts: int = 1) -> None:
        self.jobs = jobs
        self._worker = worker
        self._in_order = worker.partner.in_order or worker.in_groups
        self._ordering = Ordering(jobs, in_groups=worker.in_groups, in_lanes=worker.partner.in_order)
        self._mapper = Mapper(jobs, self._ordering, worker, budget, parts=parts)

    async def begin(self) -> None:
        """Decode the records, and map them as far as there is room."""
        self._mapper.read()
        await self._mapper.map()

    def let_go(self) -> None:
        """Forget messages that are not sent in this invocation: they have an end, or suspended credentials."""
        for job in self.jobs:
            if job.is_over or job.place is not Place.SEND:
                drop(job)

    async def send(self, dispatcher: Dispatcher) -> None:
        """Send the deliveries that are mapped, and map the rest, round by round."""
        while lanes := await self._next_lanes():
            await dispatcher.deliver(lanes)
            self._clear()
        for job in self.jobs:
            let_go(job)

    async def _next_lanes(self) -> list[Lane]:
        """The deliveries of the next round; none when there is nothing more to send, or no time."""
        while not (lanes := self._lanes()):  # the mapped ones were all sent at an earlier receive, or are held up
            await self._mapper.map()
            if not await place(self.jobs, self._worker):
                return self._lanes()
            self.let_go()
        return lanes

    def _lanes(self) -> list[Lane]:
        """The lanes of this round. A message's deliveries go one after the other, or each for itself; the messages of a
        FIFO group share a lane, and so do those for which the partner names the same one.
        """
        own: list[Lane] = []
        named: dict[LaneKey, Lane] = {}
        # At most one message of a lane is half mapped: it goes last.
        for job in sorted(self._sending(), key=lambda job: not job.is_mapped):
            account_id, items, key = job.message.account_id, job.items[job.sent :], self._ordering.lane_of(job)
            if key is not None:
                named.setdefault(key, Lane(account_id, [])).items += items
            elif self._worker.partner.in_order:
                own.append(Lane(account_id, items))
            else:
                own += [Lane(account_id, [item]) for item in items]
        return [lane for lane in [*own, *named.values()] if lane.items]

    def _clear(self) -> None:
        """After a round: forget deliveries that were sent, and stop messages that must wait."""
        for job in self._sending():
            sent = job.items[job.sent :]
            waiting = [item for item in sent if holds_up(item.outcome, job.message.account_id)]
            if waiting and (self._in_order or len(waiting) == len(sent)):
                self._mapper.stop(job)
            for item in sent:
                item.delivery = GONE
            job.sent = len(job.items)

    def _sending(self) -> list[Job]:
        return [job for job in self.jobs if job.end is None and job.place is Place.SEND]


def dispatcher_for(worker: Worker, remaining_s: Callable[[], float]) -> Dispatcher:
    """The dispatcher that sends a batch's deliveries, within the time for its calls."""
    limits, sessions = worker.partner.limits, Sessions(worker.limiters)
    caller = Caller(
        partner=worker.partner,
        send=worker.send,
        limiters=sessions,
        feedback=Feedback(sessions.partner, worker.outliers, limits.rate_headers, now_ms=worker.now_ms, log=worker.log),
        held=worker.held,
        auth_failures=AuthFailures(),
        max_in_flight=worker.max_in_flight,
        attempts=worker.attempts,
        call_timeout_s=worker.call_timeout_s,
        remaining_s=remaining_s,
        now_ms=worker.now_ms,
        log=worker.log,
        tell=partial(tell_attempt, worker),
        calls_left=CallsLeft(limits.bulk),
        connections=FairSemaphore(worker.max_in_flight),
    )
    return Dispatcher(
        caller,
        jitter=lambda bound: worker.rng.uniform(0, bound),
        in_order=worker.partner.in_order or worker.in_groups,
    )
