"""Parked messages on their way back: what the tick does with the parking queue.

SQS cannot filter, so a sweep receives every parked message and moves those that should move; the rest stay hidden until
the sweep is over. Several tasks receive and move at once, but only one on a FIFO queue, whose order has to hold.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.errors import QueueUnavailable, StateUnavailable
from shared.state import CLEARED, PARTNER, SUSPENDED, Conflict
from worker_fn.accounts.clearing import SWEEP
from worker_fn.accounts.suspension import by_account
from worker_fn.batch.context import Worker
from worker_fn.batch.time_budget import TimeBudget
from worker_fn.maintenance.parked import Choice

HANDS = 16
"""Receives and moves under way at once; each is a round trip of some ten milliseconds and one of a hundred at most."""
SWEEP_EVERY_MS = 600_000
"""How often the parking queue is swept without a request: a worker may have died before it could make one."""
SIGHT_S = 50
"""A parked message that was looked at stays hidden for so long: a sweep is shorter, so it sees each message once, and
the next tick sees it again.
"""
CLEARED_FOR_MS = 3_600_000
"""For so long after an account was cleared all its messages move back; later only as many as may wait by visibility.
"""


class Parking(Protocol):
    """The parking queue, read without Lambda. Every call may raise QueueUnavailable."""

    async def parked(self, sight_s: int) -> Sequence[dict[str, Any]]:
        """Receive up to ten parked messages, as records, and hide them for `sight_s` seconds."""

    async def unpark(self, records: Sequence[Mapping[str, Any]]) -> set[str]:
        """Send parked messages to the main queue, then delete them from the parking queue: each is always in one.
        Returns the receipt handles for which that failed.
        """


@dataclass(slots=True)
class Swept:
    moved: int = 0
    is_done: bool = True
    """No message is left that should move, as far as the sweep could see."""
    trouble: int = 0
    oldest_ms: Mapping[str, int] = field(default_factory=dict)
    """When the oldest was accepted of those that stay parked with suspended credentials, by type."""


async def sweep(worker: Worker, queue: Parking, budget: TimeBudget) -> Swept:
    """Sweep the parking queue, if a worker or an operator asked or it is time. Raises StateUnavailable."""
    late = late_ms(budget.whole_s)
    state, now_ms = worker.state, worker.now_ms()
    asked = await state.read(PARTNER, SWEEP)
    suspended = by_account(await state.listed(SUSPENDED))
    each = [one for ones in suspended.values() for one in ones]
    lost = {one.sk: one.lost_ms for one in each if one.lost_ms <= now_ms}
    given_up = [one.gives_up_ms for one in each if one.gives_up_ms is not None and one.gives_up_ms <= now_ms]
    wanted_ms, looked_ms = asked.value.get("wanted_ms", 0), asked.value.get("looked_ms", 0)
    is_wanted = looked_ms < wanted_ms + late or any(looked_ms < moment for moment in (*lost.values(), *given_up))
    if not is_wanted and now_ms - looked_ms < SWEEP_EVERY_MS:
        return Swept()
    cleared = frozenset(
        item.value.get("account_id", name)
        for name, item in (await state.listed(CLEARED)).items()
        if now_ms - item.value["at_ms"] < CLEARED_FOR_MS
    )
    choice = Choice(worker, suspended, cleared, set(lost))
    hands = 1 if worker.in_groups else HANDS
    in_sight_again_s = budget.remaining_s() - SIGHT_S

    def time_s() -> float:
        return min(budget.for_sweep_s(), budget.remaining_s() - in_sight_again_s)

    found = await asyncio.gather(*(_work(choice, queue, time_s) for _ in range(hands)))
    is_through = all(one.is_done for one in found)
    done_ms = now_ms if is_through else looked_ms
    value = {"wanted_ms": max(wanted_ms, now_ms if choice.left or not is_through else 0), "looked_ms": done_ms}
    with suppress(Conflict):  # a sweep was asked for meanwhile: the next tick looks again
        await state.swap(PARTNER, SWEEP, asked, value, expires_at=None)
    return Swept(
        moved=sum(one.moved for one in found),
        is_done=done_ms >= value["wanted_ms"] + late,
        trouble=sum(one.trouble for one in found),
        oldest_ms=choice.oldest_ms,
    )


def late_ms(invocation_s: float) -> int:
    """A batch that began before an account was cleared may still park its messages for so long: the time of an
    invocation, and a minute for messages under way between the queues.
    """
    return round(1_000 * (invocation_s + 60))


async def _work(choice: Choice, queue: Parking, time_s: Callable[[], float]) -> Swept:
    """One task of a sweep: it ends when no more are found, the queues or the table are out of reach, or the time is up.

    A message that does not move stays, and the others go on; if no message moves at all, the queue is out of reach.
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
