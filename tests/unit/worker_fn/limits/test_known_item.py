import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest

from shared.errors import StateUnavailable
from shared.state import FLOW, PARTNER, Patient
from worker_fn.limits import agreement
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.agreement import set_limit
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.flow import Flow
from worker_fn.limits.known_item import FRESH_MS, KnownItem, change_flow
from worker_fn.limits.windows import name_of


@pytest.fixture
def item(fleet: Any) -> KnownItem:
    return known_item(fleet)


def known_item(fleet: Any) -> KnownItem:
    now_ms = lambda: int(fleet.clock.now_s * 1_000)  # noqa: E731
    state, rng = Patient(fleet.state, now_ms=now_ms), random.Random(1)
    return KnownItem(state=state, key=PARTNER, bounds=Bounds(), now_ms=now_ms, rng=rng, ttl_s=60)


def test_what_is_fresh_is_not_read_again(item: KnownItem, fleet: Any) -> None:
    """An addition returns the whole item, so within a second after one no read is needed."""
    now_ms = int(fleet.clock.now_s * 1_000)
    asyncio.run(item.add({"td": 1}))
    fleet.state.items[PARTNER, FLOW] = replace(fleet.state.items[PARTNER, FLOW], counts={"td": 9})
    asyncio.run(item.look(by_ms=now_ms + FRESH_MS - 1))
    assert item.flow.counts == {"td": 1}
    asyncio.run(item.look(by_ms=now_ms + FRESH_MS))
    assert item.flow.counts == {"td": 9}


def test_an_addition_drops_the_seconds_that_are_over(item: KnownItem, fleet: Any) -> None:
    """An addition removes seconds that are over, so the item does not grow."""
    window = int(fleet.clock.now_s)
    asyncio.run(item.add({name_of(window): 3}))
    fleet.clock.now_s += 20
    asyncio.run(item.add({name_of(window + 20): 1}))
    assert set(item.flow.counts) == {name_of(window + 20)}


def test_a_table_that_took_no_call_is_left_alone_as_long_as_it_says(item: KnownItem, fleet: Any) -> None:
    """The state table's own back-off is the only one; once the table answers it is over."""
    fleet.state.down = True
    for _ in range(2):
        with pytest.raises(StateUnavailable):
            asyncio.run(item.read())
        assert not item.is_of_now
    now_ms = int(fleet.clock.now_s * 1_000)
    assert (item.lost_ms, item.silent_until_ms) == (now_ms, now_ms + 500)
    fleet.state.down = False
    fleet.clock.now_s += 1
    asyncio.run(item.read())
    assert (item.lost_ms, item.silent_until_ms, item.is_of_now) == (0, 0, True)


def test_what_we_were_told_holds_until_an_operator_ends_it(item: KnownItem, fleet: Any) -> None:
    """A cool-down that this worker got holds until an operator ends it, whether it is in the table or not."""
    until_ms = int(fleet.clock.now_s * 1_000) + 60_000
    item.cool_down(until_ms)
    item.cool_down(until_ms - 1)
    asyncio.run(item.read())
    assert item.flow.cool_until_ms == until_ms
    ending = change_flow(
        fleet.state, PARTNER, lambda flow: (agreement.end_cool_down(flow, now_ms=1), None), rng=random.Random(1)
    )
    asyncio.run(ending)
    asyncio.run(item.read())
    assert item.flow.cool_until_ms == 0


def test_a_cool_down_that_is_seen_late_is_obeyed_longer_once(item: KnownItem, fleet: Any) -> None:
    """Our clock may be ahead of the writer's; another look adds nothing."""
    now_ms = int(fleet.clock.now_s * 1_000)
    fleet.set_item(PARTNER, FLOW, Flow(cool_from_ms=now_ms - 44_000, cool_until_ms=now_ms + 1_000).to_item())
    for _ in range(2):
        asyncio.run(item.read())
        assert item.flow.cool_until_ms == now_ms + 1_000 + agreement.CLOCKS_APART_MS
        fleet.clock.now_s += 1


def test_a_clock_that_is_behind_ends_no_cool_down_early(item: KnownItem, fleet: Any) -> None:
    """Counted from when it was seen it would be over before its time."""
    now_ms = int(fleet.clock.now_s * 1_000)
    fleet.set_item(PARTNER, FLOW, Flow(cool_from_ms=now_ms + 5_000, cool_until_ms=now_ms + 6_000).to_item())
    asyncio.run(item.read())
    assert item.flow.cool_until_ms == now_ms + 6_000


def test_a_change_that_changes_nothing_writes_nothing(item: KnownItem, fleet: Any) -> None:
    """What another release wrote beside it stays."""
    fleet.set_item(PARTNER, FLOW, {"of_a_later_release": 1})
    asyncio.run(item.change(lambda flow: (flow, None)))
    assert fleet.state.items[PARTNER, FLOW].value == {"of_a_later_release": 1}


def test_a_call_from_before_a_step_down_is_an_echo(item: KnownItem, fleet: Any) -> None:
    """A push-back of a call from before the limit went down is about a limit that no longer holds."""
    begun_ms = int(fleet.clock.now_s * 1_000)
    asyncio.run(item.read())
    fleet.clock.now_s += 1
    asyncio.run(item.read())
    assert not item.is_echo(begun_ms)
    asyncio.run(item.change(lambda flow: (replace(flow, generation=1), None)))
    assert item.is_echo(begun_ms)
    assert not item.is_echo(begun_ms + 1_000)


def test_a_change_takes_what_was_counted_and_leaves_what_came_since(item: KnownItem, fleet: Any) -> None:
    """A change takes in the counts that its writer saw, and leaves what others added since."""
    other = known_item(fleet)
    asyncio.run(item.add({"td": 5}))
    asyncio.run(other.add({"td": 2}))
    asyncio.run(item.change(lambda flow: (replace(flow, delivered_ms=7, counts={"td": 0}), None)))
    assert Flow.of(fleet.state.items[PARTNER, FLOW]).counts == {"td": 2}
    assert item.flow.delivered_ms == 7


def test_an_operators_limit_outlives_an_idle_account(item: KnownItem, fleet: Any) -> None:
    """An account's item is kept for its time after the last write, or after an operator's limit ends, if that is
    later.
    """
    now_s, expiries, add = int(fleet.clock.now_s), list[int](), fleet.state.add

    async def noting(*arguments: Any, expires_at: int, **named: Any) -> Any:
        expiries.append(expires_at)
        return await add(*arguments, expires_at=expires_at, **named)

    fleet.state.add = noting
    asyncio.run(item.add({"td": 1}))
    flow = set_limit(item.flow, Bounds(50.0), 5, until_ms=(now_s + 600) * 1_000, now_ms=now_s * 1_000)
    fleet.state.items[PARTNER, FLOW] = flow.written_to(fleet.state.items[PARTNER, FLOW])
    asyncio.run(item.read())
    asyncio.run(item.add({"td": 1}))
    assert expiries == [now_s + 60, now_s + 660]


def test_an_answer_that_another_overtook_is_not_believed(item: KnownItem, fleet: Any) -> None:
    """An answer that a later one overtook is ignored; otherwise an answer counts whatever its revision, because an item
    may begin anew.
    """
    read = fleet.state.read

    async def read_late(pk: str, sk: str) -> Any:
        found = await read(pk, sk)
        await asyncio.sleep(0.5)
        return found

    async def story() -> tuple[bool, bool]:
        await item.change(lambda flow: (replace(flow, latency_ms=1.0), None))
        fleet.state.read = read_late
        late = asyncio.ensure_future(item.read())
        await asyncio.sleep(0.1)
        opened = await item.change(lambda flow: (replace(flow, breaker=Breaker(opened_ms=1)), True))
        await late
        still_open = item.flow.breaker.is_open
        del fleet.state.items[PARTNER, FLOW]
        await item.read()
        return opened and still_open, item.flow.breaker.is_open

    assert asyncio.run(story()) == (True, False)
