"""Several credentials of one account: messages with a good one are never held up by messages with a bad one."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from shared.state import SUSPENDED
from tests.unit.worker_fn.keyed import (
    T0_MS,
    KeyedBulk,
    Shared,
    TwoKeys,
    erasure,
    keyed_fleet,
    later,
    request,
    rows,
    suspend_old,
)
from worker_fn.accounts.auth_failures import REFUSALS_IN_A_ROW
from worker_fn.accounts.clearing import clear_account
from worker_fn.accounts.fingerprint import NO_SECRETS
from worker_fn.accounts.suspension import GIVE_UP_MS, NOBODY, PROBE_EVERY_MS, Suspension
from worker_fn.accounts.suspensions import KNOWN_FOR_MS, MOST_EACH, MOST_OLD, STRAGGLERS_MS, Suspensions
from worker_fn.limits.registry import Registry

PROBE_S = PROBE_EVERY_MS / 1_000


@pytest.fixture
def fleet(make_fleet: Any) -> Any:
    return keyed_fleet(make_fleet)


def test_new_key_is_served_while_the_old_one_is_suspended(fleet: Any) -> None:
    """In another batch or beside old messages, messages with the new key do not wait, and no others are called."""
    suspend_old(fleet)
    later(fleet, 10)
    assert fleet.run(*(request(n, "200", "new") for n in range(20, 30)), worker=fleet.another()).delivered == 10
    calls = len(fleet.api.calls)
    mixed = [request(n, "200" if n % 2 else "401", "new" if n % 2 else "old") for n in range(30, 40)]
    report = fleet.run(*mixed, worker=fleet.another())
    assert report.delivered == 5
    assert len(fleet.api.calls) == calls + 6  # one of the old ones has its look
    assert [row["account_id"] for row in rows(fleet)] == ["7"]


def test_keys_of_one_batch_are_told_apart(fleet: Any) -> None:
    """Three refusals in a row end the old key's calls, and none of the new one's, however they are mixed."""
    mixed = [request(n, "200" if n % 2 else "401", "new" if n % 2 else "old") for n in range(20)]
    report = fleet.run(*mixed)
    assert report.delivered == 10
    assert len(fleet.api.calls) == 10 + REFUSALS_IN_A_ROW
    assert fleet.letters() == []
    assert len(rows(fleet)) == 1


def test_returning_old_messages_never_hold_up_new_ones(fleet: Any) -> None:
    """Old messages that come back never hold up new ones, however often somebody clears the account."""
    suspend_old(fleet)
    for turn in range(4):
        moment_ms = later(fleet, 200)
        asyncio.run(clear_account(fleet.state, "7", now_ms=moment_ms, accepted=False, rng=fleet.worker.rng))
        old = [request(n, "401", "old", receives=2) for n in range(5)]
        new = [request(100 + 10 * turn + n, "200", "new") for n in range(5)]
        report = fleet.run(*old, *new, worker=fleet.another())
        assert report.delivered == 5


def test_old_key_is_given_up_an_hour_after_the_new_one_is_taken(fleet: Any) -> None:
    """After an hour, and not before, messages with the old key are dead-lettered as unauthorized with one call every
    three minutes, and their letters have the number of their calls.
    """
    suspend_old(fleet)
    later(fleet, 10)
    fleet.run(request(20, "200", "new"))
    later(fleet, GIVE_UP_MS / 1_000 - 60)
    fleet.run(request(21, "401", "old"), request(22, "401", "old"), worker=fleet.another())
    assert fleet.letters() == []
    later(fleet, 70)
    calls = len(fleet.api.calls)
    fleet.run(request(1, "401", "old", receives=2), request(23, "401", "old"), worker=fleet.another())
    assert [reason for reason, _ in fleet.letters()] == ["unauthorized"] * 2
    assert fleet.letters()[0][1] == "HTTP 401 for its credentials, while newer ones of its account are taken"
    assert len(fleet.api.calls) == calls
    assert [letter[1]["attempts"] for letter in fleet.queue.dead] == ["1", "0"]
    later(fleet, PROBE_S)
    fleet.run(request(24, "401", "old"), worker=fleet.another())
    assert (len(fleet.api.calls), len(fleet.queue.dead)) == (calls + 1, 3)


def test_old_key_that_is_taken_again_is_cleared_and_nothing_of_it_lost(fleet: Any) -> None:
    """If the old key is accepted again within the hour, the probe is delivered and all its messages move back."""
    suspend_old(fleet)
    later(fleet, 10)
    fleet.run(request(20, "200", "new"))
    later(fleet, PROBE_S)
    assert fleet.run(request(30, "200", "old"), worker=fleet.another()).delivered == 1
    assert rows(fleet) == []
    assert fleet.letters() == []


def test_a_customer_that_uses_two_keys_at_once_keeps_both(fleet: Any) -> None:
    """If messages with the refused key keep coming, the key is not an old one, and its messages wait until somebody
    mends it.
    """
    suspend_old(fleet)
    later(fleet, 10)
    fleet.run(request(20, "200", "new"))
    for number in range(20):
        moment_ms = later(fleet, STRAGGLERS_MS / 1_000 + 60)
        old = request(40 + number, "401", "old", received_at_ms=moment_ms)
        fleet.run(old, request(70 + number, "200", "new", received_at_ms=moment_ms), worker=fleet.another())
    assert fleet.letters() == []


def test_what_travels_with_a_refused_key_does_not_replace_it(make_fleet: Any) -> None:
    """If each message carries two keys, the accepted one does not replace the refused one, and no message is
    given up.
    """
    fleet = make_fleet(TwoKeys(), max_in_flight=1)
    fleet.api.call_s = 0.5
    fleet.run(*(request(n, "401", "old") for n in range(4)))
    later(fleet, PROBE_S + 60)
    fleet.run(request(10, "401", "old"), worker=fleet.another())
    later(fleet, GIVE_UP_MS / 1_000 + 60)
    fleet.run(request(1, "401", "old", receives=2), worker=fleet.another())
    assert [row["superseded_ms"] for row in rows(fleet)] == [0]
    assert fleet.letters() == []


@pytest.mark.parametrize("pause_s", [60.0, 2 * GIVE_UP_MS / 1_000])
def test_a_key_that_is_rotated_again_and_again_is_served_each_time(fleet: Any, pause_s: float) -> None:
    """However many old keys are still refused, the whole account is not suspended for them."""
    for turn in range(MOST_EACH + MOST_OLD + 5):
        old, new = f"key-{turn}", f"key-{turn + 1}"
        fleet.run(*(request(100 * turn + n, "401", old) for n in range(3)), worker=fleet.another())
        later(fleet, pause_s)
        assert fleet.run(*(request(100 * turn + 10 + n, "200", new) for n in range(3))).delivered == 3
        fleet.run(*(request(100 * turn + 20 + n, "401", old) for n in range(3)), worker=fleet.another())
        assert fleet.run(request(100 * turn + 30, "200", new), worker=fleet.another()).delivered == 1
    assert "*" not in {row["fingerprint"] for row in rows(fleet)}
    assert len(rows(fleet)) <= MOST_OLD + 1


def test_another_kind_of_request_says_nothing_of_a_key(fleet: Any) -> None:
    """If events are accepted with their key while the erasures' secret is refused, erasures wait for it as long as
    ever.
    """
    fleet.run(erasure(1, "401"), erasure(2, "401"))
    later(fleet, 10)
    fleet.run(request(20, "200", "old"))
    later(fleet, 2 * GIVE_UP_MS / 1_000)
    fleet.run(erasure(3, "401"), erasure(4, "401"), worker=fleet.another())
    assert fleet.letters() == []
    assert rows(fleet)[0]["superseded_ms"] == 0


def test_redriven_messages_of_an_old_key_get_their_turn(fleet: Any) -> None:
    """Redriven messages of an old key are parked, one is tried, and when it is accepted the others are delivered."""
    suspend_old(fleet)
    later(fleet, 10)
    fleet.run(request(20, "200", "new"))
    later(fleet, GIVE_UP_MS / 1_000 + 60)
    attributes = {"reason": {"dataType": "String", "stringValue": "unauthorized"}}
    redriven = [{**request(n, "200", "old"), "messageAttributes": attributes} for n in range(40, 44)]
    report = fleet.run(*redriven, worker=fleet.another())
    assert (report.delivered, report.parked, fleet.letters()) == (1, 3, [])
    assert rows(fleet) == []


def test_key_that_was_left_out_holds_up_nothing_once_it_is_set(fleet: Any) -> None:
    """Messages without credentials are suspended apart from messages with some."""
    fleet.run(*(request(n, "401", None) for n in range(5)))
    assert fleet.run(request(10, "200", "new"), worker=fleet.another()).delivered == 1


def test_one_key_of_the_operators_is_judged_account_by_account(make_fleet: Any) -> None:
    """If all accounts share the operator's key, a 403 suspends only the account that got it."""
    fleet = make_fleet(Shared(), max_in_flight=1)
    old = [request(n, "403", None, account=7) for n in range(5)]
    report = fleet.run(*old, *(request(10 + n, "200", None, account=8) for n in range(5)))
    assert report.delivered == 5
    assert [row["account_id"] for row in rows(fleet)] == ["7"]


def test_bulk_calls_of_two_keys_are_suspended_apart(make_fleet: Any) -> None:
    """The items of a bulk call have the same credentials, a signature's key included."""
    fleet = make_fleet(KeyedBulk(), max_in_flight=1)
    fleet.api.call_s = 0.5
    mixed = [request(n, "200" if n % 2 else "forbidden", "new" if n % 2 else "old") for n in range(12)]
    assert fleet.run(*mixed).delivered == 6
    assert len(rows(fleet)) == 1


def test_a_partner_that_makes_a_secret_of_each_message_fills_no_table(fleet: Any) -> None:
    """Beyond a few credentials the whole account is suspended, so calls and items are bounded; a successful call clears
    it.
    """
    for number in range(30):
        fleet.run(request(number, "401", f"key-{number}"), worker=fleet.another())
    assert len(rows(fleet)) == MOST_EACH + 1
    assert {row["fingerprint"] for row in rows(fleet)} >= {"*"}
    assert len(fleet.api.calls) == MOST_EACH + 2  # and a second look
    later(fleet, PROBE_S)
    assert fleet.run(request(50, "200", "key-50"), worker=fleet.another()).delivered == 1
    assert len(rows(fleet)) == MOST_EACH
    assert fleet.run(request(51, "200", "key-51"), worker=fleet.another()).delivered == 1


def test_account_that_the_release_before_suspended_is_suspended_until_its_next_turn(fleet: Any) -> None:
    """A suspension of the release before lasts until the probe's next turn, which replaces it by the probe's
    credential.
    """
    before = {"status": 401, "since_ms": T0_MS - 60_000, "probe_id": "m-1", "probe_at_ms": T0_MS + 120_000}
    fleet.set_item("suspended", "7", {**before, "others_at_ms": T0_MS + 120_000, "turns": 1})
    report = fleet.run(request(2, "200", "new"), request(1, "401", "old"))
    assert (report.parked, report.failures) == (1, ["m-1"])
    later(fleet, 121)
    fleet.run(request(1, "401", "old", receives=2), worker=fleet.another())
    assert [row["fingerprint"] == "*" for row in rows(fleet)] == [False]
    assert fleet.state.items["partner", "sweep"].value["wanted_ms"] > 0  # the new ones move back
    assert fleet.run(request(2, "200", "new", receives=2), worker=fleet.another()).delivered == 1


def test_account_that_the_release_before_suspended_is_cleared_by_what_arrives(fleet: Any) -> None:
    """If the message that has the turn is accepted, a suspension of the release before is cleared as a whole."""
    before = {"status": 401, "since_ms": 1, "probe_id": NOBODY, "probe_at_ms": T0_MS, "others_at_ms": T0_MS}
    fleet.set_item("suspended", "7", {**before, "turns": 1})
    assert fleet.run(request(2, "200", "new")).delivered == 1
    assert rows(fleet) == []
    assert fleet.run(request(3, "200", "old"), worker=fleet.another()).delivered == 1


def test_no_key_is_in_the_state_table_or_in_a_letter(fleet: Any) -> None:
    """The state table and dead letters have no key, only its fingerprint is in the table."""
    suspend_old(fleet)
    fleet.run(request(20, "200", "canary-new"), request(21, "401", "canary-old"))
    later(fleet, 2 * GIVE_UP_MS / 1_000)
    fleet.run(request(22, "401", "canary-old"), request(23, "401", "canary-old"), worker=fleet.another())
    kept = json.dumps([[*key, dict(item.value)] for key, item in fleet.state.items.items()])
    assert "canary" not in kept + str([letter[1] for letter in fleet.queue.dead])


ONE = Suspension("7", "7", NO_SECRETS, 401, 1, "m-1", 2, 3, 1)


def known(fleet: Any) -> Suspensions:
    limiters: Registry = fleet.worker.limiters
    return Suspensions(fleet.state, now_ms=fleet.worker.now_ms, on_trouble=limiters.trouble, rng=fleet.worker.rng)


def test_the_table_is_read_every_few_seconds(fleet: Any) -> None:
    """A worker learns of another worker's suspension at its next read, a few seconds later."""
    mine = known(fleet)
    asyncio.run(mine.refresh())
    fleet.set_item(SUSPENDED, "7", ONE.to_item())
    asyncio.run(mine.refresh())
    assert mine.of("7", [NO_SECRETS]) is None
    fleet.clock.now_s += KNOWN_FOR_MS / 1_000
    asyncio.run(mine.refresh())
    assert mine.of("7", [NO_SECRETS]) is not None


def test_who_asks_while_the_table_is_read_waits_for_it(fleet: Any) -> None:
    """Parts of a batch that ask while the table is read wait for the answer, so none calls with suspended
    credentials.
    """
    fleet.set_item(SUSPENDED, "7", ONE.to_item())
    listed, reads = fleet.state.listed, []

    async def slowly(pk: str) -> Any:
        reads.append(pk)
        await asyncio.sleep(0.01)
        return await listed(pk)

    fleet.state.listed = slowly
    mine = known(fleet)

    async def ask() -> bool:
        await mine.refresh()
        return mine.of("7", [NO_SECRETS]) is not None

    async def ask_twice() -> list[bool]:
        return await asyncio.gather(ask(), ask())

    assert asyncio.run(ask_twice()) == [True, True]
    assert reads == [SUSPENDED]


def test_what_it_writes_itself_it_knows_at_once(fleet: Any) -> None:
    """A worker knows its own write at once, with the revision that the next write has to name."""
    mine = known(fleet)
    assert asyncio.run(mine.write(ONE))
    [found] = mine.of_account("7")
    assert asyncio.run(mine.write(replace(found, turns=2)))
    assert [one.turns for one in mine.of_account("7")] == [2]


def test_who_was_second_learns_what_the_first_one_wrote(fleet: Any) -> None:
    """A worker whose write came second gets the first one's, and does not write its own."""
    first, second = known(fleet), known(fleet)
    assert asyncio.run(first.write(ONE))
    assert not asyncio.run(second.write(replace(ONE, probe_id="m-2")))
    assert [one.probe_id for one in second.of_account("7")] == ["m-1"]


def test_with_the_state_table_down_nothing_is_suspended(fleet: Any) -> None:
    """Messages are sent, and the trouble is counted."""
    fleet.state.down = True
    mine = known(fleet)
    asyncio.run(mine.refresh())
    assert not asyncio.run(mine.write(ONE))
    assert mine.of("7", [NO_SECRETS]) is None
    assert fleet.worker.limiters.take_trouble() == 2
