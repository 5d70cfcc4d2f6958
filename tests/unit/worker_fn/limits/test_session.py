"""A limiter keeps a call no longer than the call has time, whatever the partner and the state table do."""

import asyncio
from typing import Any

import pytest

from shared.state import FLOW, PARTNER
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.flow import Flow, Tally
from worker_fn.limits.ruling import PROBE, Because, Go, Wait
from worker_fn.limits.session import HOLD_MS, Session


def acquired(fleet: Any, seconds: float) -> tuple[Any, float]:
    """The limiter's ruling for a call with this much time, and the simulated time that passed."""
    began_s = fleet.clock.now_s
    until_ms = int((began_s + seconds) * 1_000)

    async def ask() -> Any:
        return await Session(fleet.worker.limiters.partner).acquire(until_ms=until_ms, wanted=1, in_flight=4)

    return asyncio.run(ask()), fleet.clock.now_s - began_s


def test_batch_is_held_no_longer_than_it_has_time(fleet: Any) -> None:
    """With a cool-down of an hour and two seconds left, two seconds are spent, not the whole hold."""
    fleet.set_item("partner", "flow", Flow(cool_until_ms=int((fleet.clock.now_s + 3_600) * 1_000)).to_item())
    said, spent_s = acquired(fleet, 2.0)
    assert isinstance(said, Wait)
    assert said.because is Because.COOL_DOWN
    assert 1.9 <= spent_s <= 2.1


def test_batch_is_held_once(fleet: Any) -> None:
    """A batch with enough time is held once, for the hold, and then given back."""
    fleet.set_item("partner", "flow", Flow(cool_until_ms=int((fleet.clock.now_s + 3_600) * 1_000)).to_item())
    _, spent_s = acquired(fleet, 50.0)
    assert HOLD_MS / 1_000 <= spent_s <= HOLD_MS / 1_000 + 3


def test_slow_state_table_does_not_keep_a_call_for_ever(make_fleet: Any) -> None:
    """A table that takes longer than a second's window lasts can cost a call its turn, never the batch its time."""
    fleet = make_fleet("limited")
    read, add = fleet.state.read, fleet.state.add

    async def read_slowly(pk: str, sk: str) -> Any:
        fleet.clock.now_s += 1.3
        return await read(pk, sk)

    async def add_slowly(*asked: Any, **more: Any) -> Any:
        fleet.clock.now_s += 1.3
        return await add(*asked, **more)

    fleet.state.read, fleet.state.add = read_slowly, add_slowly
    _, spent_s = acquired(fleet, 40.0)
    assert spent_s <= 43.0


CONNECTIONS, RATE = 30, 20


def left_over(fleet: Any, calls: int) -> int:
    """The number of leased calls that are unused when a batch is over."""
    limiter = fleet.worker.limiters.partner
    session, connections, left = Session(limiter), asyncio.Semaphore(CONNECTIONS), calls

    async def call() -> None:
        nonlocal left
        async with connections:
            until_ms = int(fleet.clock.now_s * 1_000) + 60_000
            assert isinstance(await session.acquire(until_ms=until_ms, wanted=left, in_flight=CONNECTIONS), Go)
            left -= 1

    async def batch() -> None:
        await asyncio.gather(*(call() for _ in range(calls)))

    asyncio.run(batch())
    return len(limiter.leasing.lease)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.25])
def test_calls_that_wait_for_their_moment_are_not_leased_again(make_fleet: Any, share: float) -> None:
    """A batch leases no more calls than it uses, but for its share of its last second, because unused ones are lost to
    others.
    """
    assert left_over(make_fleet("limited", share=share), 330) <= share * RATE


def test_the_next_batch_goes_on_in_the_second_in_which_one_ends(make_fleet: Any) -> None:
    """A share of a second is leased whole, so the next batch uses what a batch leaves of its last second."""
    assert 5 <= left_over(make_fleet("limited", share=1.0), 10) <= 10


def test_an_old_answer_that_comes_late_makes_no_second_probe(fleet: Any) -> None:
    """An answer from before this worker had the probe makes no second probe: other calls wait for the first one."""
    session, now_ms = Session(fleet.worker.limiters.partner), int(fleet.clock.now_s * 1_000)
    fleet.set_item(PARTNER, FLOW, Flow(breaker=Breaker(opened_ms=now_ms - 9_000, probe_at_ms=now_ms)).to_item())
    read = fleet.state.read

    async def read_late(pk: str, sk: str) -> Any:
        item = await read(pk, sk)
        await asyncio.sleep(0.5)
        return item

    def acquire() -> Any:
        return session.acquire(until_ms=now_ms + 60_000, wanted=1, in_flight=4)

    async def story() -> tuple[Any, bool, Any]:
        fleet.state.read = read_late
        late = asyncio.ensure_future(session.look(now_ms))
        await asyncio.sleep(0.1)
        fleet.state.read = read
        first = await acquire()
        await late
        second = asyncio.ensure_future(acquire())
        await asyncio.sleep(1)
        was_made = second.done()
        session.note(Tally(delivered=1, probe=True))
        await session.report()
        return first, was_made, await second

    assert asyncio.run(story()) == (PROBE, False, Go())
