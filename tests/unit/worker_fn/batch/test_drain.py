"""A batch, from its records to how each ends."""

from typing import Any

import pytest

from shared.state import PARTNER
from testkit.records import record
from worker_fn.batch import rounds


def test_delivered_messages_leave_the_queue(fleet: Any) -> None:
    """Everything arrived: nothing is reported, nothing is dead-lettered, nothing is remembered."""
    report = fleet.run(record(1, ["200", "204"]), record(2, ["201"]))
    assert sorted(fleet.api.ids) == ["1.0", "1.1", "2.0"]
    assert (report.failures, fleet.queue.dead, fleet.queue.hidden) == ([], [], {})
    assert report.delivered == 2
    assert fleet.state.keys("progress#") == []


def test_message_that_must_wait_is_hidden_and_reported(fleet: Any) -> None:
    """A partner that is down sends the message back to the queue for a while; its neighbours are delivered."""
    report = fleet.run(record(1, ["503"]), record(2, ["200"]), record(3, ["timeout"]))
    assert report.failures == ["m-1", "m-3"]
    assert set(fleet.queue.hidden) == {"h-1", "h-3"}
    assert all(wait >= 1 for wait in fleet.queue.hidden.values())
    assert fleet.queue.dead == []


def test_retry_after_is_the_least_that_a_message_waits(fleet: Any) -> None:
    """The partner's own wish decides when the message comes back."""
    fleet.run(record(1, ["429 120"]))
    assert fleet.queue.hidden["h-1"] >= 120


def test_sending_stops_in_time_to_settle(make_fleet: Any) -> None:
    """Calls stop when the time left is what settling needs; what was not sent comes back soon and unharmed."""
    fleet = make_fleet(max_in_flight=1)
    fleet.api.call_s = 4.0
    started_s = fleet.clock.now_s
    report = fleet.run(*(record(n, ["200"]) for n in range(10)), time_s=20.0)
    assert fleet.clock.now_s - started_s <= 20.0 - 5.0 + 4.0
    assert 0 < report.delivered < 10
    assert report.waiting == 10 - report.delivered
    assert set(fleet.queue.hidden.values()) == {1}
    assert fleet.queue.dead == []


def test_without_the_state_table_messages_are_delivered_all_the_same(fleet: Any) -> None:
    """The state table can be out of reach: deliveries go on, at least once, and the trouble is counted."""
    fleet.state.down = True
    report = fleet.run(record(1, ["200"]), record(2, ["200", "503"]), record(3, ["200"], receives=4))
    assert sorted(fleet.api.ids) == ["1.0", "2.0", "2.1", "3.0"]
    assert report.delivered == 2
    assert report.state_trouble > 0


def test_what_a_batch_came_to_is_told_once(make_fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of a batch that end with a fault share one item of the table, and report their results once."""
    monkeypatch.setattr(rounds, "MESSAGES_A_PART", 4)
    fleet = make_fleet("unordered", max_in_flight=20)
    told, add = list[str](), fleet.state.add

    async def noted(pk: str, *rest: Any, **more: Any) -> Any:
        told.append(pk)
        return await add(pk, *rest, **more)

    fleet.state.add = noted
    fleet.run(*(record(n, ["503" if n in {3, 7, 11} else "200"]) for n in range(12)))
    assert told == [PARTNER] * 2, "the first call at once, and all others at the end"


def test_waiting_is_no_attempt(fleet: Any) -> None:
    """A cool-down sends nothing and uses up nothing but time: the message may wait as often as it has to."""
    fleet.run(record(1, ["429 59"]))
    for receives in range(2, 60):
        fleet.clock.now_s += 0.5
        report = fleet.run(record(1, ["429 59"], receives=receives), record(2, ["200"]))
        assert sorted(report.failures) == ["m-1", "m-2"]
    assert fleet.api.ids == ["1.0"]
    assert fleet.queue.dead == []
