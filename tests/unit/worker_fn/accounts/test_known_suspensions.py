"""What is suspended, as one Lambda environment knows it."""

import asyncio
from dataclasses import replace
from typing import Any

from shared.state import SUSPENDED
from worker_fn.accounts.fingerprint import NO_SECRETS
from worker_fn.accounts.known_suspensions import KNOWN_FOR_MS, KnownSuspensions
from worker_fn.accounts.suspension import Suspension
from worker_fn.limits.registry import Registry

ONE = Suspension("7", "7", NO_SECRETS, 401, 1, "m-1", 2, 3, 1)


def known(fleet: Any) -> KnownSuspensions:
    limiters: Registry = fleet.worker.limiters
    return KnownSuspensions(fleet.state, now_ms=fleet.worker.now_ms, on_trouble=limiters.trouble)


def test_the_table_is_read_every_few_seconds(fleet: Any) -> None:
    """What another worker suspended is known then, and no sooner."""
    mine = known(fleet)
    asyncio.run(mine.refresh())
    fleet.set_item(SUSPENDED, "7", ONE.to_item())
    asyncio.run(mine.refresh())
    assert mine.of("7", [NO_SECRETS]) is None
    fleet.clock.now_s += KNOWN_FOR_MS / 1_000
    asyncio.run(mine.refresh())
    assert mine.of("7", [NO_SECRETS]) is not None


def test_who_asks_while_the_table_is_read_waits_for_it(fleet: Any) -> None:
    """Parts of a batch ask side by side, and none of them may call with suspended credentials meanwhile."""
    fleet.set_item(SUSPENDED, "7", ONE.to_item())
    listed, reads = fleet.state.listed, []

    async def slowly(pk: str) -> Any:
        reads.append(pk)
        await asyncio.sleep(0.01)
        return await listed(pk)

    fleet.state.listed = slowly
    mine = known(fleet)

    async def ask() -> bool:
        await mine.refresh()
        return mine.of("7", [NO_SECRETS]) is not None

    async def ask_twice() -> list[bool]:
        return await asyncio.gather(ask(), ask())

    assert asyncio.run(ask_twice()) == [True, True]
    assert reads == [SUSPENDED]


def test_what_it_writes_itself_it_knows_at_once(fleet: Any) -> None:
    """With the revision that the next write has to name."""
    mine = known(fleet)
    assert asyncio.run(mine.write(ONE))
    [found] = mine.of_account("7")
    assert asyncio.run(mine.write(replace(found, turns=2)))
    assert [one.turns for one in mine.of_account("7")] == [2]


def test_who_was_second_learns_what_the_first_one_wrote(fleet: Any) -> None:
    """And its own is not written."""
    first, second = known(fleet), known(fleet)
    assert asyncio.run(first.write(ONE))
    assert not asyncio.run(second.write(replace(ONE, probe_id="m-2")))
    assert [one.probe_id for one in second.of_account("7")] == ["m-1"]


def test_with_the_state_table_down_nothing_is_suspended(fleet: Any) -> None:
    """Messages are sent, and the trouble is counted."""
    fleet.state.down = True
    mine = known(fleet)
    asyncio.run(mine.refresh())
    assert not asyncio.run(mine.write(ONE))
    assert mine.of("7", [NO_SECRETS]) is None
    assert fleet.worker.limiters.take_trouble() == 2
