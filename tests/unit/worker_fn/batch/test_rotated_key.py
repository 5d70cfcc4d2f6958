"""Several credentials of one account: what carries a good one is never held up by what carries a bad one."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from partners import Bulk, Delivery, Limits, Partner, Secret
from shared.firehose import DsrProcessingRequest, EventProcessingRequest, Registration, Request
from shared.message import Head, encode, to_json
from shared.state import Item
from tests.unit.worker_fn.records import raw_record, record
from worker_fn.accounts.auth_failures import REFUSALS_IN_A_ROW
from worker_fn.accounts.clearing import clear_account
from worker_fn.accounts.suspension import GIVE_UP_MS, NOBODY, PROBE_EVERY_MS, by_account
from worker_fn.accounts.suspensions import MOST_EACH, STRAGGLERS_MS
from worker_fn.batch.prepare import FIRST
from worker_fn.batch.room import MIB, Room
from worker_fn.batch.time_budget import TimeBudget
from worker_fn.dispatch.lanes import together
from worker_fn.maintenance.unpark import sweep

PROBE_S = PROBE_EVERY_MS / 1_000
T0_MS = 1_700_000_000_000


class Keyed(Partner):
    """Sends each event with the customer's key, where it has one; an erasure with another secret."""

    name = "keyed"

    def registration(self) -> Registration:
        return Registration(name="Keyed", version="1")

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        settings = request.account.account_settings if request.account else {}  # type: ignore[attr-defined]
        key = settings.get("apiKey")
        secrets = {"X-Key": Secret(key)} if key else {}
        url = "https://partner.example/e"
        if isinstance(request, DsrProcessingRequest):
            erasure = to_json({"id": request.raw["id"], "name": settings.get("erased", "200")})
            yield Delivery(url, erasure, "erasure", secret_headers={"X-Secret": Secret(settings.get("secret") or "s")})
            return
        assert isinstance(request, EventProcessingRequest)
        for event in request.events:
            yield Delivery(url, to_json(event.raw), event.id or "", secret_headers=secrets)


class KeyedBulk(Keyed):
    limits = Limits(bulk={"bulk": Bulk(3)})

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        for one in super().deliveries(request):
            yield replace(one, merge="bulk")

    def merge(self, deliveries: Any, keys: Any) -> Delivery:
        bodies = [json.loads(one.body) for one in deliveries]
        return replace(deliveries[0], body=json.dumps(bodies).encode(), item="bulk")


class LateKey(Partner):
    """Sends the first hundred events without credentials; where there are fewer, the last one has some."""

    name = "late"
    mapped = 0

    def registration(self) -> Registration:
        return Registration(name="Late", version="1")

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        assert isinstance(request, EventProcessingRequest)
        for place, event in enumerate(request.events):
            self.mapped += 1
            is_last = place in {len(request.events) - 1, FIRST}
            secrets = {"X-Key": Secret("old")} if is_last else {}
            yield Delivery("https://partner.example/e", to_json(event.raw), event.id or "", secret_headers=secrets)


class Shared(Keyed):
    """One key of the operator's for all customers."""

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        for one in super().deliveries(request):
            yield replace(one, secret_headers={"X-Key": Secret("the operator's")})


@pytest.fixture
def fleet(make_fleet: Any) -> Any:
    made = make_fleet(Keyed(), max_in_flight=1)
    made.api.call_s = 0.5
    return made


def request(number: int, answer: str, key: str | None, *, account: int = 7, **more: Any) -> dict[str, Any]:
    """A request whose one event is answered so, with the customer's key of its time."""
    settings = {} if key is None else {"apiKey": key}
    fields = {"account": {"account_id": account, "account_settings": settings}}
    made = record(number, [answer], account=account, fields=fields, **more)
    made["messageAttributes"] = {"account_id": {"dataType": "String", "stringValue": str(account)}}
    return made


def erasure(number: int, answer: str) -> dict[str, Any]:
    settings = {"apiKey": "old", "erased": answer}
    content = {"type": "dsr_processing_request", "id": f"e-{number}", "account": {"account_id": 7}}
    content["account"]["account_settings"] = settings  # type: ignore[index]
    [body] = encode(Head(f"e-{number}", "dsr_processing_request", "7", T0_MS), to_json(content))
    return raw_record(number, body)


def rows(fleet: Any) -> list[dict[str, Any]]:
    return [dict(item.value) for key, item in fleet.state.items.items() if key[0] == "suspended"]


def later(fleet: Any, seconds: float) -> int:
    """Time passes; gives the moment in ms."""
    fleet.clock.now_s += seconds
    return int(fleet.clock.now_s * 1_000)


def suspend_old(fleet: Any) -> None:
    """Ten requests with the old key: one is the probe, nine are parked."""
    fleet.run(*(request(n, "401", "old") for n in range(10)))
    assert len(fleet.queue.parked) == 9


def test_new_key_is_served_while_the_old_one_is_suspended(fleet: Any) -> None:
    """In another batch, and beside the old ones in one: nothing with the new key waits, and nothing else is called."""
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
    """However often somebody clears the account while old messages are about."""
    suspend_old(fleet)
    for turn in range(4):
        moment_ms = later(fleet, 200)
        asyncio.run(clear_account(fleet.state, "7", now_ms=moment_ms, accepted=False, rng=fleet.worker.rng))
        old = [request(n, "401", "old", receives=2) for n in range(5)]
        new = [request(100 + 10 * turn + n, "200", "new") for n in range(5)]
        report = fleet.run(*old, *new, worker=fleet.another())
        assert report.delivered == 5


def test_old_key_is_given_up_an_hour_after_the_new_one_is_taken(fleet: Any) -> None:
    """Not before; then its messages are dead-lettered as unauthorized without a call, but for one every three minutes,
    and say how often they were called.
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
    """A slip that is undone within the hour: the probe arrives, and everything moves back."""
    suspend_old(fleet)
    later(fleet, 10)
    fleet.run(request(20, "200", "new"))
    later(fleet, PROBE_S)
    assert fleet.run(request(30, "200", "old"), worker=fleet.another()).delivered == 1
    assert rows(fleet) == []
    assert fleet.letters() == []


def test_a_customer_that_uses_two_keys_at_once_keeps_both(fleet: Any) -> None:
    """Messages with the refused one go on coming: it is no old one, and they wait for whoever mends it."""
    suspend_old(fleet)
    later(fleet, 10)
    fleet.run(request(20, "200", "new"))
    for number in range(20):
        moment_ms = later(fleet, STRAGGLERS_MS / 1_000 + 60)
        old = request(40 + number, "401", "old", received_at_ms=moment_ms)
        fleet.run(old, request(70 + number, "200", "new", received_at_ms=moment_ms), worker=fleet.another())
    assert fleet.letters() == []


def test_another_kind_of_request_says_nothing_of_a_key(fleet: Any) -> None:
    """Events are taken with their key; the erasures' secret is refused still, and they wait for it as long as ever."""
    fleet.run(erasure(1, "401"), erasure(2, "401"))
    later(fleet, 10)
    fleet.run(request(20, "200", "old"))
    later(fleet, 2 * GIVE_UP_MS / 1_000)
    fleet.run(erasure(3, "401"), erasure(4, "401"), worker=fleet.another())
    assert fleet.letters() == []
    assert rows(fleet)[0]["superseded_ms"] == 0


def test_redriven_messages_of_an_old_key_get_their_turn(fleet: Any) -> None:
    """Whoever redrives has a reason: they are parked, one is tried, and when it arrives so do the others."""
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
    """No credentials are told from some."""
    fleet.run(*(request(n, "401", None) for n in range(5)))
    assert fleet.run(request(10, "200", "new"), worker=fleet.another()).delivered == 1


def test_one_key_of_the_operators_is_judged_account_by_account(make_fleet: Any) -> None:
    """A 403 may be about the customer: others with the same key go on."""
    fleet = make_fleet(Shared(), max_in_flight=1)
    old = [request(n, "403", None, account=7) for n in range(5)]
    report = fleet.run(*old, *(request(10 + n, "200", None, account=8) for n in range(5)))
    assert report.delivered == 5
    assert [row["account_id"] for row in rows(fleet)] == ["7"]


def test_bulk_calls_of_two_keys_are_suspended_apart(make_fleet: Any) -> None:
    """What travels together carries the same credentials, a signature's key too."""
    fleet = make_fleet(KeyedBulk(), max_in_flight=1)
    fleet.api.call_s = 0.5
    mixed = [request(n, "200" if n % 2 else "forbidden", "new" if n % 2 else "old") for n in range(12)]
    assert fleet.run(*mixed).delivered == 6
    assert len(rows(fleet)) == 1


def test_what_is_signed_with_another_key_travels_apart() -> None:
    """A merged call has one signature."""
    one = Delivery("https://partner.example/e", b"{}", "1", merge="bulk", sign_with=Secret("a"))
    assert together(one) == together(replace(one, item="2"))
    assert together(one) != together(replace(one, sign_with=Secret("b")))


def test_a_partner_that_makes_a_secret_of_each_message_fills_no_table(fleet: Any) -> None:
    """Beyond a few the whole account is suspended, as one: calls and items are bounded; what arrives clears it."""
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
    """Then by what the message carries: what carries something else is served."""
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
    """As it always was: the message that has the turn clears all of it."""
    before = {"status": 401, "since_ms": 1, "probe_id": NOBODY, "probe_at_ms": T0_MS, "others_at_ms": T0_MS}
    fleet.set_item("suspended", "7", {**before, "turns": 1})
    assert fleet.run(request(2, "200", "new")).delivered == 1
    assert rows(fleet) == []
    assert fleet.run(request(3, "200", "old"), worker=fleet.another()).delivered == 1


def test_no_key_is_in_the_state_table_or_in_a_letter(fleet: Any) -> None:
    """A fingerprint is all that is kept of it."""
    suspend_old(fleet)
    fleet.run(request(20, "200", "canary-new"), request(21, "401", "canary-old"))
    later(fleet, 2 * GIVE_UP_MS / 1_000)
    fleet.run(request(22, "401", "canary-old"), request(23, "401", "canary-old"), worker=fleet.another())
    kept = json.dumps([[*key, dict(item.value)] for key, item in fleet.state.items.items()])
    assert "canary" not in kept + str([letter[1] for letter in fleet.queue.dead])


def test_key_is_looked_up_in_the_round_that_maps_its_message(fleet: Any) -> None:
    """However little room there is: none of the old ones is called, all with the new key arrive."""
    suspend_old(fleet)
    later(fleet, 10)
    fleet.run(request(19, "401", "old"), worker=fleet.another())  # the second look
    calls = len(fleet.api.calls)
    mixed = [request(n, "200" if n % 2 else "401", "new" if n % 2 else "old") for n in range(30, 40)]
    report = fleet.run(*mixed, worker=fleet.another(room=Room(batch=2_000, message=MIB)))
    assert (report.delivered, report.parked) == (5, 5)
    assert len(fleet.api.calls) == calls + 5


def test_message_that_is_parked_in_a_later_round_makes_room(fleet: Any) -> None:
    """Rounds go on behind a round of which nothing was sent."""
    suspend_old(fleet)
    later(fleet, 10)
    fleet.run(request(19, "401", "old"), worker=fleet.another())
    batch = [request(20, "200", "new"), *(request(n, "401", "old") for n in range(21, 25)), request(25, "200", "new")]
    report = fleet.run(*batch, worker=fleet.another(room=Room(batch=2_000, message=MIB)))
    assert (report.delivered, report.parked, report.waiting) == (2, 4, 0)


def test_credentials_are_told_by_the_first_deliveries(make_fleet: Any) -> None:
    """The worker and the sweep look at the same ones, the sweep at no more; what a later one carries is found out by
    its refusal, and what arrived is not sent again.
    """
    fleet = make_fleet(LateKey(), max_in_flight=1)
    fleet.run(request(1, "401", "old"), request(2, "401", "old"))
    later(fleet, 10)
    mapped = fleet.partner.mapped
    long = record(5, ["200"] * FIRST + ["401"] * 2)
    assert swept(fleet, {**long, "messageAttributes": request(5, "200", "old")["messageAttributes"]}) == ["m-5"]
    assert fleet.partner.mapped == mapped + FIRST
    report = fleet.run(long, worker=fleet.another())
    assert (report.parked, report.dead_lettered) == (1, 0)
    calls = len(fleet.api.calls)
    fleet.run({**long, "attributes": {**long["attributes"], "ApproximateReceiveCount": "2"}}, worker=fleet.another())
    assert len(fleet.api.calls) <= calls + 1


def test_fifo_queue_lets_nothing_pass_a_probe_of_its_group(make_fleet: Any) -> None:
    """A probe that waits for its turn holds up its user, whatever is behind it carries, in this round or the next."""
    fleet = make_fleet(Keyed(), in_groups=True)
    fleet.run(request(1, "401", "old", group="7/1"))
    later(fleet, 10)
    for room in (fleet.worker.room, Room(batch=2_000, message=MIB)):
        old = request(1, "401", "old", receives=2, group="7/1")
        behind = request(2, "200", "new", group="7/1")
        beside = request(3, "200", "new", group="7/2")
        report = fleet.run(old, behind, beside, worker=fleet.another(room=room))
        assert (report.delivered, report.failures) == (1, ["m-1", "m-2"])


def test_fifo_queue_lets_the_new_key_pass(make_fleet: Any) -> None:
    """Order holds among what carries the same; another user's new key waits for nobody's old one."""
    fleet = make_fleet(Keyed(), in_groups=True)
    fleet.run(*(request(n, "401", "old", group=f"7/{n % 2}") for n in range(4)))
    report = fleet.run(request(10, "200", "new", group="7/5"), worker=fleet.another())
    assert report.delivered == 1


class Parking:
    def __init__(self, waiting: list[dict[str, Any]]) -> None:
        self.waiting, self.back = waiting, list[str]()

    async def parked(self, sight_s: int) -> list[dict[str, Any]]:
        batch, self.waiting = self.waiting[:10], self.waiting[10:]
        return batch

    async def unpark(self, records: Any) -> set[str]:
        self.back += [one["messageId"] for one in records]
        return set()


def swept(fleet: Any, *parked: dict[str, Any]) -> list[str]:
    queue = Parking(list(parked))
    asyncio.run(sweep(fleet.another(), queue, TimeBudget(lambda: 55.0, 5.0)))
    return queue.back


def test_sweep_tells_parked_messages_apart_by_what_they_carry(fleet: Any) -> None:
    """Those with another key move back, those with the suspended one stay."""
    suspend_old(fleet)
    back = swept(
        fleet, *(request(n, "401", "old") for n in range(3)), request(5, "200", "new"), request(6, "200", None)
    )
    assert back == ["m-5", "m-6"]


def test_sweep_moves_one_for_each_credential_without_a_probe(fleet: Any) -> None:
    """A probe for each that lost its own."""
    fleet.run(*(request(n, "401", "old") for n in range(5)), *(request(10 + n, "401", "older") for n in range(5)))
    later(fleet, 4 * PROBE_S + 1)
    back = swept(fleet, *(request(n, "401", key) for n, key in enumerate(["old", "old", "older", "older", "old"])))
    assert back == ["m-0", "m-2"]


def test_sweep_brings_back_what_is_given_up(fleet: Any) -> None:
    """At once when the hour is over, for the dead-letter queue; a redriven one stays, and waits for its turn."""
    suspend_old(fleet)
    fleet.run(request(20, "200", "new"))
    parked = [request(n, "401", "old") for n in range(3)]
    assert swept(fleet, *parked) == []
    later(fleet, GIVE_UP_MS / 1_000 + 1)
    fleet.state.items.pop(("partner", "sweep"), None)
    fleet.set_item("partner", "sweep", {"wanted_ms": 0, "looked_ms": int(fleet.clock.now_s * 1_000) - 60_000})
    reason = {"reason": {"dataType": "String", "stringValue": "unauthorized"}}
    redriven = request(9, "401", "old")
    redriven["messageAttributes"] |= reason
    one = rows(fleet)[0]
    [key] = [key for key in fleet.state.items if key[0] == "suspended"]
    fleet.state.items[key] = Item(9, {**one, "probe_at_ms": int(fleet.clock.now_s * 1_000)})  # it has its probe
    assert swept(fleet, *parked, redriven) == ["m-0", "m-1", "m-2"]


def test_listing_is_by_account_whatever_the_release_that_wrote_it() -> None:
    """An item without a fingerprint is its whole account's."""
    value = {"status": 401, "since_ms": 1, "probe_id": "x", "probe_at_ms": 2}
    found = by_account({"7": Item(1, value), "8#ab": Item(1, {**value, "account_id": "8", "fingerprint": "ab"})})
    assert {name: [one.fingerprint for one in ones] for name, ones in found.items()} == {"7": ["*"], "8": ["ab"]}
