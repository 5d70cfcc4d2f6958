"""How a tick pauses and resumes the mapping and sets its concurrency."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from partners import Bulk, Limits
from tests.fakes.mapping import FakeMapping
from tests.unit.worker_fn.intake import NOW_S, FakeQueues, hold, open_since, run_tick, set_flow
from worker_fn.clients.mapping import LambdaMapping, MappingStatus
from worker_fn.limits.adaptive import Bounds, Limit
from worker_fn.limits.agreement import set_limit
from worker_fn.limits.flow import Flow
from worker_fn.maintenance.intake import concurrency_for


@pytest.fixture
def setting(fleet: Any) -> Any:
    """A worker whose partner answers as told, with its clock and state."""
    return fleet


def test_open_breaker_pauses_a_mapping_that_nobody_paused(setting: Any) -> None:
    """The worker that opened the breaker died before it paused the mapping: the tick does it."""
    set_flow(setting, open_since(1))
    mapping = FakeMapping()
    assert run_tick(setting, mapping, FakeQueues()).paused
    assert not mapping.enabled


def test_closed_breaker_resumes_a_mapping_that_nobody_resumed(setting: Any) -> None:
    """A mapping that was left paused is resumed when there is no reason for the pause any more."""
    set_flow(setting, Flow())
    mapping = FakeMapping(enabled=False)
    assert run_tick(setting, mapping, FakeQueues()).resumed
    assert mapping.enabled


def test_long_cool_down_stops_the_mapping_and_its_end_starts_it(setting: Any) -> None:
    """A cool-down of an hour pauses the mapping, so the queue's in-flight quota is not used up; its end resumes it."""
    set_flow(setting, Flow(cool_until_ms=int((NOW_S + 3_600) * 1_000)))
    mapping = FakeMapping()
    assert run_tick(setting, mapping, FakeQueues()).paused
    setting.clock.now_s += 3_601
    assert run_tick(setting, mapping, FakeQueues()).resumed


def test_a_mapping_that_is_being_changed_is_not_called_running(setting: Any) -> None:
    """While a change is under way Lambda refuses another, and the report says that the next tick resumes the
    mapping.
    """
    set_flow(setting, Flow())
    mapping = FakeMapping(enabled=False)
    mapping.settled = False
    report = run_tick(setting, mapping, FakeQueues())
    assert (report.resumed, report.running, "next tick" in report.stopped_by) == (False, False, True)


def test_concurrency_follows_what_the_allowance_can_use(setting: Any) -> None:
    """A partner that takes 50 calls of 200 ms a second needs few environments; more would wait for tokens."""
    set_flow(setting, Flow(limit=Limit(per_second=50.0, since_ms=1, why="reached"), latency_ms=200.0))
    mapping = FakeMapping(concurrency=10)
    assert run_tick(setting, mapping, FakeQueues(), most=10).concurrency == concurrency_for(
        Flow(limit=Limit(per_second=50.0, why="reached"), latency_ms=200.0), max_in_flight=4, most=10
    )
    assert mapping.concurrency == 6
    assert run_tick(setting, mapping, FakeQueues(), most=10).concurrency is None


@pytest.mark.parametrize(
    ("limit", "latency_ms", "expected"),
    [(None, 200.0, 40), (50.0, 0.0, 40), (1.0, 50.0, 2), (10_000.0, 1_000.0, 40), (100.0, 600.0, 13)],
)
def test_concurrency_stays_within_its_bounds(limit: float | None, latency_ms: float, expected: int) -> None:
    """The concurrency is never below two, Lambda's minimum, nor above the deployment's, which it is if no limit is
    known.
    """
    flow = Flow(limit=Limit(per_second=limit, why="reached"), latency_ms=latency_ms)
    assert concurrency_for(flow, max_in_flight=10, most=40) == expected


@pytest.mark.parametrize(("batch_size", "expected"), [(10, 11), (20, 6), (50, 3), (100, 2), (None, 2)])
def test_small_batches_need_more_environments(setting: Any, batch_size: int | None, expected: int) -> None:
    """What a batch leases is spread over a second: two environments with batches of ten, as a FIFO queue gives, make
    twenty calls a second of fifty.
    """
    set_flow(setting, Flow(limit=Limit(per_second=50.0, since_ms=1, why="reached"), latency_ms=80.0))
    mapping = FakeMapping(concurrency=20, batch_size=batch_size)
    setting.worker = replace(setting.worker, max_in_flight=10)
    run_tick(setting, mapping, FakeQueues(), most=20)
    assert mapping.concurrency == expected


def test_a_batch_of_a_bulk_partner_may_be_one_call(setting: Any) -> None:
    """A batch of a bulk partner may be a single call, however many messages it has."""
    set_flow(setting, Flow(limit=Limit(per_second=5.0, since_ms=1, why="reached"), latency_ms=80.0))
    mapping = FakeMapping(concurrency=20, batch_size=50)
    bulky = type("Bulky", (type(setting.worker.partner),), {"limits": Limits(bulk={"bulk": Bulk(10)})})
    setting.worker = replace(setting.worker, partner=bulky())
    run_tick(setting, mapping, FakeQueues(), most=20)
    assert mapping.concurrency == 11


def test_the_mapping_says_how_large_its_batches_are() -> None:
    """The batch size is read from the mapping, as Lambda shows it."""

    class Client:
        def get_event_source_mapping(self, **_: Any) -> dict[str, Any]:
            return {"State": "Enabled", "BatchSize": 10, "ScalingConfig": {"MaximumConcurrency": 7}}

    assert asyncio.run(LambdaMapping(Client(), "id").status()) == MappingStatus(True, True, 7, 10)


def test_limit_that_is_not_reached_does_not_hold_back_environments() -> None:
    """If the fleet does not reach its limit, all environments may work."""
    flow = Flow(limit=Limit(per_second=1.0, why="steady"), latency_ms=50.0)
    assert concurrency_for(flow, max_in_flight=10, most=40) == 40


def test_operators_pause_stays(setting: Any) -> None:
    """During an operator's pause no tick resumes the mapping or probes, and a mapping that somebody resumed is paused
    again.
    """
    hold(setting)
    set_flow(setting, open_since(60))
    mapping, queues = FakeMapping(enabled=False), FakeQueues(visible=[setting.record(1, ["200"])])
    report = run_tick(setting, mapping, queues)
    assert (report.held, report.resumed, report.probed, setting.api.calls) == (True, False, False, [])
    mapping.enabled = True
    assert run_tick(setting, mapping, queues).paused


def test_mapping_runs_again_when_the_operator_lets_it(setting: Any) -> None:
    """When the operator's pause is over the next tick resumes the mapping, as after a breaker."""
    hold(setting)
    mapping = FakeMapping(enabled=False)
    run_tick(setting, mapping, FakeQueues())
    del setting.state.items["partner", "hold"]
    assert run_tick(setting, mapping, FakeQueues()).resumed


def test_environments_are_those_that_an_operators_limit_can_use() -> None:
    """The concurrency fits an operator's limit, because more environments would only wait."""
    flow = Flow(limit=Limit(per_second=200.0, held=200.0, since_ms=1), latency_ms=100.0)
    limited = set_limit(flow, Bounds(200.0), 20, until_ms=9_000, now_ms=1_000)
    limited = replace(limited, limit=replace(limited.limit, why="steady"))
    assert concurrency_for(flow, max_in_flight=1, most=100) == 100
    assert concurrency_for(limited, max_in_flight=1, most=100) == 5
