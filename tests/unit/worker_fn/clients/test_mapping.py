"""The event source mapping, and an operator's pause as one environment knows it."""

import asyncio
import threading
from typing import Any

import pytest

from shared.errors import StateSilent
from shared.state import ANSWER_WITHIN_S, Patient
from tests.fakes.mapping import FakeMapping
from tests.unit.worker_fn.intake import hold, mapped_fleet
from worker_fn.clients.mapping import HOLD, Held, LambdaMapping


@pytest.fixture
def mapping() -> FakeMapping:
    return FakeMapping()


@pytest.fixture
def fleet(make_fleet: Any, mapping: FakeMapping) -> Any:
    return mapped_fleet(make_fleet, mapping)


def test_known_pause_stands_while_the_state_table_is_out_of_reach(fleet: Any) -> None:
    """A known pause holds while the state table is out of reach; a worker that never could read the table delivers."""
    hold(fleet)
    fleet.run(fleet.record(1, ["200"]))
    fleet.state.down = True
    fleet.clock.now_s += 120
    assert fleet.run(fleet.record(1, ["200"], receives=2)).delivered == 0
    assert fleet.run(fleet.record(2, ["200"]), worker=fleet.another()).delivered == 1


def test_pause_costs_a_read_every_few_seconds(fleet: Any) -> None:
    """The pause is read every few seconds, not for each message or call."""
    reads = []
    read = fleet.state.read

    async def counted(pk: str, sk: str) -> Any:
        reads.append(sk)
        return await read(pk, sk)

    fleet.state.read = counted
    fleet.api.call_s = 0.01
    fleet.run(*(fleet.record(n, ["200"]) for n in range(50)))
    assert reads.count("hold") == 1


def test_a_table_that_hangs_is_waited_for_once(make_fleet: Any) -> None:
    """After one read that hangs, later callers know that the table does not answer, and go on at once."""
    fleet = make_fleet()
    asked: list[str] = []

    async def hang(_: str, sk: str) -> Any:
        asked.append(sk)
        await asyncio.sleep(60)

    fleet.state.read = hang
    state = Patient(fleet.state, now_ms=fleet.clock.now_ms)
    held = Held(state, now_ms=fleet.clock.now_ms, on_trouble=lambda: asked.append("trouble"))
    began_s = fleet.clock.now_s

    async def ask() -> None:
        assert not await held.is_on()
        with pytest.raises(StateSilent):
            await state.read("a", "b")

    asyncio.run(ask())
    assert asked == [HOLD, "trouble"]
    assert fleet.clock.now_s - began_s == pytest.approx(ANSWER_WITHIN_S)


def test_the_loop_goes_on_while_the_first_call_makes_its_client() -> None:
    """The first call makes its client off the loop: it imports boto3, for up to a second, while a batch's last writes
    go on.
    """
    made_in: list[threading.Thread] = []

    class Client:
        def __getattr__(self, _: str) -> Any:
            made_in.append(threading.current_thread())
            return lambda **_: None

    asyncio.run(LambdaMapping(Client(), "id").pause())
    assert made_in
    assert threading.main_thread() not in made_in
