"""Moving parked messages back: SQS cannot filter, so a sweep receives every parked message and moves those that should
move; the rest stay hidden until the sweep is over.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from shared.errors import QueueUnavailable, StateUnavailable
from shared.message import ERASURE
from shared.state import CLEARED, PARTNER, SUSPENDED, Conflict, whole_in
from worker_fn.accounts.clearing import SWEEP
from worker_fn.accounts.suspension import by_account
from worker_fn.batch.time_budget import TimeBudget
from worker_fn.maintenance.parked import Choice
from worker_fn.maintenance.ticker import Ticker

HANDS = 16
"""Tasks that receive and move side by side; a single one on a FIFO queue, whose order has to hold."""
SWEEP_EVERY_MS = 600_000
"""How often the parking queue is swept without a request: a worker may have died before it could make one."""
SIGHT_S = 50
"""How many seconds a message stays hidden after a look: the sweep sees it once, and the next tick sees it again."""
CLEARED_FOR_MS = 3_600_000
"""For this long after a clear all messages of the account move back; later only as many as may wait by visibility."""


async def unpark(ticker: Ticker, budget: TimeBudget) -> None:
    """Sweep the parking queue, if a worker or an operator asked for it, or it is time. Raises StateUnavailable."""
    worker, report = ticker.worker, ticker.report
    state, now_ms = worker.state, worker.now_ms()
    asked = await state.read(PARTNER, SWEEP)
    suspended = by_account(await state.listed(SUSPENDED))
    each = [one for ones in suspended.values() for one in ones]
    lost = {one.sk for one in each if one.lost_ms <= now_ms}
    moments = [one.lost_ms for one in each] + [one.gives_up_ms for one in each if one.gives_up_ms is not None]
    wanted_ms, looked_ms = whole_in(asked.value, "wanted_ms"), whole_in(asked.value, "looked_ms")
    late = late_ms(budget.whole_s)
    is_wanted = looked_ms < wanted_ms + late or any(looked_ms < moment <= now_ms for moment in moments)
    if not is_wanted and now_ms - looked_ms < SWEEP_EVERY_MS:
        return
    cleared = frozenset(
        str(item.value.get("account_id", name))
        for name, item in (await state.listed(CLEARED)).items()
        if now_ms - whole_in(item.value, "at_ms") < CLEARED_FOR_MS
    )
    choice = Choice(worker, suspended, cleared, lost)
    in_sight_again_s = budget.remaining_s() - SIGHT_S

    def time_s() -> float:
        return min(budget.for_sweep_s(), budget.remaining_s() - in_sight_again_s)

    await asyncio.gather(*(_work(choice, ticker, time_s) for _ in range(1 if worker.in_groups else HANDS)))
    looked_ms = now_ms if report.swept else looked_ms
    wanted_ms = max(wanted_ms, now_ms if choice.left or not report.swept else 0)
    with suppress(Conflict):  # a sweep was asked for meanwhile: the next tick looks again
        await state.swap(PARTNER, SWEEP, asked, {"wanted_ms": wanted_ms, "looked_ms": looked_ms}, expires_at=None)
    report.swept = looked_ms >= wanted_ms + late
    ages_s = {kind: (worker.now_ms() - accepted_ms) / 1_000 for kind, accepted_ms in choice.oldest_ms.items()}
    report.oldest_parked_s, report.oldest_parked_erasure_s = max(ages_s.values(), default=0.0), ages_s.get(ERASURE, 0.0)


def late_ms(invocation_s: float) -> int:
    """How long after a clear an earlier batch may still park: an invocation, and a minute between the queues."""
    return round(1_000 * (invocation_s + 60))


async def _work(choice: Choice, ticker: Ticker, time_s: Callable[[], float]) -> None:
    """One task of a sweep. It ends when no message is found, a queue or the table is out of reach, or time is up. A
    message that cannot move stays, and the others go on; if none of several can, the queue is out of reach.
    """
    queues, report = ticker.queues, ticker.report
    while time_s() > 0:
        try:
            records = await queues.parked(SIGHT_S)
            if not records:
                return
            moving = [record for record in records if await choice.moves(record)]
            failed = await queues.unpark(moving) if moving else set()
        except (QueueUnavailable, StateUnavailable):
            report.trouble += 1
            break
        report.unparked += len(moving) - len(failed)
        if failed:
            report.trouble, report.swept = report.trouble + 1, False
            if len(failed) == len(moving) > 1:
                return
    report.swept = False
