"""Which parked messages move back, and when the parking queue is swept."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from shared.errors import StateRefused, StateUnavailable
from tests.fakes.mapping import FakeMapping
from tests.unit.worker_fn.intake import FakeParking
from worker_fn.accounts.clearing import clear, request_sweep
from worker_fn.accounts.suspension import NOBODY, Suspension
from worker_fn.batch.time_budget import TICK_ENDS_SHARE, TimeBudget
from worker_fn.limits.agreement import MOST_IN_LINE
from worker_fn.limits.flow import Flow
from worker_fn.maintenance.ticker import Ticker, TickReport
from worker_fn.maintenance.unpark import CLEARED_FOR_MS, HANDS, SIGHT_S, unpark


@pytest.fixture
def setting(fleet: Any) -> Any:
    """A worker with its clock and state."""
    return fleet


def run(setting: Any, queue: FakeParking, *, time_s: float = 55.0) -> TickReport:
    ends_s = setting.clock.now_s + time_s
    budget = TimeBudget(lambda: ends_s - setting.clock.now_s, setting.worker.settle_reserve_s)
    ticker = Ticker(setting.worker, queue, FakeMapping(), 10)
    asyncio.run(unpark(ticker, budget))
    return ticker.report


def parked(setting: Any, number: int, account_id: str, **more: Any) -> dict[str, Any]:
    """A parked message of an account."""
    attributes = {"account_id": {"dataType": "String", "stringValue": account_id}}
    return {**setting.record(number, ["200"], account=int(account_id), **more), "messageAttributes": attributes}


def suspend(setting: Any, account_id: str, *, probe_seen_s: float = 0.0) -> None:
    """Suspend an account whose probe was due this many seconds ago."""
    at_ms = int((setting.clock.now_s - probe_seen_s) * 1_000)
    value = {"status": 401, "since_ms": 1, "probe_id": "x", "probe_at_ms": at_ms}
    setting.set_item("suspended", account_id, value)


def ask(setting: Any) -> None:
    asyncio.run(request_sweep(setting.state, now_ms=int(setting.clock.now_s * 1_000), rng=setting.worker.rng))


def test_parked_messages_of_cleared_accounts_alone_move_back(setting: Any) -> None:
    """Messages of accounts that are still suspended stay parked."""
    suspend(setting, "8")
    ask(setting)
    rows = [parked(setting, number, "7" if number % 2 else "8") for number in range(30)]
    queues = FakeParking(rows)
    assert run(setting, queues).unparked == 15
    assert queues.back == [f"m-{number}" for number in range(1, 30, 2)]


@pytest.mark.parametrize(
    ("pk", "sk", "value"),
    [
        ("partner", "sweep", {"wanted_ms": "x", "looked_ms": None}),
        ("cleared", "9", {}),
        ("cleared", "9", {"at_ms": "x"}),
        ("cleared", "9", {"at_ms": 1_700_000_000_000, "account_id": ["9"]}),
        ("suspended", "9", {"status": 401, "since_ms": 1, "probe_id": "x", "probe_at_ms": 2, "superseded_ms": "x"}),
        ("suspended", "9", {"status": 401, "since_ms": 1, "probe_id": "x", "probe_at_ms": 2, "others_at_ms": "x"}),
    ],
)
def test_an_odd_item_keeps_no_other_message_parked(pk: str, sk: str, value: dict[str, Any], setting: Any) -> None:
    """Whatever the state table has for one account, the messages of others move back."""
    setting.set_item(pk, sk, value)
    queues = FakeParking([parked(setting, 1, "7")])
    assert (run(setting, queues).unparked, queues.back) == (1, ["m-1"])


def test_parking_queue_is_looked_through_when_asked_and_now_and_then(setting: Any) -> None:
    """After a clear each tick sweeps; later every ten minutes, in case a worker died."""
    suspend(setting, "8")
    looks = []
    for _ in range(20):
        queues = FakeParking([parked(setting, 0, "8")])
        suspend(setting, "8")
        run(setting, queues)
        looks.append(not queues.waiting)
        setting.clock.now_s += 60
    assert looks == [True] + [False] * 9 + [True] + [False] * 9
    ask(setting)
    queues = FakeParking([parked(setting, 0, "8")])
    run(setting, queues)
    assert not queues.waiting


def test_parked_message_that_was_redriven_is_as_old_as_its_redrive(setting: Any) -> None:
    """If its credentials are still refused, a redriven message is parked for its full time again, and not dead-lettered
    at once.
    """
    suspend(setting, "7")
    ask(setting)
    now_ms = int(setting.clock.now_s * 1_000)
    old = parked(setting, 1, "7", received_at_ms=now_ms - 100 * 3_600_000)
    old["messageAttributes"] |= {"redriven_ms": {"dataType": "String", "stringValue": str(now_ms - 3_600_000)}}
    assert run(setting, FakeParking([old])).unparked == 0


def test_account_that_lost_its_probe_gets_another(setting: Any) -> None:
    """When a suspended account's probe is gone, one of its parked messages takes its place; the others stay."""
    suspend(setting, "8", probe_seen_s=3_600)
    queues = FakeParking([parked(setting, number, "8") for number in range(5)])
    assert run(setting, queues).unparked == 1
    assert queues.back == ["m-0"]


def test_parked_message_that_is_too_old_comes_back_to_be_dead_lettered(setting: Any) -> None:
    """A parked message whose time is over moves back and is dead-lettered as too old."""
    suspend(setting, "7")
    ask(setting)
    old = parked(setting, 1, "7", received_at_ms=int((setting.clock.now_s - 73 * 3_600) * 1_000))
    queues = FakeParking([old, parked(setting, 2, "7")])
    assert run(setting, queues).unparked == 1
    assert queues.back == ["m-1"]
    setting.run(old)
    assert [reason for reason, _ in setting.letters()] == ["too_old"]
    assert setting.api.calls == []


def test_sweep_that_fails_half_way_is_taken_up_again(setting: Any) -> None:
    """If SQS fails during a sweep, the remaining messages stay parked, and the next tick moves them."""
    ask(setting)
    queues = FakeParking([parked(setting, number, "7") for number in range(5)])
    queues.failing = {"m-3"}
    assert run(setting, queues) == TickReport(unparked=4, swept=False, trouble=1)
    assert setting.state.item("partner", "sweep").value["looked_ms"] == 0  # by which the doctor knows
    queues = FakeParking([parked(setting, 3, "7")])
    assert run(setting, queues).unparked == 1


def test_sweep_goes_on_until_nothing_can_be_parked_any_more(setting: Any) -> None:
    """For two minutes after a clear each tick sweeps, because a batch that began before it may still park messages."""
    ask(setting)
    looks = []
    for _ in range(5):
        queues = FakeParking([parked(setting, 1, "7")])
        run(setting, queues)
        looks.append(not queues.waiting)
        setting.clock.now_s += 60
    assert looks == [True, True, True, False, False]


def test_sweep_that_ran_out_of_time_is_taken_up_by_the_next_tick(setting: Any) -> None:
    """A sweep that ran out of time is continued, however long ago it was asked for."""
    rows = [parked(setting, number, "7") for number in range(1_000)]
    ask(setting)
    setting.clock.now_s += 1_000

    class Slow(FakeParking):
        async def parked(self, sight_s: int) -> Sequence[dict[str, Any]]:
            setting.clock.now_s += 1.0
            return await super().parked(sight_s)

    queues = Slow(rows)
    assert not run(setting, queues, time_s=20 / (1 - TICK_ENDS_SHARE)).swept
    assert 0 < len(queues.back) < 1_000
    setting.clock.now_s += 60
    queues = FakeParking([parked(setting, 1, "7")])
    assert run(setting, queues).unparked == 1


@pytest.mark.parametrize(("time_s", "sweep_s"), [(40.0, 40 * (1 - TICK_ENDS_SHARE)), (400.0, SIGHT_S)])
def test_a_sweep_ends_with_its_share_of_time_and_before_it_sees_a_message_again(
    time_s: float, sweep_s: float, setting: Any
) -> None:
    """What was looked at comes into sight again, and would be looked at for ever."""
    ask(setting)
    begun_s = setting.clock.now_s

    class Endless(FakeParking):
        async def parked(self, sight_s: int) -> Sequence[dict[str, Any]]:
            setting.clock.now_s += 0.1
            return [parked(setting, 1, "7")]

    run(setting, Endless(), time_s=time_s)
    assert sweep_s <= setting.clock.now_s - begun_s <= sweep_s + 0.1 * HANDS


def test_a_queue_that_takes_nothing_is_left_alone(setting: Any) -> None:
    """Each task of the sweep tries once: the next tick is soon enough."""
    ask(setting)
    queue = FakeParking([parked(setting, number, "7") for number in range(1_000)])
    queue.failing = {f"m-{number}" for number in range(1_000)}
    assert run(setting, queue) == TickReport(swept=False, trouble=HANDS)
    assert len(queue.batches) == HANDS


def test_many_hands_move_tens_but_one_on_a_fifo_queue(make_fleet: Any) -> None:
    """A standard queue is swept by several receivers at the same time, a FIFO queue by one, to keep the order."""
    for in_groups, together in ((False, HANDS), (True, 1)):
        setting = make_fleet(in_groups=in_groups)
        clear_account(setting, "7")
        working, most = 0, 0

        class Watched(FakeParking):
            async def unpark(self, records: Sequence[Mapping[str, Any]]) -> set[str]:
                nonlocal working, most
                working += 1
                most = max(most, working)
                failed = await super().unpark(records)
                working -= 1
                return failed

        queue = Watched([parked(setting, number, "7") for number in range(1_000)])
        assert run(setting, queue).unparked == 1_000
        assert (most, set(queue.batches)) == (together, {10})


def clear_account(setting: Any, account_id: str) -> None:
    suspend(setting, account_id)
    suspension = Suspension.from_item(account_id, setting.state.items["suspended", account_id])
    asyncio.run(
        clear(setting.state, suspension, now_ms=int(setting.clock.now_s * 1_000), accepted=True, rng=setting.worker.rng)
    )


def test_account_that_is_parked_for_its_failures_comes_back_as_it_has_room(setting: Any) -> None:
    """Of thousands of messages that would fail and be parked again, only as many move back as may wait."""
    ask(setting)
    setting.clock.now_s += 1_000  # the sweep that was asked for is not the reason for the next one
    rows = [parked(setting, number, "7") for number in range(MOST_IN_LINE + 500)]
    queue = FakeParking(rows)
    assert not run(setting, queue).swept
    assert len(queue.back) == MOST_IN_LINE
    booked_ms = int((setting.clock.now_s + 300) * 1_000)
    setting.set_item("line#7", "flow", Flow(booked_ms=booked_ms).to_item())
    queue = FakeParking(rows)
    run(setting, queue)
    assert queue.back == []


def test_a_message_without_an_account_moves(setting: Any) -> None:
    """It waits for nobody's room."""
    ask(setting)
    bare = {**setting.record(1, ["200"]), "messageAttributes": {}}
    bare["body"] = json.dumps({**json.loads(bare["body"]), "account_id": None})
    assert run(setting, FakeParking([bare])).unparked == 1
    assert [pk for pk, _ in setting.state.items] == ["partner"]


def test_account_that_was_cleared_comes_back_whole(setting: Any) -> None:
    """After a clear all messages of an account move back, and a while later it counts as any other."""
    clear_account(setting, "7")
    rows = [parked(setting, number, "7") for number in range(3 * MOST_IN_LINE)]
    queue = FakeParking(rows)
    run(setting, queue)
    assert len(queue.back) == 3 * MOST_IN_LINE
    setting.clock.now_s += CLEARED_FOR_MS / 1_000
    queue = FakeParking(rows)
    run(setting, queue)
    assert len(queue.back) == MOST_IN_LINE


def test_account_without_a_probe_gets_one_at_the_next_tick(setting: Any) -> None:
    """After a probe made room one parked message takes its place; if none is parked, no sweep is made each minute."""
    suspend(setting, "8")
    setting.state.items["suspended", "8"].value["probe_id"] = NOBODY
    queue = FakeParking([parked(setting, number, "8") for number in range(5)])
    assert run(setting, queue).unparked == 1
    for _ in range(5):
        setting.clock.now_s += 60
        queue = FakeParking([parked(setting, 1, "8")])
        run(setting, queue)
        assert queue.waiting


def test_with_the_state_table_lost_amid_a_sweep_nothing_more_moves(setting: Any) -> None:
    """Without the table nobody knows whether an account has room, so received messages stay parked."""
    ask(setting)

    class Breaks(FakeParking):
        async def parked(self, sight_s: int) -> Sequence[dict[str, Any]]:
            setting.state.down = True
            return await super().parked(sight_s)

    queue = Breaks([parked(setting, 1, "7")])
    with pytest.raises(StateUnavailable):
        run(setting, queue)
    assert queue.back == []


@pytest.mark.parametrize("account_id", ["7" * 2_100, "7\x00", "\ud800", "", "a b", "\x1b[31m"])
def test_an_account_that_cannot_be_stops_no_sweep(setting: Any, account_id: str) -> None:
    """A parked message with an impossible account id in its attributes moves by the id in its body, and the others
    move, too.
    """
    ask(setting)
    odd = parked(setting, 99, "7")
    odd["messageAttributes"]["account_id"]["stringValue"] = account_id
    queues = FakeParking([odd, *(parked(setting, number, "7") for number in range(29))])
    assert run(setting, queues).unparked == 30


def test_a_key_that_the_table_refuses_stops_no_sweep(setting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal of one account's item is not an outage: other messages move."""
    ask(setting)
    read = setting.state.read

    async def refusing(pk: str, sk: str) -> Any:
        if pk == "line#8":
            raise StateRefused("not this one")
        return await read(pk, sk)

    monkeypatch.setattr(setting.state, "read", refusing)
    queues = FakeParking([parked(setting, number, "8" if number == 3 else "7") for number in range(30)])
    assert run(setting, queues).unparked == 30


def test_a_message_that_does_not_move_leaves_the_others_alone(setting: Any) -> None:
    """A message that cannot be moved stays parked, and those behind it move in the same sweep."""
    ask(setting)
    queues = FakeParking([parked(setting, number, "7") for number in range(35)])
    queues.failing = {"m-3"}
    assert run(setting, queues) == TickReport(unparked=34, swept=False, trouble=1)


def test_a_suspended_accounts_message_without_attributes_stays(setting: Any) -> None:
    """The account of a message without attributes is read from its body."""
    suspend(setting, "7")
    ask(setting)
    bare = {**parked(setting, 1, "7"), "messageAttributes": {}}
    assert run(setting, FakeParking([bare])).unparked == 0
