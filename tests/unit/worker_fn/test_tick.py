import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from shared.errors import QueueUnavailable
from worker_fn.adaptive import Limit
from worker_fn.breaker import Breaker
from worker_fn.flow import Flow
from worker_fn.intake import IntakeUnavailable, Status
from worker_fn.suspensions import request_sweep
from worker_fn.tick import Ticker, TickReport, concurrency_for, tick

# The fleet of fakes is the drain tests'; `--import-mode=importlib` gives no names to import it by.
NOW_S = 1_700_000_000.0


class FakeIntake:
    """A mapping that changes at once; `broken` makes every call fail."""

    def __init__(self, *, enabled: bool = True, concurrency: int | None = 10) -> None:
        self.enabled, self.concurrency = enabled, concurrency
        self.broken = False
        self.calls: list[str] = []

    def _called(self, name: str) -> None:
        if self.broken:
            raise IntakeUnavailable("down")
        self.calls.append(name)

    async def status(self) -> Status:
        if self.broken:
            raise IntakeUnavailable("down")
        return Status(self.enabled, True, self.concurrency)

    async def pause(self) -> None:
        self._called("pause")
        self.enabled = False

    async def resume(self) -> None:
        self._called("resume")
        self.enabled = True

    async def set_concurrency(self, concurrency: int) -> None:
        self._called(f"concurrency {concurrency}")
        self.concurrency = concurrency


class FakeQueues:
    """One message to take, and a parking queue; `broken` makes moving back fail."""

    def __init__(self, *, visible: Sequence[dict[str, Any]] = (), parked: Sequence[dict[str, Any]] = ()) -> None:
        self.visible, self.waiting = list(visible), list(parked)
        self.deleted: list[str] = []
        self.back: list[str] = []
        self.broken = False

    async def take(self) -> dict[str, Any] | None:
        return self.visible.pop(0) if self.visible else None

    async def delete(self, record: Mapping[str, Any]) -> None:
        self.deleted.append(record["messageId"])

    async def parked(self, sight_s: int) -> Sequence[dict[str, Any]]:
        batch, self.waiting = self.waiting[:10], self.waiting[10:]
        return batch

    async def unpark(self, record: Mapping[str, Any]) -> None:
        if self.broken:
            raise QueueUnavailable("down")
        self.back.append(record["messageId"])


@pytest.fixture
def setting(fleet_of_fakes: Any) -> Any:
    """A worker whose partner answers as told, with its clock and state."""
    return fleet_of_fakes


def parked(setting: Any, number: int, account_id: str, **more: Any) -> dict[str, Any]:
    """A parked message of an account."""
    attributes = {"account_id": {"dataType": "String", "stringValue": account_id}}
    return {**setting.record(number, ["200"], account=int(account_id), **more), "messageAttributes": attributes}


def run(setting: Any, intake: FakeIntake, queues: FakeQueues, *, most: int = 10) -> TickReport:
    return asyncio.run(tick(Ticker(setting.worker, queues, intake, most), lambda: 55.0))


def set_flow(setting: Any, flow: Flow) -> None:
    setting.set_item("partner", "flow", flow.to_item())


def open_since(seconds: float) -> Flow:
    opened_ms = int((NOW_S - seconds) * 1_000)
    return Flow(breaker=Breaker(opened_ms=opened_ms, probe_at_ms=opened_ms + 5_000))


def test_open_breaker_pauses_an_intake_that_nobody_paused(setting: Any) -> None:
    """The worker that opened the breaker died before it paused the mapping: the tick does it."""
    set_flow(setting, open_since(1))
    intake = FakeIntake()
    assert run(setting, intake, FakeQueues()).paused
    assert not intake.enabled


def test_closed_breaker_resumes_an_intake_that_nobody_resumed(setting: Any) -> None:
    """A mapping that was left paused runs again when nothing speaks against it."""
    set_flow(setting, Flow())
    intake = FakeIntake(enabled=False)
    assert run(setting, intake, FakeQueues()).resumed
    assert intake.enabled


def test_long_cool_down_stops_the_intake_and_its_end_starts_it(setting: Any) -> None:
    """A partner that asks for an hour gets it, without the queue running into its in-flight quota."""
    set_flow(setting, Flow(cool_until_ms=int((NOW_S + 3_600) * 1_000)))
    intake = FakeIntake()
    assert run(setting, intake, FakeQueues()).paused
    setting.clock.now_s += 3_601
    assert run(setting, intake, FakeQueues()).resumed


def test_probe_that_arrives_resumes_the_intake(setting: Any) -> None:
    """While the mapping is paused the tick tries with one message; when it arrives, the intake runs again."""
    set_flow(setting, open_since(60))
    intake, queues = FakeIntake(enabled=False), FakeQueues(visible=[setting.record(1, ["200"])])
    report = run(setting, intake, queues)
    assert (report.probed, report.resumed, queues.deleted) == (True, True, ["m-1"])
    assert len(setting.api.calls) == 1


def test_probe_that_fails_keeps_the_intake_paused(setting: Any) -> None:
    """A partner that is still down sees one call a minute, and the message stays in the queue."""
    set_flow(setting, open_since(60))
    intake, queues = FakeIntake(enabled=False), FakeQueues(visible=[setting.record(1, ["503"])])
    report = run(setting, intake, queues)
    assert (report.probed, report.resumed, queues.deleted) == (True, False, [])
    assert not intake.enabled
    assert len(setting.api.calls) == 1


def test_without_a_message_to_try_with_the_intake_is_let_in(setting: Any) -> None:
    """When everything waits out of sight, the next batch has to bring the probe."""
    set_flow(setting, open_since(60))
    intake = FakeIntake(enabled=False)
    assert run(setting, intake, FakeQueues()).resumed


def test_failing_pause_call_is_made_good_by_the_next_tick(setting: Any) -> None:
    """Lambda may not answer: the tick counts it and the next one does what is missing."""
    set_flow(setting, open_since(1))
    intake = FakeIntake()
    intake.broken = True
    assert run(setting, intake, FakeQueues()).trouble > 0
    intake.broken = False
    assert run(setting, intake, FakeQueues()).paused


def test_concurrency_follows_what_the_allowance_can_use(setting: Any) -> None:
    """A partner that takes 50 calls of 200 ms a second needs few environments; more would wait for tokens."""
    set_flow(setting, Flow(limit=Limit(per_second=50.0, since_ms=1, why="reached"), latency_ms=200.0))
    intake = FakeIntake(concurrency=10)
    assert run(setting, intake, FakeQueues(), most=10).concurrency == concurrency_for(
        Flow(limit=Limit(per_second=50.0, why="reached"), latency_ms=200.0), max_in_flight=4, most=10
    )
    assert intake.concurrency == 6
    assert run(setting, intake, FakeQueues(), most=10).concurrency is None


@pytest.mark.parametrize(
    ("limit", "latency_ms", "expected"),
    [(None, 200.0, 40), (50.0, 0.0, 40), (1.0, 50.0, 2), (10_000.0, 1_000.0, 40), (100.0, 600.0, 13)],
)
def test_concurrency_stays_within_its_bounds(limit: float | None, latency_ms: float, expected: int) -> None:
    """Never below Lambda's two, never above the deployment's, and that where nothing is known."""
    flow = Flow(limit=Limit(per_second=limit, why="reached"), latency_ms=latency_ms)
    assert concurrency_for(flow, max_in_flight=10, most=40) == expected


def test_limit_that_is_not_reached_does_not_hold_back_environments() -> None:
    """Where the limit is not what holds the fleet back, all environments may work."""
    flow = Flow(limit=Limit(per_second=1.0, why="steady"), latency_ms=50.0)
    assert concurrency_for(flow, max_in_flight=10, most=40) == 40


def suspend(setting: Any, account_id: str, *, probe_seen_s: float = 0.0) -> None:
    """An account that is suspended, whose probe was due so many seconds ago."""
    at_ms = int((setting.clock.now_s - probe_seen_s) * 1_000)
    value = {"status": 401, "since_ms": 1, "probe_id": "x", "probe_at_ms": at_ms}
    setting.set_item("suspended", account_id, value)


def ask(setting: Any) -> None:
    asyncio.run(request_sweep(setting.state, now_ms=int(setting.clock.now_s * 1_000)))


def test_parked_messages_of_cleared_accounts_alone_move_back(setting: Any) -> None:
    """Who is still suspended stays parked."""
    suspend(setting, "8")
    ask(setting)
    rows = [parked(setting, number, "7" if number % 2 else "8") for number in range(30)]
    queues = FakeQueues(parked=rows)
    assert run(setting, FakeIntake(), queues).unparked == 15
    assert queues.back == [f"m-{number}" for number in range(1, 30, 2)]


def test_parking_queue_is_looked_through_when_asked_and_now_and_then(setting: Any) -> None:
    """Right after somebody was cleared each tick looks; later every ten minutes, in case that a worker died."""
    suspend(setting, "8")
    looks = []
    for _ in range(20):
        queues = FakeQueues(parked=[parked(setting, 0, "8")])
        suspend(setting, "8")
        run(setting, FakeIntake(), queues)
        looks.append(not queues.waiting)
        setting.clock.now_s += 60
    assert looks == [True] + [False] * 9 + [True] + [False] * 9
    ask(setting)
    queues = FakeQueues(parked=[parked(setting, 0, "8")])
    run(setting, FakeIntake(), queues)
    assert not queues.waiting


def test_account_that_lost_its_probe_gets_another(setting: Any) -> None:
    """When a suspended account's probe is gone, one of its parked messages takes its place; the others stay."""
    suspend(setting, "8", probe_seen_s=3_600)
    queues = FakeQueues(parked=[parked(setting, number, "8") for number in range(5)])
    assert run(setting, FakeIntake(), queues).unparked == 1
    assert queues.back == ["m-0"]


def test_parked_message_that_is_too_old_comes_back_to_be_dead_lettered(setting: Any) -> None:
    """Nothing vanishes in the parking queue: what has used up its age gets a dead letter that says so."""
    suspend(setting, "7")
    ask(setting)
    old = parked(setting, 1, "7", received_at_ms=int((setting.clock.now_s - 73 * 3_600) * 1_000))
    queues = FakeQueues(parked=[old, parked(setting, 2, "7")])
    assert run(setting, FakeIntake(), queues).unparked == 1
    assert queues.back == ["m-1"]
    setting.run(old)
    assert [reason for reason, _ in setting.letters()] == ["too_old"]
    assert setting.api.calls == []


def test_sweep_that_fails_half_way_is_taken_up_again(setting: Any) -> None:
    """SQS may fail in the middle: what was not moved is still parked, and the next tick moves it."""
    ask(setting)
    queues = FakeQueues(parked=[parked(setting, 1, "7")])
    queues.broken = True
    assert run(setting, FakeIntake(), queues).trouble == 1
    queues = FakeQueues(parked=[parked(setting, 1, "7")])
    assert run(setting, FakeIntake(), queues).unparked == 1


def test_tick_with_the_state_table_down_lets_messages_in(setting: Any) -> None:
    """With nobody to say why the intake was paused, messages are delivered all the same."""
    setting.state.down = True
    intake = FakeIntake(enabled=False)
    report = run(setting, intake, FakeQueues())
    assert (report.trouble, intake.calls) == (1, ["resume"])
    assert json.dumps(report.unparked) == "0"
