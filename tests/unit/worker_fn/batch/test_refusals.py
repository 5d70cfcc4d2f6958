"""What refused credentials mean for the messages of a batch: a fault of the whole account, or only of one message."""

import asyncio
from typing import Any

import pytest

from worker_fn.accounts.auth_failures import REFUSALS_IN_A_ROW
from worker_fn.accounts.clearing import clear_account
from worker_fn.accounts.suspension import PROBE_EVERY_MS, TURNS_EACH

PROBE_S = PROBE_EVERY_MS / 1_000


@pytest.fixture
def fleet(make_fleet: Any) -> Any:
    """Workers with one connection and calls of half a second, so that the order of calls is known."""
    made = make_fleet(max_in_flight=1)
    made.api.call_s = 0.5
    return made


def suspended(fleet: Any) -> dict[str, Any]:
    return {key[1]: item.value for key, item in fleet.state.items.items() if key[0] == "suspended"}


def hidden(fleet: Any, number: int) -> int:
    seconds: int = fleet.queue.hidden[f"h-{number}"]
    return seconds


@pytest.mark.parametrize("status", ["401", "403"])
def test_message_that_alone_is_refused_suspends_nobody(fleet: Any, status: str) -> None:
    """If the account's next message is accepted, the refusal concerns only its own message, which waits, and nothing is
    parked.
    """
    report = fleet.run(fleet.record(1, [status]), *(fleet.record(n, ["200"]) for n in range(2, 6)))
    assert (report.delivered, report.failures, fleet.queue.parked) == (4, ["m-1"], [])
    assert suspended(fleet) == {}
    assert hidden(fleet, 1) <= 5


def test_message_that_is_refused_again_and_again_is_dead_lettered(fleet: Any) -> None:
    """After three refusals, each followed by a success of its account, a message is dead-lettered with that reason, and
    holds up no other.
    """
    for turn in range(3):
        assert fleet.letters() == []
        fleet.run(fleet.record(1, ["403"], receives=turn + 1), fleet.record(10 + turn, ["200"]))
        fleet.clock.now_s += 30
    assert fleet.letters() == [("unauthorized", "HTTP 403 3 times, while others of its account are taken")]
    assert suspended(fleet) == {}


def test_refusals_are_its_own_whichever_batch_the_arrivals_are_in(fleet: Any) -> None:
    """The message is refused once more each time after another one of its account has arrived."""
    fleet.run(fleet.record(1, ["403"]), fleet.record(10, ["200"]))
    for turn in range(2):
        fleet.clock.now_s += 30
        fleet.run(fleet.record(20 + turn, ["200"]))
        fleet.clock.now_s += 30
        fleet.run(fleet.record(1, ["403"], receives=turn + 2))
    assert [reason for reason, _ in fleet.letters()] == ["unauthorized"]
    assert suspended(fleet) == {}


def test_a_message_that_failed_before_is_refused_as_any_other(fleet: Any) -> None:
    """What arrived since it failed says nothing of credentials that were revoked after that."""
    fleet.run(fleet.record(1, ["503|403"]))
    fleet.clock.now_s += 30
    fleet.run(fleet.record(2, ["200"]))
    fleet.clock.now_s += 30
    fleet.run(fleet.record(1, ["503|403"], receives=2))
    assert list(suspended(fleet)) == ["7"]


def test_revoked_credentials_suspend_although_others_arrived_a_moment_before(fleet: Any) -> None:
    """If a key is revoked amid traffic, earlier successes prove nothing: three refusals suspend, and the rest is parked
    without a call.
    """
    before = [fleet.record(n, ["200"]) for n in range(3)]
    after = [fleet.record(n, ["403"]) for n in range(10, 20)]
    report = fleet.run(*before, *after)
    assert (report.delivered, len(fleet.api.calls)) == (3, 3 + REFUSALS_IN_A_ROW)
    assert list(suspended(fleet)) == ["7"]
    assert (report.failures, len(fleet.queue.parked)) == (["m-10"], 9)
    assert fleet.letters() == []


def test_arrival_before_the_refusal_does_not_clear_the_account(fleet: Any) -> None:
    """Only the probe clears the account, not a message of the same batch that was sent before the key was revoked."""
    fleet.run(fleet.record(1, ["200"]), fleet.record(2, ["401"]))
    assert list(suspended(fleet)) == ["7"]


def test_next_message_has_a_look_at_once_and_clears(fleet: Any) -> None:
    """A message that is refused alone in its batch suspends its account only until the account's next message."""
    fleet.run(fleet.record(1, ["403"]))
    assert {account_id: row["status"] for account_id, row in suspended(fleet).items()} == {"7": 403}
    report = fleet.run(fleet.record(2, ["200"]), fleet.record(3, ["200"]), worker=fleet.another())
    assert (report.delivered, fleet.queue.parked) == (1, ["m-3"])
    assert suspended(fleet) == {}
    assert fleet.run(fleet.record(4, ["200"]), worker=fleet.another()).delivered == 1


def test_message_that_was_refused_before_its_account_was_cleared_suspends_it_no_more(fleet: Any) -> None:
    """That another one arrived in between is remembered by the fleet: the second refusal is the message's own, and a
    message that is known for it suspends nothing later, either, or each of its returns would hold up the others.
    """
    fleet.run(fleet.record(1, ["403"]))
    fleet.clock.now_s += 5
    fleet.run(fleet.record(2, ["200"]), worker=fleet.another())
    fleet.clock.now_s += PROBE_S
    report = fleet.run(fleet.record(1, ["403"], receives=2), worker=fleet.another())
    assert (report.failures, suspended(fleet)) == (["m-1"], {})
    fleet.clock.now_s += 60
    report = fleet.run(fleet.record(1, ["403"], receives=3), worker=fleet.another())  # nobody arrived since
    assert (report.failures, suspended(fleet), fleet.letters()) == (["m-1"], {}, [])


def test_message_with_an_old_key_is_its_own_trouble(fleet: Any) -> None:
    """A request with the key from before the customer replaced it does not suspend the account again."""
    fleet.run(fleet.record(1, ["401"]))
    fleet.clock.now_s += 5
    fleet.run(fleet.record(2, ["200"]), worker=fleet.another())
    fleet.clock.now_s += 5
    report = fleet.run(*(fleet.record(n, ["401"]) for n in range(10, 20)), worker=fleet.another())
    assert suspended(fleet) == {}
    assert (len(report.failures), fleet.queue.parked) == (10, [])
    assert max(hidden(fleet, n) for n in range(10, 20)) <= 40  # what was not sent for it neither waits for a probe
    new = int(fleet.clock.now_s * 1_000)
    fleet.run(fleet.record(30, ["401"], received_at_ms=new), worker=fleet.another())
    assert list(suspended(fleet)) == ["7"]


def test_operators_clear_is_no_sign_that_credentials_work(fleet: Any) -> None:
    """If the key is refused after an operator's clear, the account is suspended again, and no message is given up for
    it.
    """
    fleet.run(fleet.record(1, ["403"]))
    for turn in range(5):
        fleet.clock.now_s += PROBE_S + 1
        now_ms = int(fleet.clock.now_s * 1_000)
        asyncio.run(clear_account(fleet.state, "7", now_ms=now_ms, accepted=False, rng=fleet.worker.rng))
        assert suspended(fleet) == {}
        fleet.run(fleet.record(1, ["403"], receives=turn + 2), worker=fleet.another())
        assert list(suspended(fleet)) == ["7"]
    assert fleet.letters() == []


def test_turn_that_is_due_is_taken_by_whoever_comes_first(fleet: Any) -> None:
    """New messages may have a new key, so one of them takes the due turn, and the old probe is parked when it comes."""
    fleet.run(fleet.record(1, ["401"]))
    fleet.run(fleet.record(2, ["401"]))
    fleet.clock.now_s += 10
    fleet.run(fleet.record(3, ["401"]), worker=fleet.another())
    assert fleet.queue.parked == ["m-3"]
    fleet.clock.now_s += PROBE_S
    fleet.run(fleet.record(4, ["401"]), worker=fleet.another())
    assert suspended(fleet)["7"]["probe_id"] == "m-4"
    fleet.run(fleet.record(2, ["401"], receives=2), fleet.record(1, ["401"], receives=2), worker=fleet.another())
    assert fleet.queue.parked == ["m-3", "m-2", "m-1"]


def test_probe_that_was_refused_often_makes_room_for_another(fleet: Any) -> None:
    """If no new message comes, a parked one becomes the next probe, because perhaps only the old probe is bad."""
    fleet.run(fleet.record(1, ["401"]))
    for turn in range(1, TURNS_EACH):
        fleet.clock.now_s += PROBE_S + 1
        report = fleet.run(fleet.record(1, ["401"], receives=turn + 1), worker=fleet.another())
        assert report.failures == ["m-1"]
    fleet.clock.now_s += PROBE_S + 1
    calls = len(fleet.api.calls)
    fleet.run(fleet.record(1, ["401"], receives=9), worker=fleet.another())
    assert (fleet.queue.parked, len(fleet.api.calls)) == (["m-1"], calls)
    assert suspended(fleet)["7"]["probe_id"] == ""
    fleet.run(fleet.record(2, ["200"]), worker=fleet.another())
    assert suspended(fleet) == {}


def test_fifo_queue_lets_no_message_take_the_turn_of_those_before_it(make_fleet: Any) -> None:
    """On a FIFO queue the refused message stays the probe, and later messages are parked, so that the order holds."""
    fleet = make_fleet(in_groups=True)
    fleet.run(fleet.record(1, ["401"], group="g"))
    fleet.run(fleet.record(2, ["200"], group="g"), worker=fleet.another())
    assert (fleet.queue.parked, suspended(fleet)["7"]["probe_id"]) == (["m-2"], "m-1")
    for turn in range(TURNS_EACH + 2):
        fleet.clock.now_s += PROBE_S + 1
        fleet.run(fleet.record(1, ["401"], group="g", receives=turn + 2), worker=fleet.another())
    assert suspended(fleet)["7"]["probe_id"] == "m-1"


def test_fifo_probe_is_received_less_often_than_sqs_allows(make_fleet: Any) -> None:
    """A FIFO probe is tried more and more rarely until it is too old, because SQS dead-letters a message after a
    thousand receives.
    """
    fleet = make_fleet(in_groups=True)
    start_ms, receives = round(fleet.clock.now_s * 1_000), 0
    while not fleet.letters():
        receives += 1
        assert receives < 1_000
        one = fleet.record(1, ["401"], group="g", receives=receives, received_at_ms=start_ms, first_ms=start_ms)
        fleet.run(one, worker=fleet.another())
        fleet.clock.now_s += fleet.queue.hidden.pop("h-1", 0)
    assert [reason for reason, _ in fleet.letters()] == ["too_old"]
    assert fleet.clock.now_s * 1_000 - start_ms > 72 * 3_600_000


def test_refused_delivery_stops_those_behind_it(fleet: Any) -> None:
    """Deliveries behind a refused one of the same message wait until the credentials work, so that the order holds."""
    fleet.run(fleet.record(1, ["200", "403", "200"]))
    assert fleet.api.ids == ["1.0", "1.1"]


def test_item_that_alone_is_refused_is_found_in_a_bulk_call(make_fleet: Any) -> None:
    """A bulk call with refused credentials is halved: its good items are delivered, and no account is suspended."""
    fleet = make_fleet("forbidding", max_in_flight=1)
    fleet.api.call_s = 0.5
    report = fleet.run(fleet.record(1, ["forbidden"]), *(fleet.record(n, ["200"]) for n in range(2, 6)))
    assert (report.delivered, report.failures) == (4, ["m-1"])
    assert suspended(fleet) == {}


def test_with_the_state_table_down_refused_messages_wait(fleet: Any) -> None:
    """Without the state table refused messages are neither parked nor dead-lettered, and wait for a while."""
    fleet.state.down = True
    report = fleet.run(*(fleet.record(n, ["401"]) for n in range(6)))
    assert (len(report.failures), fleet.queue.parked, fleet.letters()) == (6, [], [])
    assert len(fleet.api.calls) == REFUSALS_IN_A_ROW
    assert [hidden(fleet, n) >= PROBE_S for n in range(6)] == [True] * 3 + [False] * 3


def test_with_the_state_table_down_a_refused_message_is_too_old_in_its_time(fleet: Any) -> None:
    """What waits behind its refused delivery waits no longer than anything else."""
    fleet.state.down = True
    fleet.run(fleet.record(1, ["401", "200"], received_at_ms=int(1_000 * fleet.clock.now_s) - 73 * 3_600_000))
    assert [reason for reason, _ in fleet.letters()] == ["too_old"]
