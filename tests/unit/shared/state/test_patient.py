import asyncio

import pytest

from shared.errors import StateRefused, StateSilent, StateThrottled, StateUnavailable
from shared.state import Item, Patient
from testkit.state import MemoryState


def test_silent_table_is_left_alone_for_a_while() -> None:
    """One call that fails spares the next ones their time; after a while the table is asked again."""
    table, now = MemoryState(), [0]
    state = Patient(table, now_ms=lambda: now[0], first_pause_ms=5_000)
    table.down = True

    async def every_call() -> None:
        for call in (state.read("a", "b"), state.delete("a", "b"), state.listed("a")):
            with pytest.raises(StateUnavailable):
                await call

    asyncio.run(every_call())
    assert table.calls == 1
    table.down, now[0] = False, 5_000
    assert asyncio.run(state.read("a", "b")) == Item()


def test_silent_table_says_when_it_is_asked_again() -> None:
    """And what it said is passed on: a throttle is no silence of the table's."""
    table, now = MemoryState(), [1_000]
    state = Patient(table, now_ms=lambda: now[0], first_pause_ms=5_000)
    table.down, table.error = True, StateThrottled
    with pytest.raises(StateThrottled):
        asyncio.run(state.read("a", "b"))
    now[0] += 1_500
    with pytest.raises(StateSilent) as silent:
        asyncio.run(state.read("a", "b"))
    assert silent.value.wait_ms == 3_500


def test_a_call_that_is_refused_is_no_silence() -> None:
    """The table said no to one key or one item: the next call is made, at once and for everybody."""
    table, now = MemoryState(), [0]
    state = Patient(table, now_ms=lambda: now[0], first_pause_ms=5_000)
    table.down, table.error = True, StateRefused
    for _ in range(30):
        with pytest.raises(StateRefused):
            asyncio.run(state.read("message#" + "7" * 2_100, "1/1"))
    assert table.calls == 30
    table.down = False
    assert asyncio.run(state.read("a", "b")) == Item()
