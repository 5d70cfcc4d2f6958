"""Simulated time."""

import asyncio

import pytest

from testkit.clock import EPOCH_S, Clock, now_s, run


def test_a_day_of_waiting_costs_nothing() -> None:
    """The clock jumps to the next timer, and who waits side by side waits once."""

    async def story() -> float:
        await asyncio.gather(asyncio.sleep(86_400), asyncio.sleep(3_600))
        return now_s()

    assert run(story()) == 86_400


def test_a_clock_goes_on_from_run_to_run() -> None:
    """What one run waited has passed for the next, and so has what was set between them."""
    clock = Clock()
    clock.run(asyncio.sleep(10))
    clock.now_s += 5
    clock.run(asyncio.sleep(1))
    assert clock.now_s == EPOCH_S + 16
    assert clock.now_ms() == (EPOCH_S + 16) * 1_000


def test_what_is_left_running_is_ended() -> None:
    """A task that nobody awaits is cancelled with its run."""
    ended: list[bool] = []

    async def forever() -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            ended.append(True)

    async def story() -> None:
        asyncio.get_running_loop().create_task(forever())
        await asyncio.sleep(1)

    run(story())
    assert ended == [True]


def test_who_waits_for_nothing_is_told() -> None:
    """Where everybody waits and no timer is set, time has no next moment."""
    with pytest.raises(RuntimeError, match="stands still"):
        run(asyncio.Event().wait())
