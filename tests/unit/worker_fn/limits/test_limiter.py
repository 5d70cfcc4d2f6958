import asyncio
import random
from bisect import bisect_left
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import StateThrottled
from shared.state import FLOW, PARTNER, Item
from worker_fn.limits.adaptive import Bounds, Limit
from worker_fn.limits.agreement import Ask, Flow, Leased, Tally, Wait, alive
from worker_fn.limits.fallback import ALONE_SHARE, LOST_MS, Fallback
from worker_fn.limits.known_item import FRESH_MS
from worker_fn.limits.limiter import Limiter
from worker_fn.limits.sharding import Sharding
from worker_fn.limits.windows import HEADROOM, WINDOW_MS, Book

LIMIT = 100.0
QUOTA = round(LIMIT * HEADROOM)


@pytest.fixture
def limiter(fleet: Any) -> Limiter:
    now_ms = lambda: int(fleet.clock.now_s * 1_000)  # noqa: E731
    return Limiter(fleet.state, PARTNER, Bounds(LIMIT), share=1.0, now_ms=now_ms, rng=random.Random(7))


async def starts_until(limiter: Limiter, fleet: Any, end_s: float) -> list[int]:
    """Ask for one call after the other, with a batch for a quarter of a minute behind it; gives when each may start."""
    starts_ms: list[int] = []
    while fleet.clock.now_s < end_s:
        until_ms = int(fleet.clock.now_s * 1_000) + 15_000
        if isinstance(await limiter.admit(until_ms=until_ms, wanted=1_500, in_flight=100), Wait):
            fleet.clock.now_s += 0.1
        else:
            starts_ms.append(int(fleet.clock.now_s * 1_000))
        assert len(starts_ms) < 20_000, "calls go freely"
    return starts_ms


def most_in_a_second(starts_ms: list[int]) -> int:
    return max(bisect_left(starts_ms, start_ms + 1_000) - index for index, start_ms in enumerate(starts_ms))


@pytest.mark.parametrize("begins_s", [0.0, 0.35, 0.9])
def test_no_second_holds_more_than_a_window(limiter: Limiter, fleet: Any, begins_s: float) -> None:
    """Calls are spread so that a second across two windows, the first one's rest included, has no more than either."""
    fleet.clock.now_s += begins_s
    starts_ms = asyncio.run(starts_until(limiter, fleet, fleet.clock.now_s + 5))
    assert most_in_a_second(starts_ms) <= QUOTA + 2
    assert len(starts_ms) >= 4 * QUOTA


def test_a_limit_that_went_down_holds_for_what_was_leased_before(limiter: Limiter, fleet: Any) -> None:
    """Within the second in which a worker looks again, calls that it leased fifteen seconds ahead are thinned out."""

    async def half_way() -> list[int]:
        began_s = fleet.clock.now_s
        await starts_until(limiter, fleet, began_s + 2)
        known = await fleet.state.read(PARTNER, FLOW)
        flow = Flow.from_item(known.value)
        lower = replace(flow, limit=replace(flow.limit, per_second=LIMIT / 2))
        await fleet.state.swap(PARTNER, FLOW, known, lower.to_item(), expires_at=None)
        return await starts_until(limiter, fleet, began_s + 9)

    starts_ms = asyncio.run(half_way())
    later = Counter(start_ms // WINDOW_MS for start_ms in starts_ms if start_ms >= starts_ms[0] + FRESH_MS + WINDOW_MS)
    del later[starts_ms[-1] // WINDOW_MS]  # which has only begun
    assert set(later.values()) <= set(range(QUOTA // 2 - 3, QUOTA // 2 + 2))


def test_what_a_cool_down_took_is_not_made_up_for(limiter: Limiter, fleet: Any) -> None:
    """Calls whose time came during a cool-down do not start together at its end."""

    async def cooled() -> tuple[int, list[int]]:
        await starts_until(limiter, fleet, fleet.clock.now_s + 1)
        until_ms = int(fleet.clock.now_s * 1_000) + 2_600
        limiter.note(Tally(refused=1, cool_until_ms=until_ms))
        return until_ms, await starts_until(limiter, fleet, fleet.clock.now_s + 5)

    until_ms, starts_ms = asyncio.run(cooled())
    assert starts_ms[0] >= until_ms
    assert most_in_a_second(starts_ms) <= QUOTA + 2


def test_calls_of_own_books_end_with_the_time_of_shares(limiter: Limiter, fleet: Any) -> None:
    """Who called at its share until a moment ago holds none of the seconds that the others lease from then on, and what
    it gives back is nobody else's.
    """
    begins_ms = int(fleet.clock.now_s * 1_000)
    share_until_ms = begins_ms + 3_000
    full = {share_until_ms // WINDOW_MS + ahead: Book(200) for ahead in range(40)}

    async def shared() -> tuple[list[int], Flow]:
        flow = Flow(delivered_ms=begins_ms, share_until_ms=share_until_ms, books=full)
        known = await fleet.state.read(PARTNER, FLOW)
        await fleet.state.swap(PARTNER, FLOW, known, flow.to_item(), expires_at=None)
        starts_ms = await starts_until(limiter, fleet, begins_ms / 1_000 + 2.5)
        await limiter.report(last=True)
        starts_ms += await starts_until(limiter, fleet, begins_ms / 1_000 + 8)
        return starts_ms, Flow.from_item((await fleet.state.read(PARTNER, FLOW)).value)

    starts_ms, after = asyncio.run(shared())
    assert len(starts_ms) > 2 * QUOTA * ALONE_SHARE
    assert max(starts_ms) < share_until_ms
    assert all(not book.back and book.given == 200 for book in after.books.values())


def test_one_call_that_the_table_throttles_costs_half_a_second(limiter: Limiter, fleet: Any) -> None:
    """Not the minute after which a table that is out of reach counts as lost: the next call to it may be taken."""

    async def throttled_once() -> float:
        await starts_until(limiter, fleet, fleet.clock.now_s + 1)
        await limiter.report(last=True)
        fleet.state.down, fleet.state.error = True, StateThrottled
        began_s = fleet.clock.now_s
        waiting = asyncio.ensure_future(limiter.admit(until_ms=int(began_s * 1_000) + 30_000, wanted=1, in_flight=1))
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


async def leases_by_others(fleet: Any, ahead: int) -> None:
    """Others have leased every call of the seconds to come."""
    now_ms = int(fleet.clock.now_s * 1_000)
    full = {now_ms // WINDOW_MS + window: Book(200) for window in range(ahead)}
    known = await fleet.state.read(PARTNER, FLOW)
    flow = replace(Flow.from_item(known.value), books=full, delivered_ms=now_ms)
    await fleet.state.swap(PARTNER, FLOW, known, flow.to_item(), expires_at=None)


async def may_call_within(limiter: Limiter, fleet: Any, ms: int) -> bool:
    until_ms = int(fleet.clock.now_s * 1_000) + ms
    return not isinstance(await limiter.admit(until_ms=until_ms, wanted=1, in_flight=1), Wait)


def test_a_table_that_answered_once_is_asked_at_once(limiter: Limiter, fleet: Any) -> None:
    """Whatever it was asked for: nobody calls at its share while others lease."""

    async def answered_for_something_else() -> bool:
        await may_call_within(limiter, fleet, 3_000)
        await limiter.report(last=True)
        await leases_by_others(fleet, 40)
        fleet.clock.now_s += 2
        fleet.state.down = True
        await may_call_within(limiter, fleet, 1)
        fleet.state.down = False
        await limiter.book(1)
        return await may_call_within(limiter, fleet, 100)

    assert not asyncio.run(answered_for_something_else())


def test_a_minute_without_asking_is_no_minute_without_an_answer(limiter: Limiter, fleet: Any) -> None:
    """One call that failed long ago and one that fails now say nothing of the time between."""

    async def idle() -> bool:
        await may_call_within(limiter, fleet, 3_000)
        await limiter.report(last=True)
        fleet.clock.now_s += 2
        for _ in range(2):
            fleet.state.down = True
            may_call = await may_call_within(limiter, fleet, 400)
            fleet.clock.now_s += LOST_MS / 1_000 + 5
        return may_call

    assert not asyncio.run(idle())


def test_no_second_is_given_out_twice_by_own_books() -> None:
    """A worker whose own books are closed amid a second and opened again has one share of it."""
    now_ms = 1_700_000_000_000
    own = Fallback(Bounds(LIMIT), share=0.5, rng=random.Random(7))
    fleet: Any = SimpleNamespace(flow=Flow(share_until_ms=now_ms + 12_000), lost_ms=0, silent_until_ms=0)

    def leased(wanted: int) -> Counter[int]:
        ask = Ask(now_ms=now_ms, until_ms=now_ms + 3_000, wanted=wanted, most_a_window=1_000)
        permit = own.lease(ask, fleet)
        tokens = permit.tokens if isinstance(permit, Leased) else {}
        return Counter({window: len(numbers) for window, numbers in tokens.items()})

    before = leased(60)
    own.close()
    both = before + leased(1_000)
    assert sum(before.values()) == 60
    assert max(both.values()) <= QUOTA * 0.5 * ALONE_SHARE + 1


@pytest.mark.parametrize("books", [1, 2, 16])
@pytest.mark.parametrize("lost", [False, True], ids=["shares", "table lost"])
def test_a_share_is_a_share_however_many_books_the_fleet_keeps(fleet: Any, books: int, lost: bool) -> None:
    """Who keeps to its share makes its share of calls, also where the rate of all is kept in several books."""
    now_ms = lambda: int(fleet.clock.now_s * 1_000)  # noqa: E731
    limiter = Limiter(fleet.state, PARTNER, Bounds(LIMIT), share=0.1, now_ms=now_ms, rng=random.Random(7))
    sharding = Sharding(count=books, before=books, since_ms=now_ms())

    async def at_share() -> list[int]:
        share_until_ms = 0 if lost else now_ms() + 5_000
        flow = Flow(sharding=sharding, share_until_ms=share_until_ms, limit=Limit(per_second=LIMIT, since_ms=now_ms()))
        await fleet.state.swap(PARTNER, FLOW, Item(), flow.to_item(), expires_at=None)
        if lost:
            await limiter.admit(until_ms=now_ms() + 1, wanted=1, in_flight=1)
            fleet.state.down = True
            await starts_until(limiter, fleet, fleet.clock.now_s + LOST_MS / 1_000 + 10)
        return await starts_until(limiter, fleet, fleet.clock.now_s + 4)

    starts_ms = asyncio.run(at_share())
    assert starts_ms
    assert most_in_a_second(starts_ms) <= LIMIT * 0.1 + 1


def test_an_item_without_a_limit_is_no_leave_to_call_freely(limiter: Limiter, fleet: Any) -> None:
    """Where a rate is declared it holds from the first call on, also while the item says nothing of it: something else
    was written first, or its time to live was over.
    """

    async def after_a_look_at_nothing() -> list[int]:
        await limiter.book(1)
        return await starts_until(limiter, fleet, fleet.clock.now_s + 1.5)

    assert most_in_a_second(asyncio.run(after_a_look_at_nothing())) <= QUOTA + 2


@pytest.mark.parametrize("held", [LIMIT, None])
def test_a_limit_that_rose_holds_at_once(limiter: Limiter, fleet: Any, held: float | None) -> None:
    """What was leased at a low limit, fifteen seconds ahead, does not keep a worker there: it takes what else there is
    of the seconds before.
    """

    async def risen() -> tuple[int, list[int]]:
        low = Limit(per_second=LIMIT / 5, held=held, since_ms=int(fleet.clock.now_s * 1_000), pushed_ms=2**62)
        await fleet.state.swap(PARTNER, FLOW, Item(), Flow(limit=low).to_item(), expires_at=None)
        await starts_until(limiter, fleet, fleet.clock.now_s + 0.5)
        known = await fleet.state.read(PARTNER, FLOW)
        flow = Flow.from_item(known.value)
        high = replace(flow, limit=replace(flow.limit, per_second=LIMIT, held=LIMIT))
        await fleet.state.swap(PARTNER, FLOW, known, high.to_item(), expires_at=None)
        rose_ms = int(fleet.clock.now_s * 1_000)
        return rose_ms, await starts_until(limiter, fleet, fleet.clock.now_s + 6)

    rose_ms, starts_ms = asyncio.run(risen())
    seconds = Counter(start_ms // WINDOW_MS for start_ms in starts_ms)
    first = (rose_ms + FRESH_MS) // WINDOW_MS + 1
    assert all(QUOTA - 2 <= seconds[window] <= QUOTA + 1 for window in range(first, first + 3))
    assert max(seconds.values()) <= QUOTA + 1


def test_a_gate_that_was_idle_leases_at_once_while_somebody_ticks(limiter: Limiter, fleet: Any) -> None:
    """After a quiet quarter of an hour the first second is a full one."""

    async def idle() -> list[int]:
        await starts_until(limiter, fleet, fleet.clock.now_s + 1)
        await limiter.report(last=True)
        for _ in range(15):
            fleet.clock.now_s += 60
            known = await fleet.state.read(PARTNER, FLOW)
            ticked = alive(Flow.from_item(known.value), now_ms=int(fleet.clock.now_s * 1_000))
            await fleet.state.swap(PARTNER, FLOW, known, ticked.to_item(), expires_at=None)
        fleet.clock.now_s = int(fleet.clock.now_s + 50)
        return await starts_until(limiter, fleet, fleet.clock.now_s + 2)

    starts_ms = asyncio.run(idle())
    seconds = Counter(start_ms // WINDOW_MS for start_ms in starts_ms)
    assert min(seconds[window] for window in sorted(seconds)[:2]) >= QUOTA - 2
