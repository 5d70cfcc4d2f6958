"""Sending a batch, round by round."""

import asyncio
from typing import Any

import pytest

from testkit.records import record
from worker_fn.batch.job import Job
from worker_fn.batch.rounds import Rounds
from worker_fn.batch.sending import dispatcher_for, send
from worker_fn.batch.time_budget import TimeBudget


def sent(fleet: Any, *records: dict[str, Any], time_s: float = 60.0) -> list[Job]:
    jobs = [Job(one) for one in records]
    budget = TimeBudget(lambda: time_s, 5.0)
    rounds = Rounds(jobs, fleet.worker, budget)

    async def run() -> None:
        rounds.read()
        await rounds.map()
        await send(rounds, dispatcher_for(fleet.worker, budget.for_calls_s), fleet.worker)

    asyncio.run(run())
    return jobs


def test_everything_that_is_mapped_is_sent_and_let_go_of(fleet: Any) -> None:
    """Outcomes stand in the items; no payload and no generator is kept."""
    jobs = sent(fleet, record(1, ["200", "200"]), record(2, ["400"]))
    assert [[one.status for one in job.outcomes] for job in jobs] == [[200, 200], [400]]
    assert not any(job.holds or job.source for job in jobs)


def test_nothing_to_send_is_no_call(fleet: Any) -> None:
    """A batch of requests without events ends at once."""
    assert [job.outcomes for job in sent(fleet, record(1, []), record(2, []))] == [[], []]
    assert fleet.api.calls == []


ORDERS = [("echo", False, True), ("unordered", False, False), ("unordered", True, True)]


@pytest.mark.parametrize(("partner", "in_groups", "in_order"), ORDERS)
def test_order_holds_for_a_partner_that_asks_and_for_a_fifo_queue(
    partner: str, in_groups: bool, in_order: bool, make_fleet: Any
) -> None:
    """Elsewhere deliveries go side by side."""
    fleet = make_fleet(partner, in_groups=in_groups)
    assert dispatcher_for(fleet.worker, lambda: 60.0).in_order is in_order
