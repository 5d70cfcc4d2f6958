import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from partners import Bulk, Limits
from tests.fakes.mapping import FakeMapping
from tests.unit.worker_fn.intake import FakeParking, hold
from worker_fn.accounts.clearing import request_sweep
from worker_fn.clients.mapping import LambdaMapping, Status
from worker_fn.limits.adaptive import Bounds, Limit
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.by_hand import open_breaker, set_limit
from worker_fn.limits.flow import Flow
from worker_fn.maintenance.tick import PROBES, Ticker, TickReport, concurrency_for, tick

NOW_S = 1_700_000_000.0


class FakeQueues(FakeParking):
    """The parking queue, and the main queue with messages that are visible."""

    def __init__(self, *, visible: Sequence[dict[str, Any]] = (), parked: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(parked)
        self.visible, self.deleted = list(visible), list[str]()

    async def take(self) -> dict[str, Any] | None:
        return self.visible.pop(0) if self.visible else None

    async def delete(self, record: Mapping[str, Any]) -> None:
        self.deleted.append(record["messageId"])


@pytest.fixture
def setting(fleet: Any) -> Any:
    """A worker whose partner answers as told, with its clock and state."""
    return fleet


def run(
    setting: Any,
    mapping: FakeMapping,
    queues: FakeQueues,
    *,
    most: int = 10,
    probe_now: bool = False,
    time_s: float = 25.0,
) -> TickReport:
    """A tick of a worker that has 25 s, as on the stage `local`."""
    ends_s = setting.clock.now_s + time_s
    ticker = Ticker(setting.worker, queues, mapping, most, probe_now)
    return asyncio.run(tick(ticker, lambda: ends_s - setting.clock.now_s))


def set_flow(setting: Any, flow: Flow) -> None:
    setting.set_item("partner", "flow", flow.to_item())


def open_since(seconds: float) -> Flow:
    opened_ms = int((NOW_S - seconds) * 1_000)
    return Flow(breaker=Breaker(opened_ms=opened_ms, probe_at_ms=opened_ms + 5_000))


def test_open_breaker_pauses_a_mapping_that_nobody_paused(setting: Any) -> None:
    """The worker that opened the breaker died before it paused the mapping: the tick does it."""
    set_flow(setting, open_since(1))
    mapping = FakeMapping()
    assert run(setting, mapping, FakeQueues()).paused
    assert not mapping.enabled


def test_closed_breaker_resumes_a_mapping_that_nobody_resumed(setting: Any) -> None:
    """A mapping that was left paused runs again when nothing speaks against it."""
    set_flow(setting, Flow())
    mapping = FakeMapping(enabled=False)
    assert run(setting, mapping, FakeQueues()).resumed
    assert mapping.enabled


def test_long_cool_down_stops_the_mapping_and_its_end_starts_it(setting: Any) -> None:
    """A partner that asks for an hour gets it, without the queue running into its in-flight quota."""
    set_flow(setting, Flow(cool_until_ms=int((NOW_S + 3_600) * 1_000)))
    mapping = FakeMapping()
    assert run(setting, mapping, FakeQueues()).paused
    setting.clock.now_s += 3_601
    assert run(setting, mapping, FakeQueues()).resumed


def test_probe_that_arrives_resumes_the_mapping(setting: Any) -> None:
    """While the mapping is paused the tick tries with one message; when it arrives, the mapping runs again."""
    set_flow(setting, open_since(60))
    mapping, queues = FakeMapping(enabled=False), FakeQueues(visible=[setting.record(1, ["200"])])
    report = run(setting, mapping, queues)
    assert (report.probed, report.resumed, queues.deleted) == (True, True, ["m-1"])
    assert len(setting.api.calls) == 1


def test_a_probes_message_is_measured_before_it_leaves_the_queue(setting: Any) -> None:
    """As a batch's are: what left the queue is counted, or the counts would miss it."""
    set_flow(setting, open_since(60))
    measured: list[tuple[int, list[str]]] = []
    queues = FakeQueues(visible=[setting.record(1, ["200"])])
    ticker = Ticker(
        setting.worker,
        queues,
        FakeMapping(enabled=False),
        10,
        measure=lambda report: measured.append((report.delivered, list(queues.deleted))),
    )
    asyncio.run(tick(ticker, lambda: 25.0))
    assert (measured, queues.deleted) == ([(1, [])], ["m-1"])


def test_a_tick_tells_how_much_of_the_rate_was_used_lately(setting: Any) -> None:
    """The fleet's, as the item has it; nothing where no rate is known."""
    set_flow(setting, Flow())
    assert run(setting, FakeMapping(), FakeQueues()).allowance_used is None
    set_flow(setting, Flow(limit=Limit(per_second=50)))
    assert run(setting, FakeMapping(), FakeQueues()).allowance_used == 0


def test_probe_that_fails_keeps_the_mapping_paused(setting: Any) -> None:
    """A partner that is still down sees one call a minute, and the message stays in the queue."""
    set_flow(setting, open_since(60))
    mapping, queues = FakeMapping(enabled=False), FakeQueues(visible=[setting.record(1, ["503"])])
    report = run(setting, mapping, queues)
    assert (report.probed, report.resumed, queues.deleted) == (True, False, [])
    assert not mapping.enabled
    assert len(setting.api.calls) == 1


def test_a_probe_needs_the_time_of_its_call_and_of_settling(setting: Any) -> None:
    """With less none is made, and the report says so: a call that we cut short tells nothing of the partner."""
    set_flow(setting, open_since(60))
    needed_s = setting.worker.call_timeout_s + setting.worker.settle_reserve_s
    mapping, queues = FakeMapping(enabled=False), FakeQueues(visible=[setting.record(1, ["200"])])
    report = run(setting, mapping, queues, time_s=needed_s - 1)
    assert (report.probed, report.running, setting.api.calls) == (False, False, [])
    assert "are left of this invocation" in report.no_probe
    assert run(setting, mapping, queues, time_s=needed_s + 1).probed


@pytest.mark.parametrize("enabled", [True, False])
def test_operator_has_a_probe_made_before_it_is_due(setting: Any, enabled: bool) -> None:
    """Whether the mapping runs or not; what arrives lets everybody in."""
    opened_ms = int(NOW_S * 1_000)
    set_flow(setting, Flow(breaker=Breaker(opened_ms=opened_ms, probe_at_ms=opened_ms + 50_000)))
    mapping, queues = FakeMapping(enabled=enabled), FakeQueues(visible=[setting.record(1, ["200"])])
    assert "due in 50 s" in run(setting, FakeMapping(enabled=False), FakeQueues()).no_probe
    report = run(setting, mapping, queues, probe_now=True)
    assert (report.probed, report.answer, report.running, report.stopped_by) == (True, "", True, "")
    assert mapping.enabled


@pytest.mark.parametrize(("answer", "said"), [("503", "HTTP 503"), ("429", "HTTP 429"), ("timeout", "timeout")])
def test_operator_hears_what_a_probe_was_answered(setting: Any, answer: str, said: str) -> None:
    """A partner that is still down is named with its answer, and what keeps the mapping stopped with it."""
    set_flow(setting, open_since(60))
    queues = FakeQueues(visible=[setting.record(1, [answer])])
    report = run(setting, FakeMapping(enabled=False), queues, probe_now=True)
    assert (report.probed, report.answer, report.running) == (True, said, False)
    assert said in report.stopped_by


def test_operator_hears_why_no_probe_is_made(setting: Any) -> None:
    """Nothing is wrong, a pause lasts, the partner asked for one, another probe is under way, nothing is visible."""
    now_ms = int(NOW_S * 1_000)
    queues = FakeQueues(visible=[setting.record(1, ["200"])])
    set_flow(setting, Flow())
    assert "breaker is closed" in run(setting, FakeMapping(enabled=False), queues, probe_now=True).no_probe
    set_flow(setting, replace(open_since(60), cool_until_ms=now_ms + 9_000))
    assert "pause of 9 s more" in run(setting, FakeMapping(enabled=False), queues, probe_now=True).no_probe
    flow = open_since(60)
    set_flow(setting, replace(flow, breaker=replace(flow.breaker, probe_until_ms=now_ms + 20_000)))
    assert "under way" in run(setting, FakeMapping(enabled=False), queues, probe_now=True).no_probe
    set_flow(setting, open_since(60))
    assert "no message is visible" in run(setting, FakeMapping(enabled=False), FakeQueues(), probe_now=True).no_probe
    hold(setting)
    report = run(setting, FakeMapping(enabled=False), queues, probe_now=True)
    assert (report.no_probe, report.stopped_by) == ("an operator paused the intake", "an operator")
    assert setting.api.calls == []


def test_a_mapping_that_is_being_changed_is_not_called_running(setting: Any) -> None:
    """Lambda refuses a second change meanwhile: the report says that the next tick resumes it."""
    set_flow(setting, Flow())
    mapping = FakeMapping(enabled=False)
    mapping.settled = False
    report = run(setting, mapping, FakeQueues())
    assert (report.resumed, report.running, "next tick" in report.stopped_by) == (False, False, True)


def test_without_a_message_to_try_with_the_mapping_is_let_in(setting: Any) -> None:
    """When everything waits out of sight, the next batch has to bring the probe."""
    set_flow(setting, open_since(60))
    mapping = FakeMapping(enabled=False)
    assert run(setting, mapping, FakeQueues()).resumed


def test_failing_pause_call_is_made_good_by_the_next_tick(setting: Any) -> None:
    """Lambda may not answer: the tick counts it and the next one does what is missing."""
    set_flow(setting, open_since(1))
    mapping = FakeMapping()
    mapping.broken = True
    assert run(setting, mapping, FakeQueues()).trouble > 0
    mapping.broken = False
    assert run(setting, mapping, FakeQueues()).paused


def test_concurrency_follows_what_the_allowance_can_use(setting: Any) -> None:
    """A partner that takes 50 calls of 200 ms a second needs few environments; more would wait for tokens."""
    set_flow(setting, Flow(limit=Limit(per_second=50.0, since_ms=1, why="reached"), latency_ms=200.0))
    mapping = FakeMapping(concurrency=10)
    assert run(setting, mapping, FakeQueues(), most=10).concurrency == concurrency_for(
        Flow(limit=Limit(per_second=50.0, why="reached"), latency_ms=200.0), max_in_flight=4, most=10
    )
    assert mapping.concurrency == 6
    assert run(setting, mapping, FakeQueues(), most=10).concurrency is None


@pytest.mark.parametrize(
    ("limit", "latency_ms", "expected"),
    [(None, 200.0, 40), (50.0, 0.0, 40), (1.0, 50.0, 2), (10_000.0, 1_000.0, 40), (100.0, 600.0, 13)],
)
def test_concurrency_stays_within_its_bounds(limit: float | None, latency_ms: float, expected: int) -> None:
    """Never below Lambda's two, never above the deployment's, and that where nothing is known."""
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
    run(setting, mapping, FakeQueues(), most=20)
    assert mapping.concurrency == expected


def test_a_batch_of_a_bulk_partner_may_be_one_call(setting: Any) -> None:
    """However many messages it holds."""
    set_flow(setting, Flow(limit=Limit(per_second=5.0, since_ms=1, why="reached"), latency_ms=80.0))
    mapping = FakeMapping(concurrency=20, batch_size=50)
    bulky = type("Bulky", (type(setting.worker.partner),), {"limits": Limits(bulk={"bulk": Bulk(10)})})
    setting.worker = replace(setting.worker, partner=bulky())
    run(setting, mapping, FakeQueues(), most=20)
    assert mapping.concurrency == 11


def test_the_mapping_says_how_large_its_batches_are() -> None:
    """As Lambda shows a mapping."""

    class Client:
        def get_event_source_mapping(self, **_: Any) -> dict[str, Any]:
            return {"State": "Enabled", "BatchSize": 10, "ScalingConfig": {"MaximumConcurrency": 7}}

    assert asyncio.run(LambdaMapping(Client(), "id").status()) == Status(True, True, 7, 10)


def test_limit_that_is_not_reached_does_not_hold_back_environments() -> None:
    """Where the limit is not what holds the fleet back, all environments may work."""
    flow = Flow(limit=Limit(per_second=1.0, why="steady"), latency_ms=50.0)
    assert concurrency_for(flow, max_in_flight=10, most=40) == 40


def test_operators_pause_stays(setting: Any) -> None:
    """No tick resumes what an operator paused, and none probes; a mapping that was resumed is paused."""
    hold(setting)
    set_flow(setting, open_since(60))
    mapping, queues = FakeMapping(enabled=False), FakeQueues(visible=[setting.record(1, ["200"])])
    report = run(setting, mapping, queues)
    assert (report.held, report.resumed, report.probed, setting.api.calls) == (True, False, False, [])
    mapping.enabled = True
    assert run(setting, mapping, queues).paused


def test_mapping_runs_again_when_the_operator_lets_it(setting: Any) -> None:
    """With the pause gone the next tick resumes, as after a breaker."""
    hold(setting)
    mapping = FakeMapping(enabled=False)
    run(setting, mapping, FakeQueues())
    del setting.state.items["partner", "hold"]
    assert run(setting, mapping, FakeQueues()).resumed


def test_operators_pause_holds_without_the_state_table(setting: Any) -> None:
    """What cannot be read from the table stands on the mapping, too; where Lambda does not say, nothing is resumed."""
    setting.state.down = True
    mapping = FakeMapping(enabled=False)
    mapping.marked = True
    report = run(setting, mapping, FakeQueues())
    assert (report.held, report.resumed, mapping.enabled) == (True, False, False)
    mapping.enabled = True  # by a deploy
    report = run(setting, mapping, FakeQueues())
    assert (report.held, report.paused, mapping.enabled) == (True, True, False)
    mapping.marked = False
    assert run(setting, mapping, FakeQueues()).resumed


def test_message_that_cannot_be_a_probe_is_followed_by_another(setting: Any) -> None:
    """A parked or undecodable message tells nothing of the partner: the tick takes the next one."""
    suspend(setting, "8")
    set_flow(setting, open_since(60))
    junk = {**setting.record(1, ["200"]), "body": "not ours"}
    rows = [junk, setting.record(2, ["200"], account=8), setting.record(3, ["200"]), setting.record(4, ["200"])]
    mapping, queues = FakeMapping(enabled=False), FakeQueues(visible=rows)
    report = run(setting, mapping, queues)
    assert (report.probed, report.resumed, queues.deleted) == (True, True, ["m-1", "m-2", "m-3"])
    assert setting.api.ids == ["3.0"]


def test_tick_takes_a_few_messages_for_a_probe(setting: Any) -> None:
    """However many of them are no probes, a tick stops after some, and the next one goes on."""
    set_flow(setting, open_since(60))
    junk = [{**setting.record(n, ["200"]), "body": "not ours"} for n in range(9)]
    queues = FakeQueues(visible=junk)
    report = run(setting, FakeMapping(enabled=False), queues)
    assert (report.probed, len(queues.deleted)) == (False, PROBES)


def test_partner_that_fails_a_probe_sees_no_second_one(setting: Any) -> None:
    """One call a tick, whatever it comes to."""
    set_flow(setting, open_since(60))
    rows = [setting.record(n, ["503" if n % 2 else "429"]) for n in range(4)]
    run(setting, FakeMapping(enabled=False), FakeQueues(visible=rows))
    assert len(setting.api.calls) == 1


def suspend(setting: Any, account_id: str) -> None:
    at_ms = int(setting.clock.now_s * 1_000) + 60_000
    setting.set_item("suspended", account_id, {"status": 401, "since_ms": 1, "probe_id": "x", "probe_at_ms": at_ms})


def test_what_the_sweep_moved_is_in_the_report(setting: Any) -> None:
    """A tick says how many parked messages it moved back, and whether all could be looked at."""
    asyncio.run(request_sweep(setting.state, now_ms=int(setting.clock.now_s * 1_000), rng=setting.worker.rng))
    record = {**setting.record(1, ["200"]), "messageAttributes": {"account_id": {"stringValue": "7"}}}
    report = run(setting, FakeMapping(), FakeQueues(parked=[record]))
    assert (report.unparked, report.swept) == (1, False)
    setting.clock.now_s += 130
    assert run(setting, FakeMapping(), FakeQueues()).swept


def test_tick_with_the_state_table_down_lets_messages_in(setting: Any) -> None:
    """With nobody to say why the mapping was paused, messages are delivered all the same."""
    setting.state.down = True
    mapping = FakeMapping(enabled=False)
    report = run(setting, mapping, FakeQueues())
    assert (report.trouble, mapping.calls) == (1, ["resume"])
    assert json.dumps(report.unparked) == "0"


def test_tick_says_how_old_the_oldest_parked_message_is(setting: Any) -> None:
    """Since it was accepted: no batch sees it for as long as its account is suspended."""
    setting.set_item(
        "suspended", "8", {"status": 401, "since_ms": 1, "probe_id": "x", "probe_at_ms": int(NOW_S * 1_000)}
    )
    parked = setting.record(1, ["200"], account=8, received_at_ms=int((NOW_S - 90) * 1_000))
    parked["messageAttributes"] = {"account_id": {"dataType": "String", "stringValue": "8"}}
    setting.clock.now_s = NOW_S
    report = run(setting, FakeMapping(), FakeQueues(parked=[parked]))
    assert (report.oldest_parked_s, report.oldest_parked_erasure_s) == (90, 0)


@pytest.mark.parametrize("probe_now", [False, True])
def test_a_breaker_that_an_operator_opened_pauses_the_mapping_and_has_no_probe(setting: Any, probe_now: bool) -> None:
    """Not even one that is asked for; when its time is over the tick probes as after an outage."""
    now_ms = int(NOW_S * 1_000)
    set_flow(setting, open_breaker(Flow(), until_ms=now_ms + 3_600_000, now_ms=now_ms))
    mapping, queues = FakeMapping(), FakeQueues(visible=[setting.record(1, ["200"])])
    report = run(setting, mapping, queues)
    assert (report.paused, report.no_probe) == (True, "an operator opened the breaker")
    report = run(setting, mapping, queues, probe_now=probe_now)
    assert (report.probed, report.stopped_by) == (False, "the breaker, which an operator opened")
    assert report.no_probe == "an operator opened the breaker"
    setting.clock.now_s += 3_601
    report = run(setting, mapping, queues)
    assert report.probed
    assert report.resumed


def test_environments_are_those_that_an_operators_limit_can_use() -> None:
    """More would only wait."""
    flow = Flow(limit=Limit(per_second=200.0, held=200.0, since_ms=1), latency_ms=100.0)
    limited = set_limit(flow, Bounds(200.0), 20, until_ms=9_000, now_ms=1_000)
    limited = replace(limited, limit=replace(limited.limit, why="steady"))
    assert concurrency_for(flow, max_in_flight=1, most=100) == 100
    assert concurrency_for(limited, max_in_flight=1, most=100) == 5
