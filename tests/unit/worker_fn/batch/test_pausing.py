"""An operator's pause while the mapping still runs."""

from typing import Any

import pytest

from tests.fakes.mapping import FakeMapping
from tests.unit.worker_fn.intake import hold, mapped_fleet
from worker_fn.clients.mapping import KNOWN_FOR_MS, LONGEST_PAUSED_WAIT_S, PAUSED_WAIT_S, paused_wait_s


def end_hold(fleet: Any) -> None:
    del fleet.state.items["partner", "hold"]
    fleet.clock.now_s += KNOWN_FOR_MS / 1_000


@pytest.fixture
def mapping() -> FakeMapping:
    return FakeMapping()


@pytest.fixture
def fleet(make_fleet: Any, mapping: FakeMapping) -> Any:
    return mapped_fleet(make_fleet, mapping)


def test_worker_sends_nothing_while_an_operator_s_pause_stands(fleet: Any, mapping: FakeMapping) -> None:
    """After a deploy enabled the mapping, all messages wait without a call, and the worker pauses the mapping again."""
    hold(fleet)
    junk = {**fleet.record(9, ["200"]), "body": "not ours"}
    report = fleet.run(*(fleet.record(n, ["200"]) for n in range(3)), junk)
    assert (fleet.api.calls, report.failures, report.dead_lettered) == ([], ["m-0", "m-1", "m-2", "m-9"], 0)
    assert set(fleet.queue.hidden.values()) == {PAUSED_WAIT_S}
    assert not mapping.enabled


def test_everything_is_delivered_once_the_pause_is_over(fleet: Any) -> None:
    """Once the pause is over the worker delivers everything by itself."""
    hold(fleet)
    fleet.run(fleet.record(1, ["200"]))
    end_hold(fleet)
    assert fleet.run(fleet.record(1, ["200"], receives=2)).delivered == 1


def test_pause_stops_a_batch_that_is_under_way(fleet: Any, mapping: FakeMapping) -> None:
    """Within seconds of the pause calls end, unsent deliveries wait, and the mapping is paused."""
    send = fleet.worker.send

    async def paused_at_the_third(*arguments: Any) -> Any:
        if len(fleet.api.calls) == 2:
            hold(fleet)
        return await send(*arguments)

    worker = fleet.another(send=paused_at_the_third)
    report = fleet.run(*(fleet.record(n, ["200"]) for n in range(30)), worker=worker)
    assert 3 <= report.delivered <= 3 + KNOWN_FOR_MS / 1_000
    assert (report.delivered + report.waiting, report.parked) == (30, 0)
    assert not mapping.enabled


def test_mapping_that_cannot_be_paused_uses_up_few_receives(fleet: Any, mapping: FakeMapping) -> None:
    """In three days of a pause a message has far fewer than the thousand receives after which SQS dead-letters it."""
    mapping.broken = True
    hold(fleet)
    assert fleet.run(fleet.record(1, ["200"], receives=7)).failures == ["m-1"]
    assert fleet.queue.hidden["h-1"] == 7 * PAUSED_WAIT_S
    assert sum(paused_wait_s(receives) for receives in range(1, 300)) > 72 * 3_600 - 20 * LONGEST_PAUSED_WAIT_S
