"""Sending a batch: when each delivery is sent, and which others its call carries.

Deliveries stand in lanes, each lane in order. Lanes are sent side by side; if the partner takes bulk calls, the lanes
of an account advance together, so that the deliveries at their heads can travel in one call.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from worker_fn.dispatch.caller import Caller
from worker_fn.dispatch.classify import Verdict
from worker_fn.dispatch.lanes import Dispatch, Lane
from worker_fn.dispatch.packing import packed
from worker_fn.dispatch.retry import send_with_retries

HALVED = {Verdict.REJECTED, Verdict.UNSENDABLE, Verdict.UNAUTHORIZED}
"""A bulk call with one of these verdicts is halved: perhaps only one item is refused."""


@dataclass(slots=True)
class Dispatcher:
    """One batch's sending."""

    caller: Caller
    jitter: Callable[[float], float]
    in_order: bool
    """Whether lanes have several items, whose order must hold."""

    async def deliver(self, lanes: Sequence[Lane]) -> None:
        """Send everything that time allows; outcomes are set in the items. Called once a round."""
        left = self.caller.calls_left
        for lane in lanes:
            left.expect(lane.account_id, lane.items)
        bulk = any(item.delivery.merge is not None for lane in lanes for item in lane.items)
        in_step: dict[object, list[Lane]] = {}
        for index, lane in enumerate(lanes):
            in_step.setdefault(lane.account_id if bulk else index, []).append(lane)
        async with asyncio.TaskGroup() as tasks:
            for some in in_step.values():
                tasks.create_task(self._run(some))
        for lane in lanes:
            left.done(lane.account_id, (item for item in lane.items if item.outcome is None))  # not reached

    async def _run(self, lanes: Sequence[Lane]) -> None:
        """Send the heads of an account's lanes, then those behind them, until nothing is left or everything waits."""
        bulk, account_id = self.caller.partner.limits.bulk, lanes[0].account_id
        while heads := [lane.head(bulk) for lane in lanes if lane.is_open]:
            calls = packed(heads, bulk)
            if len(calls) == 1:  # as nearly always: no task of its own
                await self._send(calls[0], account_id)
            else:
                async with asyncio.TaskGroup() as tasks:
                    for call in calls:
                        tasks.create_task(self._send(call, account_id))
            for lane in lanes:
                lane.advance()

    async def _send(self, items: Sequence[Dispatch], account_id: str | None) -> None:
        """Send one call, with its short retries. A bulk call that is refused is halved until the culprit is alone.

        If the answer tells its items apart, those that are to be sent again go with the next round.
        """
        try:
            outcome = await send_with_retries(
                partial(self.caller.call, items, account_id),
                attempts=self.caller.attempts,
                remaining_s=self.caller.left_s,
                jitter=self.jitter,
                sleep=asyncio.sleep,
            )
        except Exception as error:  # an error of our own code
            outcome = self.caller.failed(items, error)
        if len(items) > 1 and outcome.items is None and outcome.verdict in HALVED:
            first, second = items[: len(items) // 2], items[len(items) // 2 :]
            await self._send(first, account_id)
            if self.in_order and any(item.waits or item.outcome is None for item in first):
                return  # the second half goes with the next round, except items behind one that waits
            await self._send(second, account_id)
            return
        for item, judged in zip(items, outcome.of_each(len(items)), strict=True):
            item.outcome = judged
        self.caller.calls_left.done(account_id, (item for item in items if item.outcome is not None))
