"""A batch whose account is refused, or whose partner is down."""

import asyncio
import json
from typing import Any

from tests.unit.worker_fn.records import record
from worker_fn.accounts.suspension import PROBE_EVERY_MS


def test_first_refused_credentials_suspend_the_account(fleet: Any) -> None:
    """After a 401 the account's messages are parked; one stays as the probe; other customers are served."""
    report = fleet.run(*(record(n, ["401"]) for n in range(5)), record(9, ["200"], account=8))
    assert report.delivered == 1
    assert len(fleet.queue.parked) == 4
    assert len(report.failures) == 1
    assert fleet.state.keys("suspended") == ["7"]
    assert fleet.queue.dead == []
    fleet.run(record(19, ["401"]), worker=fleet.another())  # another message has a look, and is the probe then
    calls = len(fleet.api.calls)
    fleet.clock.now_s += 10
    fleet.run(record(20, ["200"]), worker=fleet.another())
    assert (len(fleet.api.calls), fleet.queue.parked[-1]) == (calls, "m-20")


def test_probe_that_arrives_clears_the_account(fleet: Any) -> None:
    """Once the credentials work, the account is served again and its parked messages are asked for."""
    fleet.run(record(1, ["401|200"]))
    fleet.clock.now_s += PROBE_EVERY_MS / 1_000 + 1
    report = fleet.run(record(1, ["401|200"], receives=2))
    assert report.delivered == 1
    assert fleet.state.keys("suspended") == []
    assert fleet.state.keys("partner") == ["flow", "sweep"] or "sweep" in fleet.state.keys("partner")
    assert fleet.run(record(2, ["200"])).delivered == 1


def test_probe_waits_for_its_time(fleet: Any) -> None:
    """Between two probes the partner hears nothing of the account."""
    fleet.run(record(1, ["401"]))
    fleet.clock.now_s += 10
    report = fleet.run(record(1, ["401"], receives=2))
    assert len(fleet.api.calls) == 1
    assert report.failures == ["m-1"]
    assert fleet.queue.hidden["h-1"] >= PROBE_EVERY_MS / 1_000 - 11


def test_unauthorized_without_an_account_is_dead_lettered(fleet: Any) -> None:
    """Where there is no account to suspend, nobody could clear it: the message says why it could not be sent."""
    bare = record(1, ["401"])
    envelope = json.loads(bare["body"])
    envelope["account_id"] = None
    fleet.run({**bare, "body": json.dumps(envelope)})
    assert fleet.letters()[0][0] == "unauthorized"


def test_refused_credentials_do_not_open_the_breaker(fleet: Any) -> None:
    """A customer's wrong key says nothing of the partner."""
    fleet.run(*(record(n, ["401"], account=n) for n in range(40)))
    assert fleet.worker.limiters.partner.flow.breaker.is_open is False


def test_outage_opens_the_breaker_for_the_whole_fleet(fleet: Any) -> None:
    """After enough faults nobody calls: another worker's messages wait without a call."""
    fleet.run(*(record(n, ["503"]) for n in range(30)))
    calls = len(fleet.api.calls)
    assert calls < 30
    report = fleet.run(*(record(n, ["200"]) for n in range(50, 60)), worker=fleet.another())
    assert len(fleet.api.calls) == calls
    assert len(report.failures) == 10
    assert fleet.queue.dead == []


def test_one_probe_closes_the_breaker(fleet: Any) -> None:
    """When the pause is over one call goes; when it arrives, everybody's do."""
    fleet.run(*(record(n, ["503"]) for n in range(30)))
    calls = len(fleet.api.calls)
    fleet.clock.now_s += 60
    report = fleet.run(*(record(n, ["200"]) for n in range(50, 60)))
    assert len(fleet.api.calls) == calls + 10
    assert report.delivered == 10


def test_failed_probe_keeps_the_breaker_open(fleet: Any) -> None:
    """A probe that fails is the only call until the next, longer pause is over."""
    fleet.run(*(record(n, ["503"]) for n in range(30)))
    calls = len(fleet.api.calls)
    fleet.clock.now_s += 60
    fleet.run(*(record(n, ["503"]) for n in range(50, 60)))
    assert len(fleet.api.calls) == calls + 1
    fleet.clock.now_s += 1
    fleet.run(*(record(n, ["503"]) for n in range(50, 60)), worker=fleet.another())
    assert len(fleet.api.calls) == calls + 1


def test_slow_suspension_leaves_one_probe_all_the_same(fleet: Any) -> None:
    """However long the state table takes to note it, one message stays as the probe and the rest is parked."""
    swap = fleet.state.swap

    async def slowly(*arguments: Any, **named: Any) -> Any:
        for _ in range(20):
            await asyncio.sleep(0)
        return await swap(*arguments, **named)

    fleet.state.swap = slowly
    report = fleet.run(*(record(n, ["401"]) for n in range(12)))
    assert (len(report.failures), len(fleet.queue.parked)) == (1, 11)
