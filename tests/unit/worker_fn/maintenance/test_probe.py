"""The probe of a tick: when it is made, with which message, and what is reported if none is made."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.mapping import FakeMapping
from tests.unit.worker_fn.intake import NOW_S, FakeQueues, flow_of, hold, open_since, run_tick, set_flow
from worker_fn.limits.adaptive import Limit
from worker_fn.limits.agreement import open_breaker
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.flow import Flow
from worker_fn.maintenance.probe import PROBES
from worker_fn.maintenance.tick import tick
from worker_fn.maintenance.ticker import Ticker


def suspend(setting: Any, account_id: str) -> None:
    at_ms = int(setting.clock.now_s * 1_000) + 60_000
    setting.set_item("suspended", account_id, {"status": 401, "since_ms": 1, "probe_id": "x", "probe_at_ms": at_ms})


@pytest.fixture
def setting(fleet: Any) -> Any:
    """A worker whose partner answers as told, with its clock and state."""
    return fleet


def test_probe_that_arrives_resumes_the_mapping(setting: Any) -> None:
    """While the mapping is paused the tick tries with one message; when it arrives, the mapping runs again."""
    set_flow(setting, open_since(60))
    mapping, queues = FakeMapping(enabled=False), FakeQueues(visible=[setting.record(1, ["200"])])
    report = run_tick(setting, mapping, queues)
    assert (report.probed, report.resumed, queues.deleted) == (True, True, ["m-1"])
    assert len(setting.api.calls) == 1


def test_a_probes_message_is_measured_before_it_leaves_the_queue(setting: Any) -> None:
    """A probe's message is counted in the metrics before it leaves the queue, as a batch's is."""
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


def test_probe_that_fails_keeps_the_mapping_paused(setting: Any) -> None:
    """A partner that is still down sees one call a minute, and the message stays in the queue."""
    set_flow(setting, open_since(60))
    mapping, queues = FakeMapping(enabled=False), FakeQueues(visible=[setting.record(1, ["503"])])
    report = run_tick(setting, mapping, queues)
    assert (report.probed, report.resumed, queues.deleted) == (True, False, [])
    assert not mapping.enabled
    assert len(setting.api.calls) == 1


def test_a_probe_needs_the_time_of_its_call_and_of_settling(setting: Any) -> None:
    """Without time for the call and for settling no probe is made, and the report says so, because a call that we cut
    short proves nothing.
    """
    set_flow(setting, open_since(60))
    needed_s = setting.worker.call_timeout_s + setting.worker.settle_reserve_s
    mapping, queues = FakeMapping(enabled=False), FakeQueues(visible=[setting.record(1, ["200"])])
    report = run_tick(setting, mapping, queues, time_s=needed_s - 1)
    assert (report.probed, report.running, setting.api.calls) == (False, False, [])
    assert "are left of this invocation" in report.no_probe
    assert run_tick(setting, mapping, queues, time_s=needed_s + 1).probed


@pytest.mark.parametrize("enabled", [True, False])
def test_operator_has_a_probe_made_before_it_is_due(setting: Any, enabled: bool) -> None:
    """An operator's probe is made whether the mapping runs or not, and its success resumes all calls."""
    opened_ms = int(NOW_S * 1_000)
    set_flow(setting, Flow(breaker=Breaker(opened_ms=opened_ms, probe_at_ms=opened_ms + 50_000)))
    mapping, queues = FakeMapping(enabled=enabled), FakeQueues(visible=[setting.record(1, ["200"])])
    assert "due in 50 s" in run_tick(setting, FakeMapping(enabled=False), FakeQueues()).no_probe
    report = run_tick(setting, mapping, queues, probe_now=True)
    assert (report.probed, report.answer, report.running, report.stopped_by) == (True, "", True, "")
    assert mapping.enabled


@pytest.mark.parametrize(("answer", "said"), [("503", "HTTP 503"), ("429", "HTTP 429"), ("timeout", "timeout")])
def test_operator_hears_what_a_probe_was_answered(setting: Any, answer: str, said: str) -> None:
    """If the partner is still down, the report has its answer and why the mapping stays paused."""
    set_flow(setting, open_since(60))
    queues = FakeQueues(visible=[setting.record(1, [answer])])
    report = run_tick(setting, FakeMapping(enabled=False), queues, probe_now=True)
    assert (report.probed, report.answer, report.running) == (True, said, False)
    assert said in report.stopped_by


def test_operator_hears_why_no_probe_is_made(setting: Any) -> None:
    """The report says why no probe is made: nothing is wrong, a pause lasts, the partner asked for one, another probe
    is under way, or no message is visible.
    """
    now_ms = int(NOW_S * 1_000)
    queues = FakeQueues(visible=[setting.record(1, ["200"])])
    set_flow(setting, Flow())
    assert "breaker is closed" in run_tick(setting, FakeMapping(enabled=False), queues, probe_now=True).no_probe
    set_flow(setting, replace(open_since(60), cool_until_ms=now_ms + 9_000))
    assert "pause of 9 s more" in run_tick(setting, FakeMapping(enabled=False), queues, probe_now=True).no_probe
    flow = open_since(60)
    set_flow(setting, replace(flow, breaker=replace(flow.breaker, probe_until_ms=now_ms + 20_000)))
    assert "under way" in run_tick(setting, FakeMapping(enabled=False), queues, probe_now=True).no_probe
    set_flow(setting, open_since(60))
    assert (
        "no message is visible" in run_tick(setting, FakeMapping(enabled=False), FakeQueues(), probe_now=True).no_probe
    )
    hold(setting)
    report = run_tick(setting, FakeMapping(enabled=False), queues, probe_now=True)
    assert (report.no_probe, report.stopped_by) == ("an operator paused the intake", "an operator")
    assert setting.api.calls == []


def test_without_a_message_to_try_with_the_mapping_is_let_in(setting: Any) -> None:
    """If all messages are hidden, the mapping is resumed so that the next batch brings the probe."""
    set_flow(setting, open_since(60))
    mapping = FakeMapping(enabled=False)
    assert run_tick(setting, mapping, FakeQueues()).resumed


def test_message_that_cannot_be_a_probe_is_followed_by_another(setting: Any) -> None:
    """If a message is parked or undecodable, the tick takes the next one as the probe."""
    suspend(setting, "8")
    set_flow(setting, open_since(60))
    junk = {**setting.record(1, ["200"]), "body": "not ours"}
    rows = [junk, setting.record(2, ["200"], account=8), setting.record(3, ["200"]), setting.record(4, ["200"])]
    mapping, queues = FakeMapping(enabled=False), FakeQueues(visible=rows)
    report = run_tick(setting, mapping, queues)
    assert (report.probed, report.resumed, queues.deleted) == (True, True, ["m-1", "m-2", "m-3"])
    assert setting.api.ids == ["3.0"]


def test_tick_takes_a_few_messages_for_a_probe(setting: Any) -> None:
    """A tick tries a few messages as a probe, and the next tick goes on."""
    set_flow(setting, open_since(60))
    junk = [{**setting.record(n, ["200"]), "body": "not ours"} for n in range(9)]
    queues = FakeQueues(visible=junk)
    report = run_tick(setting, FakeMapping(enabled=False), queues)
    assert (report.probed, len(queues.deleted)) == (False, PROBES)


def test_partner_that_fails_a_probe_sees_no_second_one(setting: Any) -> None:
    """A tick makes one call, whatever its result."""
    set_flow(setting, open_since(60))
    rows = [setting.record(n, ["503" if n % 2 else "429"]) for n in range(4)]
    run_tick(setting, FakeMapping(enabled=False), FakeQueues(visible=rows))
    assert len(setting.api.calls) == 1


@pytest.mark.parametrize("probe_now", [False, True])
def test_a_breaker_that_an_operator_opened_pauses_the_mapping_and_has_no_probe(setting: Any, probe_now: bool) -> None:
    """While an operator has the breaker open no probe is made, not even one that is asked for; afterwards the tick
    probes as after an outage.
    """
    now_ms = int(NOW_S * 1_000)
    set_flow(setting, open_breaker(Flow(), until_ms=now_ms + 3_600_000, now_ms=now_ms))
    mapping, queues = FakeMapping(), FakeQueues(visible=[setting.record(1, ["200"])])
    report = run_tick(setting, mapping, queues)
    assert (report.paused, report.no_probe) == (True, "an operator opened the breaker")
    report = run_tick(setting, mapping, queues, probe_now=probe_now)
    assert (report.probed, report.stopped_by) == (False, "the breaker, which an operator opened")
    assert report.no_probe == "an operator opened the breaker"
    setting.clock.now_s += 3_601
    report = run_tick(setting, mapping, queues)
    assert report.probed
    assert report.resumed


@pytest.mark.parametrize("enabled", [True, False])
def test_a_breaker_that_an_operator_opened_is_closed_after_its_time_where_no_message_comes(
    setting: Any, enabled: bool
) -> None:
    """If the queue is empty after its time no probe can be made, so the breaker is closed, and the rate begins low."""
    now_ms = int(NOW_S * 1_000)
    set_flow(setting, open_breaker(Flow(limit=Limit(per_second=50.0)), until_ms=now_ms + 60_000, now_ms=now_ms))
    mapping = FakeMapping(enabled=enabled)
    report = run_tick(setting, mapping, FakeQueues())
    assert (report.stopped_by, flow_of(setting).breaker.is_open) == ("the breaker, which an operator opened", True)
    setting.clock.now_s += 61
    report = run_tick(setting, mapping, FakeQueues())
    assert (report.running, report.stopped_by, report.no_probe) == (True, "", "no message is visible to try with")
    flow = flow_of(setting)
    assert (flow.breaker.is_open, flow.breaker.by_hand_until_ms, mapping.enabled) == (False, 0, True)
    assert flow.limit.per_second is not None
    assert flow.limit.per_second < 50


def test_a_breaker_that_an_operator_opened_is_tried_after_its_time_with_the_mapping_enabled(setting: Any) -> None:
    """If the mapping was enabled by hand or by a deploy, a probe is made after the time, and a partner that is down
    keeps the breaker open.
    """
    now_ms = int(NOW_S * 1_000)
    set_flow(setting, open_breaker(Flow(), until_ms=now_ms, now_ms=now_ms - 1_000))
    report = run_tick(setting, FakeMapping(), FakeQueues(visible=[setting.record(1, ["503"])]))
    assert (report.probed, report.answer, report.paused) == (True, "HTTP 503", True)
    run_tick(setting, FakeMapping(enabled=False), FakeQueues())
    assert flow_of(setting).breaker.is_open


@pytest.mark.parametrize("changed", [{"probe_until_ms": int(NOW_S * 1_000) + 9_000, "probe_by": "another"}, {}])
def test_a_probe_of_another_is_waited_for(setting: Any, changed: dict[str, Any]) -> None:
    """While another worker probes, or an operator's pause lasts, a breaker whose time by hand is over is not closed."""
    now_ms = int(NOW_S * 1_000)
    flow = open_breaker(Flow(), until_ms=now_ms, now_ms=now_ms - 1_000)
    set_flow(setting, replace(flow, breaker=replace(flow.breaker, **changed)))
    if not changed:
        hold(setting)
    run_tick(setting, FakeMapping(), FakeQueues())
    assert flow_of(setting).breaker.is_open
