"""The time of an invocation, and each step's part of it."""

import asyncio

import pytest

from worker_fn.batch.time_budget import ANSWER_S, LEAST_S, MAPPING_SHARE, TICK_ENDS_SHARE, TimeBudget, in_time


class Remaining:
    """What is left of an invocation of a minute."""

    def __init__(self) -> None:
        self.s = 60.0

    def __call__(self) -> float:
        return self.s


def test_each_step_ends_before_the_next_one() -> None:
    """Calls leave the whole reserve to later steps, return times half of it, receipts a quarter; settling leaves a
    second for the answer.
    """
    budget = TimeBudget(Remaining(), 8.0)
    assert (budget.for_calls_s(), budget.for_return_times_s(), budget.for_receipts_s()) == (52, 56, 58)
    assert (budget.for_moving_s(), budget.for_hiding_s(), budget.for_last_writes_s()) == (58.5, 59, 59.5)


@pytest.mark.parametrize("reserve_s", [4.0, 8.0, 60.0])
def test_no_step_ends_after_the_next_one(reserve_s: float) -> None:
    """The order of the steps' ends holds with the smallest and the largest reserve."""
    budget = TimeBudget(Remaining(), reserve_s)
    steps = [budget.for_calls_s(), budget.for_return_times_s(), budget.for_receipts_s(), budget.for_hiding_s()]
    assert steps == sorted(steps)
    assert budget.for_moving_s() == budget.for_hiding_s() - LEAST_S
    assert budget.for_last_writes_s() == budget.for_hiding_s() + ANSWER_S / 2


def test_what_one_step_leaves_over_is_the_next_ones() -> None:
    """Time that one step does not use is left to the next."""
    remaining = Remaining()
    budget = TimeBudget(remaining, 8.0)
    remaining.s = 10.0
    assert (budget.for_calls_s(), budget.for_receipts_s(), budget.whole_s) == (2, 8, 60)


def test_settling_has_some_time_however_late_it_is() -> None:
    """A settle call is made even if the time is over, because delivered messages have to leave the queue."""
    remaining = Remaining()
    budget = TimeBudget(remaining, 8.0)
    remaining.s = -3.0
    assert budget.for_moving_s() == budget.for_hiding_s() == LEAST_S
    assert budget.for_calls_s() < budget.for_return_times_s() < budget.for_receipts_s() < 0


def test_one_message_may_take_a_share_of_the_time_for_calls() -> None:
    """One message's mapping may take a share of the time for calls, and none if none is left."""
    remaining = Remaining()
    budget = TimeBudget(remaining, 10.0)
    assert budget.for_one_mapping_s() == MAPPING_SHARE * 50
    remaining.s = 5.0
    assert budget.for_one_mapping_s() == 0


def test_a_sweep_leaves_a_share_of_the_whole_tick() -> None:
    """A sweep leaves a share of the tick's whole time, however late it begins."""
    remaining = Remaining()
    budget = TimeBudget(remaining, 8.0)
    remaining.s = 30.0
    assert budget.for_sweep_s() == 30 - TICK_ENDS_SHARE * 60


def test_a_probe_needs_its_call_and_settling() -> None:
    """A probe needs the time of its call and of settling, by the deployed settings."""
    assert TimeBudget(Remaining(), 8.0).probe_needs_s(13.0) == 21.0


@pytest.mark.parametrize(("seconds", "found"), [(60.0, "done"), (0.0, "late"), (-5.0, "late")])
def test_work_without_time_is_given_up(seconds: float, found: str) -> None:
    """Work that gets no time is given up, and the batch goes on with what it had."""

    async def work() -> str:
        await asyncio.sleep(0.001)
        return "done"

    async def run() -> str:
        return await in_time(work(), seconds, "late")

    assert asyncio.run(run()) == found
