"""Parked messages on their way back: what the tick does with the parking queue.

SQS cannot filter, so a sweep receives everything that is parked and moves what should move; the rest stays out of sight
until the sweep is over. Several hands receive and move at once, but one on a FIFO queue, whose order has to hold.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.errors import QueueUnavailable, StateRefused, StateUnavailable, UndecodableMessage
from shared.message import Message, decode, is_account_id
from shared.state import CLEARED, FLOW, PARTNER, SUSPENDED, Conflict, account_key
from worker_fn.accounts.clearing import SWEEP
from worker_fn.accounts.suspension import Suspension, by_account, holding
from worker_fn.batch.alone import ends_alone
from worker_fn.batch.context import Worker
from worker_fn.batch.job import Job
from worker_fn.batch.prepare import close, tell_credentials
from worker_fn.batch.rounds import CLOSING_S
from worker_fn.batch.time_limit import at_most
from worker_fn.limits import agreement as flows
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.agreement import MOST_IN_LINE, Flow
from worker_fn.limits.registry import LINE_EMPTIES_PER_S, line_key

HANDS = 16
"""Receives and moves under way at once; each is a round trip of some ten milliseconds and one of a hundred at most."""
ENDS_SHARE = 0.25
"""Share of an invocation's time that is kept back at the end of a tick."""
LOOK_EVERY_MS = 600_000
"""The parking queue is looked through so often also if nobody asked: a worker may have died before it could."""
READ_S = 1.0
"""What it may take to find out which credentials a parked message carries; one that takes longer moves back, as what
nobody can read does: the worker says what becomes of it.
"""
SIGHT_S = 50
"""How long a parked message that was looked at stays out of sight: a sweep is shorter, and sees each one once; the next
tick sees it again.
"""
CLEARED_FOR_MS = 3_600_000
"""For so long all messages of an account that was cleared move back; afterwards as many as may wait, as everybody's."""


class Parking(Protocol):
    """The parking queue, by hand. Every call may raise QueueUnavailable."""

    async def parked(self, sight_s: int) -> Sequence[dict[str, Any]]:
        """Receive up to ten parked messages, as records, hidden for so long."""

    async def unpark(self, records: Sequence[Mapping[str, Any]]) -> set[str]:
        """Send parked messages to the main queue, then delete them from the parking queue: never in neither. Returns
        the receipt handles for which that failed.
        """


@dataclass(slots=True)
class Swept:
    moved: int = 0
    is_done: bool = True
    """Nothing is left that should move, as far as could be seen."""
    trouble: int = 0


@dataclass(slots=True)
class Choice:
    """Which parked messages move: those that may be served again, those too old to wait or whose credentials are given
    up, and one of each suspension that lost its probe.
    """

    worker: Worker
    suspended: Mapping[str, Sequence[Suspension]]
    """By account."""
    cleared: frozenset[str]
    """Accounts."""
    lost: set[str]
    """Suspensions, by their place in the state table."""
    left: int = 0
    """Messages that should move and have to wait: their account has as many waiting as it may."""
    _rooms: dict[str, int] = field(default_factory=dict)

    async def moves(self, record: Mapping[str, Any]) -> bool:
        account_id = account_of(record)
        suspensions = self.suspended.get(account_id or "", ())
        job = self._read(record) if suspensions else None
        suspension = None if job is None else holding(suspensions, job.fingerprints)
        if job is not None and suspension is not None:
            if suspension.sk in self.lost:
                self.lost.discard(suspension.sk)
                return True
            now_ms = self.worker.now_ms()
            gives_up = suspension.is_given_up(now_ms=now_ms) and not job.carried.was_dead
            return gives_up or _is_too_old(job.message, self.worker)
        if account_id is None or account_id in self.cleared or await self._has_room(account_id):
            return True
        self.left += 1
        return False

    def _read(self, record: Mapping[str, Any]) -> Job | None:
        """A parked message with its credentials; None of one that has to come back anyhow, as nobody can map it."""
        job = Job(record)
        with ends_alone(job), at_most(READ_S):
            tell_credentials(job, self.worker)
        with ends_alone(job), at_most(CLOSING_S):
            close(job)
        return None if job.is_over else job

    async def _has_room(self, account_id: str) -> bool:
        """Whether one more message of an account may wait by visibility: what was parked for that came back otherwise
        only to be called in vain and parked again.
        """
        if account_id not in self._rooms:
            try:
                room = await room_in_lines(account_id, self.worker)
            except StateRefused:  # an account that cannot be; nobody keeps count of it
                return True
            self._rooms.setdefault(account_id, room)
        self._rooms[account_id] -= 1
        return self._rooms[account_id] >= 0


def account_of(record: Mapping[str, Any]) -> str | None:
    """Whose a parked message is: as its attribute says, or where that is none of ours, its body."""
    said = record["messageAttributes"].get("account_id", {}).get("stringValue")
    if isinstance(said, str) and is_account_id(said):
        return said
    try:
        return decode(record["body"]).account_id
    except UndecodableMessage:
        return None


async def room_in_lines(account_id: str, worker: Worker) -> int:
    """How many more of an account's messages may wait by visibility: for its failures, and for its rate where there is
    most room. Which bulk endpoint a parked message waits for nobody knows; what finds no room is parked again.
    """
    limits = worker.partner.limits
    rates = {(account_key(account_id), 1): limits.account_rate}
    for endpoint, bulk in limits.bulk.items():
        key = account_key(account_id) if bulk.rate is None else account_key(account_id, endpoint)
        rates[key, bulk.items] = bulk.rate or limits.account_rate

    async def room(key: str, per_second: float, per_call: int) -> int:
        value = (await worker.state.read(key, FLOW)).value
        flow, bounds = Flow.from_item(value) if value else Flow(), Bounds(highest=per_second)
        return len(flows.book(flow, bounds, count=MOST_IN_LINE, per_call=per_call, now_ms=worker.now_ms())[1])

    for_rate = [await room(key, rate.per_second, per_call) for (key, per_call), rate in rates.items() if rate]
    return min(await room(line_key(account_id), LINE_EMPTIES_PER_S, 1), max(for_rate, default=MOST_IN_LINE))


async def sweep(
    worker: Worker, queue: Parking, remaining_s: Callable[[], float], *, invocation_s: float | None = None
) -> Swept:
    """Look through the parking queue, if somebody asked or it is time. `invocation_s` is the function's time-out, what
    remains now where it only begins. Raises StateUnavailable.
    """
    invocation_s = remaining_s() if invocation_s is None else invocation_s
    late = late_ms(invocation_s)
    state, now_ms = worker.state, worker.now_ms()
    asked = await state.read(PARTNER, SWEEP)
    suspended = by_account(await state.listed(SUSPENDED))
    each = [one for ones in suspended.values() for one in ones]
    lost = {one.sk: one.lost_ms for one in each if one.lost_ms <= now_ms}
    given_up = [one.gives_up_ms for one in each if one.gives_up_ms is not None and one.gives_up_ms <= now_ms]
    wanted_ms, looked_ms = asked.value.get("wanted_ms", 0), asked.value.get("looked_ms", 0)
    is_wanted = looked_ms < wanted_ms + late or any(looked_ms < moment for moment in (*lost.values(), *given_up))
    if not is_wanted and now_ms - looked_ms < LOOK_EVERY_MS:
        return Swept()
    cleared = frozenset(
        item.value.get("account_id", name)
        for name, item in (await state.listed(CLEARED)).items()
        if now_ms - item.value["at_ms"] < CLEARED_FOR_MS
    )
    choice = Choice(worker, suspended, cleared, set(lost))
    hands = 1 if worker.in_groups else HANDS
    too_late_s = remaining_s() - SIGHT_S

    def time_s() -> float:
        return min(remaining_s() - ENDS_SHARE * invocation_s, remaining_s() - too_late_s)

    found = await asyncio.gather(*(_work(choice, queue, time_s) for _ in range(hands)))
    is_through = all(one.is_done for one in found)
    done_ms = now_ms if is_through else looked_ms
    value = {"wanted_ms": max(wanted_ms, now_ms if choice.left or not is_through else 0), "looked_ms": done_ms}
    with suppress(Conflict):  # somebody asked meanwhile: the next tick looks again
        await state.swap(PARTNER, SWEEP, asked, value, expires_at=None)
    return Swept(
        moved=sum(one.moved for one in found),
        is_done=done_ms >= value["wanted_ms"] + late,
        trouble=sum(one.trouble for one in found),
    )


def late_ms(invocation_s: float) -> int:
    """For how long a batch that began before an account was cleared may still park its messages."""
    return round(1_000 * (invocation_s + 60))


async def _work(choice: Choice, queue: Parking, time_s: Callable[[], float]) -> Swept:
    """What one hand does, until it finds nothing more, the queues or the table are out of reach, or the time is over.

    A message that does not move stays, and the others go on; where nothing moves at all, the queue is out of reach.
    """
    swept = Swept()
    while time_s() > 0:
        try:
            records = await queue.parked(SIGHT_S)
            if not records:
                return swept
            moving = [record for record in records if await choice.moves(record)]
            failed = await queue.unpark(moving) if moving else set()
        except (QueueUnavailable, StateUnavailable):
            swept.trouble, swept.is_done = 1, False
            return swept
        swept.moved += len(moving) - len(failed)
        if failed:
            swept.trouble, swept.is_done = 1, False
            if len(failed) == len(moving) > 1:
                return swept
    swept.is_done = False
    return swept


def _is_too_old(message: Message, worker: Worker) -> bool:
    """Whether a parked message has used up its age: the worker that gets it says so in the dead-letter queue."""
    return worker.now_ms() - message.received_at_ms > 1_000 * worker.budgets.age_s(message.type)
