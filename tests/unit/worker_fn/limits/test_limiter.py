import asyncio
import random
from bisect import bisect_left
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from shared.errors import StateThrottled, StateUnavailable
from shared.state import FLOW, PARTNER, Patient
from worker_fn.limits.adaptive import Bounds, Limit
from worker_fn.limits.agreement import alive, set_limit
from worker_fn.limits.breaker import MIN_CALLS, Breaker
from worker_fn.limits.fallback import ALONE_SHARE, LOST_MS
from worker_fn.limits.flow import Flow, Tally
from worker_fn.limits.known_item import FRESH_MS, KnownItem
from worker_fn.limits.limiter import Limiter
from worker_fn.limits.ruling import Because, Go, Wait
from worker_fn.limits.session import Session
from worker_fn.limits.windows import HEADROOM, WINDOW_MS, name_of

LIMIT = 100.0
QUOTA = round(LIMIT * HEADROOM)


@pytest.fixture
def limiter(fleet: Any) -> Limiter:
    return limiter_of(fleet)


def limiter_of(fleet: Any, share: float = 1.0) -> Limiter:
    now_ms = lambda: int(fleet.clock.now_s * 1_000)  # noqa: E731
    state = Patient(fleet.state, now_ms=now_ms)
    item = KnownItem(state=state, key=PARTNER, bounds=Bounds(LIMIT), now_ms=now_ms, rng=random.Random(7))
    return Limiter(item, share=share, probe_lease_ms=9_000)


async def known(fleet: Any) -> Flow:
    return Flow.of(await fleet.state.read(PARTNER, FLOW))


async def write(fleet: Any, flow: Flow) -> None:
    """Another worker's change of the item."""
    item = await fleet.state.read(PARTNER, FLOW)
    fleet.state.items[PARTNER, FLOW] = replace(flow.written_to(item), rev=item.rev + 1)


async def starts_until(limiter: Limiter, fleet: Any, end_s: float, *, delivers: bool = False) -> list[int]:
    """Ask for one call after the other, with a batch for a quarter of a minute behind it; gives when each may start.
    `delivers`: the fleet hears that it arrived.
    """
    starts_ms: list[int] = []
    session = Session(limiter)
    while fleet.clock.now_s < end_s:
        until_ms = int(fleet.clock.now_s * 1_000) + 15_000
        if isinstance(await session.acquire(until_ms=until_ms, wanted=1_500, in_flight=100), Wait):
            fleet.clock.now_s += 0.1
        else:
            starts_ms.append(int(fleet.clock.now_s * 1_000))
            if delivers:
                session.note(Tally(delivered=1, took_ms=50))
                await session.report()
        assert len(starts_ms) < 20_000, "calls go freely"
    return starts_ms


def most_in_a_second(starts_ms: list[int]) -> int:
    return max(bisect_left(starts_ms, start_ms + 1_000) - index for index, start_ms in enumerate(starts_ms))


@pytest.mark.parametrize("begins_s", [0.0, 0.35, 0.9])
def test_no_second_holds_more_than_a_window(limiter: Limiter, fleet: Any, begins_s: float) -> None:
    """Calls are spread so that any second across two windows, the rest of the first one included, has no more calls
    than either.
    """
    fleet.clock.now_s += begins_s
    starts_ms = asyncio.run(starts_until(limiter, fleet, fleet.clock.now_s + 5))
    assert most_in_a_second(starts_ms) <= QUOTA + 2
    assert len(starts_ms) >= 4 * QUOTA


def test_a_limit_that_went_down_holds_for_what_was_leased_before(limiter: Limiter, fleet: Any) -> None:
    """After the limit went down, calls that were leased up to fifteen seconds ahead are thinned out within a second, at
    the worker's next look.
    """

    async def half_way() -> list[int]:
        began_s = fleet.clock.now_s
        await starts_until(limiter, fleet, began_s + 2)
        flow = await known(fleet)
        await write(fleet, replace(flow, limit=Limit(per_second=LIMIT / 2, since_ms=int(fleet.clock.now_s * 1_000))))
        return await starts_until(limiter, fleet, began_s + 9)

    starts_ms = asyncio.run(half_way())
    later = Counter(start_ms // WINDOW_MS for start_ms in starts_ms if start_ms >= starts_ms[0] + FRESH_MS + WINDOW_MS)
    del later[starts_ms[-1] // WINDOW_MS]  # which has only begun
    assert len(later) == 5
    assert set(later.values()) <= set(range(QUOTA // 2 - 3, QUOTA // 2 + 2))


def test_an_operators_limit_holds_for_what_was_leased_before_and_ends_by_the_clock(
    limiter: Limiter, fleet: Any
) -> None:
    """An operator's limit holds for leased calls within a second; when it ends, the limit grows to the declared one by
    itself.
    """

    async def half_way() -> list[int]:
        began_s = fleet.clock.now_s
        await starts_until(limiter, fleet, began_s + 2)
        now_ms = int(fleet.clock.now_s * 1_000)
        flow = set_limit(await known(fleet), Bounds(LIMIT), LIMIT / 4, until_ms=now_ms + 6_000, now_ms=now_ms)
        await write(fleet, flow)
        return await starts_until(limiter, fleet, began_s + 20, delivers=True)

    starts_ms = asyncio.run(half_way())
    seconds = Counter((start_ms - starts_ms[0]) // WINDOW_MS for start_ms in starts_ms)
    assert all(QUOTA // 4 - 3 <= seconds[second] <= QUOTA // 4 + 1 for second in range(2, 6))
    assert seconds[14] >= QUOTA - 3
    assert most_in_a_second(starts_ms) <= QUOTA + 2


def test_what_a_cool_down_took_is_not_made_up_for(limiter: Limiter, fleet: Any) -> None:
    """Calls whose moments were in a cool-down do not start together at its end."""

    async def cooled() -> tuple[int, list[int]]:
        await starts_until(limiter, fleet, fleet.clock.now_s + 1)
        until_ms = int(fleet.clock.now_s * 1_000) + 2_600
        limiter.note(Tally(refused=1, cool_until_ms=until_ms))
        return until_ms, await starts_until(limiter, fleet, fleet.clock.now_s + 5)

    until_ms, starts_ms = asyncio.run(cooled())
    assert starts_ms[0] >= until_ms
    assert most_in_a_second(starts_ms) <= QUOTA + 2


def test_calls_at_a_share_end_with_the_time_of_shares(limiter: Limiter, fleet: Any) -> None:
    """A worker that called at its share holds no call of the seconds that others lease from then on."""
    begins_ms = int(fleet.clock.now_s * 1_000)
    share_until_ms = begins_ms + 3_000

    async def shared() -> list[int]:
        await write(fleet, Flow(share_until_ms=share_until_ms, counts=leased_by_others(share_until_ms, 40)))
        return await starts_until(limiter, fleet, begins_ms / 1_000 + 8)

    starts_ms = asyncio.run(shared())
    assert len(starts_ms) > 2 * QUOTA * ALONE_SHARE
    assert max(starts_ms) < share_until_ms


def leased_by_others(from_ms: int, seconds: int) -> dict[str, int]:
    return {name_of(from_ms // WINDOW_MS + ahead): 200 for ahead in range(seconds)}


def test_one_call_that_the_table_throttles_costs_half_a_second(limiter: Limiter, fleet: Any) -> None:
    """A throttled call to the table costs half a second, not the minute after which a table counts as lost."""

    async def throttled_once() -> float:
        await starts_until(limiter, fleet, fleet.clock.now_s + 1)
        fleet.state.down, fleet.state.error = True, StateThrottled
        fleet.clock.now_s += 20
        began_s = fleet.clock.now_s
        waiting = asyncio.ensure_future(
            Session(limiter).acquire(until_ms=int(began_s * 1_000) + 30_000, wanted=1, in_flight=1)
        )
        while fleet.clock.now_s == began_s and not waiting.done():
            await asyncio.sleep(0.001)
        fleet.state.down = False
        assert not isinstance(await waiting, Wait)
        return float(fleet.clock.now_s - began_s)

    assert asyncio.run(throttled_once()) < 2.5


def test_who_is_alone_stops_when_the_table_is_throttled(limiter: Limiter, fleet: Any) -> None:
    """After a minute out of reach everybody calls at its share; a throttle says that the table is back and others may
    lease from it. So nothing is called for another minute without it, and then at shares again.
    """

    async def out_of_reach_then_throttled() -> tuple[list[int], int, list[int]]:
        await starts_until(limiter, fleet, fleet.clock.now_s + 1)
        fleet.state.down = True
        alone = await starts_until(limiter, fleet, fleet.clock.now_s + LOST_MS / 1_000 + 10)
        fleet.state.error = StateThrottled
        back_ms = int(fleet.clock.now_s * 1_000)
        return alone, back_ms, await starts_until(limiter, fleet, fleet.clock.now_s + LOST_MS / 1_000 + 20)

    alone, back_ms, after = asyncio.run(out_of_reach_then_throttled())
    assert len(alone) > 5 * QUOTA * ALONE_SHARE
    told_ms = back_ms + 5_000  # by when it tries the table again
    assert not [start_ms for start_ms in after if told_ms < start_ms < back_ms + LOST_MS]
    assert [start_ms for start_ms in after if start_ms > told_ms + LOST_MS]


def test_who_is_alone_has_a_breaker_of_its_own(limiter: Limiter, fleet: Any) -> None:
    """Faults of its own calls open it; when the table answers again the fleet's breaker holds."""

    async def failing() -> tuple[Wait | None, bool]:
        await starts_until(limiter, fleet, fleet.clock.now_s + 1)
        fleet.state.down = True
        await starts_until(limiter, fleet, fleet.clock.now_s + LOST_MS / 1_000 + 2)
        limiter.note(Tally(faults=MIN_CALLS))
        blocked = limiter.blocked()
        fleet.state.down = False
        fleet.clock.now_s += 5
        await limiter.item.read()
        return blocked, limiter.blocked() is None

    blocked, is_over = asyncio.run(failing())
    assert blocked is not None
    assert (blocked.because, is_over) == (Because.BREAKER, True)


async def may_call_within(limiter: Limiter, fleet: Any, ms: int) -> bool:
    until_ms = int(fleet.clock.now_s * 1_000) + ms
    return not isinstance(await Session(limiter).acquire(until_ms=until_ms, wanted=1, in_flight=1), Wait)


def test_a_table_that_answered_once_is_asked_at_once(limiter: Limiter, fleet: Any) -> None:
    """After any answer of the table the worker leases at once, because nobody may call at its share while others
    lease.
    """

    async def answered_for_something_else() -> bool:
        await may_call_within(limiter, fleet, 3_000)
        await write(fleet, replace(await known(fleet), counts=leased_by_others(int(fleet.clock.now_s * 1_000), 40)))
        fleet.clock.now_s += 2
        fleet.state.down = True
        await may_call_within(limiter, fleet, 1)
        fleet.state.down = False
        with suppress(StateUnavailable):
            await limiter.item.change(lambda flow: (replace(flow, booked_ms=1), None))
        return await may_call_within(limiter, fleet, 100)

    assert not asyncio.run(answered_for_something_else())


def test_a_minute_without_asking_is_no_minute_without_an_answer(limiter: Limiter, fleet: Any) -> None:
    """Two failed calls with a long pause between them do not show that the table was out of reach in between."""

    async def idle() -> bool:
        await may_call_within(limiter, fleet, 3_000)
        fleet.clock.now_s += 2
        for _ in range(2):
            fleet.state.down = True
            may_call = await may_call_within(limiter, fleet, 400)
            fleet.clock.now_s += LOST_MS / 1_000 + 5
        return may_call

    assert not asyncio.run(idle())


@pytest.mark.parametrize("lost", [False, True], ids=["shares", "table lost"])
def test_a_share_is_a_share(fleet: Any, lost: bool) -> None:
    """In the time of shares a worker makes its share of calls, whatever the fleet had agreed on."""
    limiter = limiter_of(fleet, share=0.1)

    async def at_share() -> list[int]:
        now_ms = int(fleet.clock.now_s * 1_000)
        limit = Limit(per_second=LIMIT, since_ms=now_ms)
        await write(fleet, Flow(share_until_ms=0 if lost else now_ms + 5_000, limit=limit))
        if lost:
            await Session(limiter).acquire(until_ms=now_ms + 1, wanted=1, in_flight=1)
            fleet.state.down = True
            await starts_until(limiter, fleet, fleet.clock.now_s + LOST_MS / 1_000 + 10)
        return await starts_until(limiter, fleet, fleet.clock.now_s + 4)

    starts_ms = asyncio.run(at_share())
    assert starts_ms
    assert most_in_a_second(starts_ms) <= LIMIT * 0.1 + 1


def test_an_item_without_a_limit_is_no_leave_to_call_freely(limiter: Limiter, fleet: Any) -> None:
    """A declared rate holds from the first call on, even if the item has no limit, because something else was written
    first or the item had expired.
    """

    async def after_a_look_at_nothing() -> list[int]:
        await limiter.item.change(lambda flow: (replace(flow, booked_ms=1), None))
        return await starts_until(limiter, fleet, fleet.clock.now_s + 1.5)

    assert most_in_a_second(asyncio.run(after_a_look_at_nothing())) <= QUOTA + 2


@pytest.mark.parametrize("held", [LIMIT, None])
def test_a_limit_that_rose_holds_at_once(limiter: Limiter, fleet: Any, held: float | None) -> None:
    """Leases at a low limit, up to fifteen seconds ahead, do not slow a worker down after a rise: it takes further
    calls of the earlier seconds.
    """

    async def risen() -> tuple[int, list[int]]:
        low = Limit(per_second=LIMIT / 5, held=held, since_ms=int(fleet.clock.now_s * 1_000), pushed_ms=2**62)
        await write(fleet, Flow(limit=low))
        await starts_until(limiter, fleet, fleet.clock.now_s + 0.5)
        flow = await known(fleet)
        await write(fleet, replace(flow, limit=replace(flow.limit, per_second=LIMIT, held=LIMIT)))
        rose_ms = int(fleet.clock.now_s * 1_000)
        return rose_ms, await starts_until(limiter, fleet, fleet.clock.now_s + 6)

    rose_ms, starts_ms = asyncio.run(risen())
    seconds = Counter(start_ms // WINDOW_MS for start_ms in starts_ms)
    first = (rose_ms + FRESH_MS) // WINDOW_MS + 1
    assert all(QUOTA - 2 <= seconds[window] <= QUOTA + 1 for window in range(first, first + 3))
    assert max(seconds.values()) <= QUOTA + 1


def test_a_limiter_that_was_idle_leases_at_once_while_somebody_ticks(limiter: Limiter, fleet: Any) -> None:
    """After a quiet quarter of an hour the first second has all its calls."""

    async def idle() -> list[int]:
        await starts_until(limiter, fleet, fleet.clock.now_s + 1)
        for _ in range(15):
            fleet.clock.now_s += 60
            await write(fleet, alive(await known(fleet), now_ms=int(fleet.clock.now_s * 1_000)))
        fleet.clock.now_s = int(fleet.clock.now_s + 50)
        return await starts_until(limiter, fleet, fleet.clock.now_s + 2)

    starts_ms = asyncio.run(idle())
    seconds = Counter(start_ms // WINDOW_MS for start_ms in starts_ms)
    assert min(seconds[window] for window in sorted(seconds)[:2]) >= QUOTA - 2


def test_a_worker_leases_no_more_ahead_than_its_share(fleet: Any) -> None:
    """One of fifty workers with a large batch leaves the others their calls, even if all begin at once."""
    limiter = limiter_of(fleet, share=0.02)
    asyncio.run(Session(limiter).acquire(until_ms=int(fleet.clock.now_s * 1_000) + 60_000, wanted=5_000, in_flight=10))
    asked = sum(count for name, count in limiter.flow.counts.items() if name[0] == "w")
    assert asked <= LIMIT * 0.02 * 15 + 1


def test_a_probe_whose_answer_was_lost_is_still_ours(limiter: Limiter, fleet: Any) -> None:
    """If the answer to the lease of a probe was lost, the worker reads the item and finds that the probe is its own."""

    async def lost() -> object:
        now_ms = int(fleet.clock.now_s * 1_000)
        await write(fleet, Flow(breaker=Breaker(opened_ms=now_ms, probe_at_ms=now_ms)))
        swap = fleet.state.swap

        async def swap_and_lose(*asked: Any, **more: Any) -> Any:
            await swap(*asked, **more)
            fleet.state.swap = swap
            raise StateUnavailable("its answer was lost")

        fleet.state.swap = swap_and_lose
        return await Session(limiter).acquire(until_ms=now_ms + 20_000, wanted=1, in_flight=1)

    assert asyncio.run(lost()) == Go(probe=True)
    assert Flow.of(fleet.state.items[PARTNER, FLOW]).breaker.failed_probes == 0
