"""What a tick does beside probe and mapping, and what it does without Lambda or the state table."""

import asyncio
import json
from typing import Any

import pytest

from tests.fakes.mapping import FakeMapping
from tests.unit.worker_fn.intake import NOW_S, FakeQueues, flow_of, open_since, run_tick, set_flow
from worker_fn.accounts.clearing import request_sweep
from worker_fn.limits.adaptive import NO_CAP, RECOVERING, Bounds, Limit
from worker_fn.limits.agreement import set_limit
from worker_fn.limits.flow import Flow


@pytest.fixture
def setting(fleet: Any) -> Any:
    """A worker whose partner answers as told, with its clock and state."""
    return fleet


def test_a_tick_tells_how_much_of_the_rate_was_used_lately(setting: Any) -> None:
    """A tick reports the share of the rate that the fleet used, and none if no rate is known."""
    set_flow(setting, Flow())
    assert run_tick(setting, FakeMapping(), FakeQueues()).allowance_used is None
    set_flow(setting, Flow(limit=Limit(per_second=50)))
    assert run_tick(setting, FakeMapping(), FakeQueues()).allowance_used == 0


def test_a_tick_tells_whether_the_breaker_is_open_and_nothing_where_the_table_is_silent(setting: Any) -> None:
    """Its alarm must not end because nobody could look."""
    set_flow(setting, open_since(1))
    assert run_tick(setting, FakeMapping(), FakeQueues()).breaker_open is True
    set_flow(setting, Flow())
    assert run_tick(setting, FakeMapping(), FakeQueues()).breaker_open is False
    setting.state.down = True
    assert run_tick(setting, FakeMapping(), FakeQueues()).breaker_open is None


def test_failing_pause_call_is_made_good_by_the_next_tick(setting: Any) -> None:
    """If Lambda does not answer, the tick counts that, and the next one makes the change."""
    set_flow(setting, open_since(1))
    mapping = FakeMapping()
    mapping.broken = True
    assert run_tick(setting, mapping, FakeQueues()).trouble > 0
    mapping.broken = False
    assert run_tick(setting, mapping, FakeQueues()).paused


def test_operators_pause_holds_without_the_state_table(setting: Any) -> None:
    """Without the table the tick follows the mapping's tag; if Lambda does not answer, nothing is resumed."""
    setting.state.down = True
    mapping = FakeMapping(enabled=False)
    mapping.marked = True
    report = run_tick(setting, mapping, FakeQueues())
    assert (report.held, report.resumed, mapping.enabled) == (True, False, False)
    mapping.enabled = True  # by a deploy
    report = run_tick(setting, mapping, FakeQueues())
    assert (report.held, report.paused, mapping.enabled) == (True, True, False)
    mapping.marked = False
    assert run_tick(setting, mapping, FakeQueues()).resumed


def test_what_the_sweep_moved_is_in_the_report(setting: Any) -> None:
    """A tick says how many parked messages it moved back, and whether all could be looked at."""
    asyncio.run(request_sweep(setting.state, now_ms=int(setting.clock.now_s * 1_000), rng=setting.worker.rng))
    record = {**setting.record(1, ["200"]), "messageAttributes": {"account_id": {"stringValue": "7"}}}
    report = run_tick(setting, FakeMapping(), FakeQueues(parked=[record]))
    assert (report.unparked, report.swept) == (1, False)
    setting.clock.now_s += 130
    assert run_tick(setting, FakeMapping(), FakeQueues()).swept


def test_tick_with_the_state_table_down_lets_messages_in(setting: Any) -> None:
    """Without the table nobody knows why the mapping was paused, so messages are let in."""
    setting.state.down = True
    mapping = FakeMapping(enabled=False)
    report = run_tick(setting, mapping, FakeQueues())
    assert (report.trouble, mapping.calls) == (1, ["resume"])
    assert json.dumps(report.unparked) == "0"


def test_tick_says_how_old_the_oldest_parked_message_is(setting: Any) -> None:
    """A tick reports the oldest parked message's age since it was accepted, because no batch sees it during the
    suspension.
    """
    setting.set_item(
        "suspended", "8", {"status": 401, "since_ms": 1, "probe_id": "x", "probe_at_ms": int(NOW_S * 1_000)}
    )
    parked = setting.record(1, ["200"], account=8, received_at_ms=int((NOW_S - 90) * 1_000))
    parked["messageAttributes"] = {"account_id": {"dataType": "String", "stringValue": "8"}}
    setting.clock.now_s = NOW_S
    report = run_tick(setting, FakeMapping(), FakeQueues(parked=[parked]))
    assert (report.oldest_parked_s, report.oldest_parked_erasure_s) == (90, 0)


def test_an_operators_limit_ends_by_itself_on_an_idle_fleet(setting: Any) -> None:
    """On an idle fleet the tick ends an operator's limit, and the rate goes back up."""
    now_ms = int(NOW_S * 1_000)
    flow = set_limit(
        Flow(limit=Limit(per_second=50.0, held=50.0)), Bounds(), 5, until_ms=now_ms + 60_000, now_ms=now_ms
    )
    set_flow(setting, flow)
    run_tick(setting, FakeMapping(), FakeQueues())
    assert flow_of(setting).cap.per_second == 5
    setting.clock.now_s += 61
    run_tick(setting, FakeMapping(), FakeQueues())
    assert (flow_of(setting).cap, flow_of(setting).limit.why) == (NO_CAP, RECOVERING)
