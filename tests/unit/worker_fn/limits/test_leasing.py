"""How a limiter leases calls from the counters that the fleet shares."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from shared.state import FLOW, PARTNER, Item
from worker_fn.limits.adaptive import Bounds, Limit
from worker_fn.limits.agreement import SILENCE_MS, alive
from worker_fn.limits.flow import Flow
from worker_fn.limits.known_item import AGAIN_MS, KnownItem
from worker_fn.limits.lease import Lease
from worker_fn.limits.limiter import Limiter
from worker_fn.limits.ruling import UNLIMITED, AtRate, Wait
from worker_fn.limits.windows import HEADROOM, LEASE_AHEAD_MS, name_of

LIMIT = 50.0


def worker(
    fleet: Any, *, highest: float | None = LIMIT, share: float = 0.1, key: str = PARTNER, table: KnownItem | None = None
) -> Limiter:
    now_ms = lambda: int(fleet.clock.now_s * 1_000)  # noqa: E731
    item = KnownItem(
        state=fleet.state, key=key, bounds=Bounds(highest), now_ms=now_ms, rng=random.Random(1), of_partner=table
    )
    return Limiter(item, share=share, probe_lease_ms=9_000)


def asked(fleet: Any, limiter: Limiter, wanted: int = 1_000) -> object:
    now_ms = int(fleet.clock.now_s * 1_000)
    return asyncio.run(limiter._of_fleet(now_ms + LEASE_AHEAD_MS, wanted, 1_000))


def held(limiter: Limiter, fleet: Any) -> Counter[int]:
    """The calls that it may start, by second."""
    seconds: Counter[int] = Counter()
    now_ms = int(fleet.clock.now_s * 1_000)
    while start := limiter.leasing.lease.take(now_ms=now_ms, not_before_ms=0, limit=limiter.item.limit):
        seconds[start.window] += 1
        now_ms = max(now_ms, start.ms)
    return seconds


def test_workers_that_know_nothing_of_each_other_share_the_rate(fleet: Any) -> None:
    """Each worker asks in one round trip, and together they get each second's calls once."""
    workers = [worker(fleet) for _ in range(30)]
    for one in workers:
        asked(fleet, one)
    seconds = sum((held(one, fleet) for one in workers), Counter[int]())
    assert seconds
    assert max(seconds.values()) <= LIMIT * HEADROOM + 1


def test_who_takes_a_step_with_its_lease_has_its_own_numbers(fleet: Any) -> None:
    """If others ask between a worker's addition and its step, the worker still uses only its own numbers."""
    stepping, other = worker(fleet, share=0.01), worker(fleet, share=0.01)
    swap = fleet.state.swap

    async def swap_late(*arguments: Any, **named: Any) -> Any:
        fleet.state.swap = swap
        now_ms = int(fleet.clock.now_s * 1_000)
        await other._of_fleet(now_ms + 1_000, 5, 5)
        return await swap(*arguments, **named)

    fleet.state.swap = swap_late
    asked(fleet, stepping, wanted=5)
    assert fleet.state.swap == swap
    assert stepping.leasing.lease._numbers
    assert other.leasing.lease._numbers
    assert not stepping.leasing.lease._numbers & other.leasing.lease._numbers


def test_who_finds_nothing_left_waits_for_what_is(fleet: Any) -> None:
    """A worker that finds a second used up waits for the next one with calls left, without asking again."""
    first, late = worker(fleet, share=1.0), worker(fleet, share=1.0)
    assert isinstance(asked(fleet, first), AtRate)
    assert isinstance(asked(fleet, late), Wait)
    before = fleet.state.items[PARTNER, FLOW].counts
    assert isinstance(asked(fleet, late), Wait)
    assert fleet.state.items[PARTNER, FLOW].counts == before


def test_a_new_account_costs_one_round_trip(fleet: Any) -> None:
    """A new account's declared rate holds before anything is written; without a declared rate nothing is written."""
    reads: list[str] = []
    read = fleet.state.read

    async def counting(pk: str, sk: str) -> Any:
        reads.append(pk)
        return await read(pk, sk)

    fleet.state.read = counting
    assert isinstance(asked(fleet, worker(fleet)), AtRate)
    assert reads == []
    fleet.state.items.clear()
    assert asked(fleet, worker(fleet, highest=None)) == UNLIMITED
    assert not fleet.state.items


def test_who_leases_first_after_a_silence_has_everybody_keep_to_its_share(fleet: Any) -> None:
    """After a silence some workers may have called at their share, so the first lease is not used, and all keep to
    shares for a while.
    """
    limiter = worker(fleet)
    asked(fleet, limiter)
    limiter.leasing.lease = Lease()
    fleet.clock.now_s += SILENCE_MS / 1_000 + 1
    asked(fleet, limiter)
    flow = Flow.of(fleet.state.items[PARTNER, FLOW])
    assert flow.share_until_ms == limiter.item.share_until_ms > fleet.clock.now_s * 1_000
    assert len(limiter.leasing.lease) == 0


def test_a_worker_that_is_alone_leases_more_than_its_share(fleet: Any) -> None:
    """If no other worker wants calls, each lease may reach twice as far ahead as the one before."""
    limiter = worker(fleet, share=0.02)
    before = limiter.leasing.most
    for times in (2, 4, 8):
        asked(fleet, limiter, wanted=limiter.leasing.most)
        limiter.leasing.lease = Lease()
        fleet.clock.now_s += 3
        assert limiter.leasing.most == times * before


@pytest.mark.parametrize("is_pressed", [False, True])
@pytest.mark.parametrize("rises", [False, True])
def test_who_finds_others_beside_it_leases_no_more_than_its_share(fleet: Any, is_pressed: bool, rises: bool) -> None:
    """Half of the second behind its lease is asked for; while the limit rises nobody asks that far ahead. No lease
    reaches further than the whole limit.
    """
    now_ms, share = int(fleet.clock.now_s * 1_000), 0.25
    limit = Limit(per_second=LIMIT, held=2 * LIMIT if rises else LIMIT, since_ms=now_ms, pushed_ms=now_ms)
    counts = {name_of(now_ms // 1_000 + ahead): 25 for ahead in range(200)} if is_pressed else {}
    fleet.state.items[PARTNER, FLOW] = Flow(limit=limit, alive_ms=now_ms, counts=counts).written_to(Item(1))
    limiter = worker(fleet, highest=2 * LIMIT, share=share)
    asyncio.run(limiter.item.read())
    before = limiter.leasing.most
    for _ in range(4):
        asked(fleet, limiter, wanted=1)
        limiter.leasing.lease = Lease()
        fleet.clock.now_s += 1
    assert limiter.leasing.most == (before if is_pressed or rises else LIMIT * LEASE_AHEAD_MS / 1_000)


def test_a_batch_leases_nothing_beyond_its_end(fleet: Any) -> None:
    """Nobody would be there to use it."""
    limiter, now_ms = worker(fleet, share=1.0), int(fleet.clock.now_s * 1_000)
    asyncio.run(limiter._of_fleet(now_ms + 2_000, 1_000, 1_000))
    leased = {int(name[1:], 36) for name in limiter.item.flow.counts if name[0] == "w"}
    assert leased == {now_ms // 1_000, now_ms // 1_000 + 1}


@pytest.mark.parametrize(("held", "seconds"), [(LIMIT, 2), (LIMIT / 5, 15)])
def test_what_is_leased_while_the_limit_rises_is_of_the_next_two_seconds(fleet: Any, held: float, seconds: int) -> None:
    """While the limit rises leases reach two seconds ahead, so low-limit leases are soon used up; at a steady limit
    they reach far.
    """
    now_ms = int(fleet.clock.now_s * 1_000)
    low = Limit(per_second=LIMIT / 5, held=held, since_ms=now_ms, pushed_ms=now_ms)
    fleet.set_item(PARTNER, FLOW, Flow(limit=low, alive_ms=now_ms).to_item())
    workers = [worker(fleet, share=1 / 60) for _ in range(60)]
    for one in workers:
        asyncio.run(one.item.read())
        for _ in range(3):
            if not len(one.leasing.lease):
                asked(fleet, one)
            assert seconds > 2 or len(one.leasing.lease) <= 1
    leased = [int(name[1:], 36) for name in Flow.of(fleet.state.items[PARTNER, FLOW]).counts if name[0] == "w"]
    assert max(leased) - now_ms // 1_000 in {seconds - 1, seconds}


def test_who_finds_nothing_left_of_a_limit_that_rises_asks_again_when_there_is(fleet: Any) -> None:
    """A worker that found nothing left asks again when the next second comes within reach, not earlier."""
    now_ms = int(fleet.clock.now_s * 1_000)
    low = Limit(per_second=LIMIT / 5, held=LIMIT, since_ms=now_ms, pushed_ms=now_ms)
    fleet.set_item(PARTNER, FLOW, Flow(limit=low, alive_ms=now_ms).to_item())
    first, late = worker(fleet, share=1.0), worker(fleet, share=1.0)
    for one in (first, late):
        asyncio.run(one.item.read())
    assert isinstance(asked(fleet, first), AtRate)
    asked(fleet, late)
    told = asked(fleet, late)
    assert isinstance(told, Wait)
    assert AGAIN_MS < told.until_ms - now_ms <= 2_000


def test_an_account_keeps_to_its_share_when_all_do(fleet: Any) -> None:
    """In the time of shares an account's limiter keeps to its share, too, because its item was out of reach as well."""
    table = worker(fleet).item
    account = worker(fleet, key="account#7", table=table)
    now_ms = int(fleet.clock.now_s * 1_000)
    fleet.set_item(PARTNER, FLOW, Flow(alive_ms=now_ms - 1_000, share_until_ms=now_ms + 9_000).to_item())
    asyncio.run(table.read())
    assert asked(fleet, account) is None
    assert len(account.leasing.lease) == 0
    fleet.clock.now_s += 9
    asked(fleet, account)
    assert len(account.leasing.lease) > 0


def test_who_leases_of_an_account_first_after_a_silence_ends_it_for_all(fleet: Any) -> None:
    """In the partner's item, where a tick that comes a minute later finds no silence any more: what was leased since
    then is in use, and shares beside it would be more than the rate.
    """
    table = worker(fleet).item
    account = worker(fleet, key="account#7", table=table)
    fleet.set_item(PARTNER, FLOW, Flow(alive_ms=int(fleet.clock.now_s * 1_000)).to_item())
    asked(fleet, account)
    account.leasing.lease = Lease()
    fleet.clock.now_s += SILENCE_MS / 1_000 + 1
    asyncio.run(table.read())
    asked(fleet, account)
    known = Flow.of(fleet.state.items[PARTNER, FLOW])
    assert len(account.leasing.lease) == 0
    assert known.share_until_ms == account.item.share_until_ms > fleet.clock.now_s * 1_000
    late_ms = int(fleet.clock.now_s * 1_000) + 60_000
    assert alive(known, now_ms=late_ms).share_until_ms == known.share_until_ms


def test_idleness_of_an_account_is_not_silence(fleet: Any) -> None:
    """While a tick writes the partner's item, an account's first call after any idle time may start at once."""
    table = worker(fleet).item
    account = worker(fleet, key="account#7", table=table)
    fleet.set_item("account#7", FLOW, Flow(alive_ms=int(fleet.clock.now_s * 1_000)).to_item())
    fleet.clock.now_s += 86_400
    fleet.set_item(PARTNER, FLOW, Flow(alive_ms=int(fleet.clock.now_s * 1_000) - 59_000).to_item())
    asyncio.run(table.read())
    asked(fleet, account)
    assert len(account.leasing.lease) > 0
