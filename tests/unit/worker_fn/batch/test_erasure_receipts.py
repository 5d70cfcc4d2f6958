"""Erasure requests: never merged, never dropped by rules for data, and each with a receipt."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from partners import Bulk as BulkLimits
from partners import Delivery, Limits, Partner, Rate
from shared.errors import StateRefused, StateUnavailable
from shared.firehose import DsrProcessingRequest, EventProcessingRequest, Registration, Request
from shared.message import Head, encode, to_json
from shared.receipts import Receipt, Standing, receipt_key, receipt_name
from shared.state.patient import LONGEST_SILENT_MS
from worker_fn.batch.disposition import DAY_S, DeadLetter, Delivered, Parked, Reason, Waiting
from worker_fn.batch.erasure_receipts import MOST_WAITS, after
from worker_fn.batch.job import Job
from worker_fn.batch.record import Record
from worker_fn.batch.time_budget import SETTLE_RESERVE_S

NOW_MS = 1_700_000_000_000
DSR = "dsr_processing_request"


class Bulk(Partner):
    """Takes every delivery in bulk, and would take erasures, too."""

    name = "bulk"
    limits = Limits(bulk={"users": BulkLimits(100)})

    def registration(self) -> Registration:
        return Registration(name="Bulk", version="1")

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        if isinstance(request, DsrProcessingRequest):
            body = {"id": request.subject_request_id, "name": request.regulation and str(request.raw["regulation"])}
            yield Delivery("https://partner.example/erase", to_json(body), "erasure", merge="users")
            return
        assert isinstance(request, EventProcessingRequest)
        for event in request.events:
            yield Delivery("https://partner.example/e", to_json(event.raw), event.id or "", merge="users")

    def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:
        return Delivery("https://partner.example/bulk", to_json([json.loads(one.body) for one in deliveries]), "bulk")


class OneByOne(Bulk):
    def deliveries(self, request: Request) -> Iterable[Delivery]:
        return [replace(delivery, merge=None) for delivery in super().deliveries(request)]


class Slow(Bulk):
    """A partner with a limit for each account that the second call reaches."""

    limits = Limits(account_rate=Rate(1, 60), bulk={"users": BulkLimits(1, rate=Rate(1, 60))})


@pytest.fixture
def fleet(make_fleet: Any) -> Any:
    return _with(make_fleet(), Bulk())


def _with(fleet: Any, partner: Partner) -> Any:
    fleet.partner = partner
    fleet.worker = fleet.another()
    return fleet


def erasure(number: int, answer: str = "200", *, receives: int = 1, account: int | None = 7, age_s: float = 0) -> Any:
    """An SQS record of an erasure request, to which the partner gives this answer."""
    request = {
        "type": DSR,
        "id": f"r-{number}",
        "subject_request_id": f"s-{number}",
        "regulation": answer,
        "subject_identities": {"email": {"encoding": "raw", "value": "canary@example.com"}},
    }
    account_id = None if account is None else str(account)
    head = Head(f"r-{number}", DSR, account_id, NOW_MS - int(1_000 * age_s))
    [body] = encode(head, to_json(request))
    attributes = {"ApproximateReceiveCount": str(receives), "ApproximateFirstReceiveTimestamp": str(NOW_MS)}
    return {"messageId": f"m-{number}", "receiptHandle": f"h-{number}", "body": body, "attributes": attributes}


def receipt(fleet: Any, number: int) -> Receipt:
    key = receipt_key(f"s-{number}")
    [(name, item)] = asyncio.run(fleet.state.listed(key)).items()
    return Receipt.from_value(key, name, item.value)


def test_an_erasure_is_a_call_of_its_own(fleet: Any) -> None:
    """Events of a batch travel together, but each erasure is a call of its own, whatever the partner takes in bulk."""
    fleet.run(erasure(1), fleet.record(2, ["200"]), erasure(3), fleet.record(4, ["200"]))
    assert fleet.api.bulks == [["2.0", "4.0"]]
    assert sorted(fleet.api.ids) == ["s-1", "s-3"]


def test_a_poisoned_bulk_call_does_not_touch_an_erasure(fleet: Any) -> None:
    """If a bulk call of events is refused, erasures in the same batch are delivered."""
    report = fleet.run(fleet.record(1, ["poison"]), erasure(2), fleet.record(3, ["poison"]))
    assert "s-2" in fleet.api.ids
    assert (report.delivered, report.dead_lettered) == (1, 2)


@pytest.mark.parametrize("age_s", [3.5 * DAY_S, 12.9 * DAY_S])
def test_an_erasure_outlives_the_age_of_data(fleet: Any, age_s: float) -> None:
    """At the age at which an event is given up, an erasure still waits."""
    events = fleet.record(1, ["503"], received_at_ms=NOW_MS - int(1_000 * age_s))
    report = fleet.run(events, erasure(2, "503", age_s=age_s))
    assert report.oldest_erasure_s == pytest.approx(age_s, abs=60)
    assert fleet.letters()[0][0] == "too_old"
    assert report.failures == ["m-2"]


def test_an_erasure_has_an_age_of_its_own(fleet: Any) -> None:
    """Before the queue would delete an erasure, it is dead-lettered, and its receipt says so."""
    fleet.run(erasure(1, "503", age_s=13.1 * DAY_S))
    assert fleet.letters()[0][0] == "too_old"
    assert (receipt(fleet, 1).standing, receipt(fleet, 1).reason) == (Standing.DEAD_LETTERED, "too_old")


def test_failed_attempts_do_not_end_an_erasure(make_fleet: Any) -> None:
    """An erasure whose calls fail for days while events are accepted is not given up."""
    fleet = _with(make_fleet(), OneByOne())
    receives = 0
    while not fleet.queue.dead:
        receives += 1
        assert receives < 60
        fleet.clock.now_s += 60
        both = [erasure(1, "503", receives=receives), fleet.record(2, ["503"], receives=receives)]
        fleet.run(*both, *(fleet.record(1_000 * n + receives, ["200"]) for n in range(1, 5)))
    assert [json.loads(body)["id"] for body, _ in fleet.queue.dead] == ["r-2"]  # which is what becomes of data
    assert fleet.letters()[0][0] == "rejected"
    assert receipt(fleet, 1).standing is Standing.OPEN


def test_a_full_line_parks_data_and_not_erasures(make_fleet: Any) -> None:
    """If an account has its most messages waiting, its events are parked, but its erasures wait in the main queue."""
    fleet = _with(make_fleet(), Slow())
    fleet.run(fleet.record(1, ["200"]))
    events = [fleet.record(n, ["200"]) for n in range(100, 120)]
    erasures = [erasure(n) for n in range(5)]
    report = fleet.run(*events, *erasures)
    assert report.parked > 0
    assert set(fleet.queue.parked) <= {one["messageId"] for one in events}
    assert {one["messageId"] for one in erasures} <= set(report.failures)


def test_a_suspended_accounts_erasure_is_parked_and_open(fleet: Any) -> None:
    """While credentials are refused an erasure is parked, and its receipt is open."""
    fleet.run(fleet.record(1, ["401"]))
    fleet.run(fleet.record(2, ["401"]))  # the second one has a look whether it was the first one's own
    fleet.run(erasure(3))
    assert fleet.queue.parked == ["m-3"]
    assert receipt(fleet, 3).standing is Standing.OPEN


def test_a_delivered_erasure_has_a_receipt(fleet: Any) -> None:
    """The receipt has the times of acceptance and delivery, and nothing of the person."""
    fleet.run(erasure(1, age_s=60))
    found = receipt(fleet, 1)
    assert (found.account_id, found.accepted_ms, found.delivered_ms) == ("7", NOW_MS - 60_000, NOW_MS)
    assert "canary" not in json.dumps({str(key): item.value for key, item in fleet.state.items.items()})


def test_an_erasure_that_maps_to_no_call_was_not_forwarded(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the partner's code makes no call, the receipt says `not forwarded`, never `delivered`."""
    monkeypatch.setattr(Bulk, "deliveries", lambda *_: [])
    for _ in range(2):  # SQS may deliver it twice
        assert fleet.run(erasure(1)).failures == []
        assert receipt(fleet, 1).standing is Standing.NOT_FORWARDED
        assert receipt(fleet, 1).no_call_ms == NOW_MS
        fleet.clock.now_s += 60


def test_an_erasure_without_an_account_has_a_receipt_of_its_own_name(fleet: Any) -> None:
    """None of the previous release's names is taken for it."""
    fleet.run(erasure(1, account=None))
    assert fleet.state.keys("dsr#") == [receipt_name(None, "r-1")]


def test_the_receipt_that_ingest_wrote_is_completed(fleet: Any) -> None:
    """The time of acceptance is ingest's."""
    written = Receipt("s-1", "r-1", "7", NOW_MS - 5)
    fleet.set_item(receipt_key("s-1"), receipt_name("7", "r-1"), written.value())
    fleet.run(erasure(1))
    assert (receipt(fleet, 1).accepted_ms, receipt(fleet, 1).delivered_ms) == (NOW_MS - 5, NOW_MS)


def test_a_receipt_of_the_release_before_goes_on_where_it_stands(fleet: Any) -> None:
    """A receipt of the release before is completed for the account in its value, and left alone for another."""
    fleet.set_item(receipt_key("s-1"), "r-1", {"account_id": "7", "accepted_ms": NOW_MS - 5})
    fleet.run(erasure(1))
    assert (receipt(fleet, 1).accepted_ms, receipt(fleet, 1).delivered_ms) == (NOW_MS - 5, NOW_MS)
    fleet.run(erasure(1, account=8))
    found = asyncio.run(fleet.state.listed(receipt_key("s-1")))
    assert sorted(found) == ["8 r-1", "r-1"]


def test_two_accounts_with_one_request_id_have_two_receipts(fleet: Any) -> None:
    """The same subject, the same id, two accounts: both are accounted for."""
    fleet.run(erasure(1), erasure(1, "422", account=8))
    found = asyncio.run(fleet.state.listed(receipt_key("s-1")))
    standings = {
        name: Receipt.from_value(receipt_key("s-1"), name, item.value).standing for name, item in found.items()
    }
    assert standings == {"7 r-1": Standing.DELIVERED, "8 r-1": Standing.DEAD_LETTERED}


def test_of_two_receipts_the_present_one_goes_on(fleet: Any) -> None:
    """Where workers of two releases took turns: what ingest began is completed."""
    for name in ("r-1", receipt_name("7", "r-1")):
        fleet.set_item(receipt_key("s-1"), name, {"account_id": "7", "accepted_ms": NOW_MS - 5})
    fleet.run(erasure(1))
    assert "delivered_ms" not in fleet.state.item(receipt_key("s-1"), "r-1").value
    assert fleet.state.item(receipt_key("s-1"), "7 r-1").value["delivered_ms"] == NOW_MS


@pytest.mark.parametrize(("answer", "became"), [("200", "delivered"), ("422", "dead-lettered, rejected")])
def test_a_receipt_that_the_table_refuses_is_not_waited_for(fleet: Any, answer: str, became: str) -> None:
    """No later receive would write it either: the erasure ends, and the log has its ids."""
    lines: list[dict[str, Any]] = []
    fleet.state.down, fleet.state.error = True, StateRefused
    worker = replace(fleet.worker, log=lambda message, **fields: lines.append({"message": message, **fields}))
    assert fleet.run(erasure(1, answer), worker=worker).failures == []
    assert [line["reason"] for line in lines] == [became]


def test_an_erasure_whose_receipt_our_own_code_cannot_make_ends_all_the_same(
    fleet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would raise at each receive: the log has the place and the message, and nothing of what was looked at."""

    def raising(*_: object, **__: object) -> Receipt:
        raise KeyError("canary@example.com")

    monkeypatch.setattr("worker_fn.batch.erasure_receipts.after", raising)
    lines: list[dict[str, Any]] = []
    worker = replace(fleet.worker, log=lambda message, **fields: lines.append({"message": message, **fields}))
    assert fleet.run(erasure(1), worker=worker).delivered == 1
    [line] = lines
    assert (line["message"], line["message_id"]) == ("an erasure ends without a receipt", "m-1")
    assert line["where"].startswith("KeyError in ")
    assert "canary" not in str(line)


def test_a_dead_letter_and_its_redrive_are_written_down(fleet: Any) -> None:
    """Refused: dead-lettered with the reason. Redriven and waiting: open. Delivered: delivered, with its history."""
    fleet.run(erasure(1, "422"))
    assert (receipt(fleet, 1).standing, receipt(fleet, 1).reason) == (Standing.DEAD_LETTERED, "rejected")
    fleet.clock.now_s += 3_600
    fleet.run(erasure(1, "422|503"))
    assert receipt(fleet, 1).standing is Standing.OPEN
    fleet.clock.now_s += 3_600
    fleet.run(erasure(1, "422|503|200"))
    assert receipt(fleet, 1).standing is Standing.DELIVERED
    assert receipt(fleet, 1).dead_lettered_ms == NOW_MS
    assert receipt(fleet, 1).delivered_ms == NOW_MS + 7_200_000


def test_an_unmappable_erasure_has_a_receipt(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An erasure that the partner's code could not map has a receipt, too."""

    def boom(_: Request) -> Iterable[Delivery]:
        raise KeyError("canary@example.com")

    monkeypatch.setattr(Bulk, "deliveries", lambda _self, request: boom(request))
    fleet.run(erasure(1))
    assert (receipt(fleet, 1).standing, receipt(fleet, 1).reason) == (Standing.DEAD_LETTERED, "unmappable")


@pytest.mark.parametrize("answer", ["200", "422"])
def test_an_end_that_cannot_be_written_down_waits(fleet: Any, answer: str) -> None:
    """While the state table is down an erasure is kept until its receipt can be written; data in the same batch
    ends.
    """
    fleet.state.down = True
    report = fleet.run(erasure(1, answer), fleet.record(2, ["200"]))
    assert (report.failures, report.delivered, fleet.queue.dead) == (["m-1"], 1, [])
    assert fleet.queue.hidden["h-1"] >= 1
    fleet.state.down = False
    fleet.clock.now_s += LONGEST_SILENT_MS / 1_000  # for so long the table is left alone
    assert fleet.run(erasure(1, answer, receives=2)).failures == []
    assert receipt(fleet, 1).standing is not Standing.OPEN


@pytest.mark.parametrize("receives", [1, MOST_WAITS])
def test_an_erasure_that_waits_has_its_own_reason_to(fleet: Any, receives: int) -> None:
    """Its receipt is written by its next receive, so nothing is lost where it cannot be written now."""
    lines: list[str] = []
    fleet.state.down = True
    worker = replace(fleet.worker, log=lambda message, **_: lines.append(message))
    fleet.run(erasure(1, "429 600", receives=receives), worker=worker)
    assert (fleet.queue.hidden["h-1"] >= 600, lines) == (True, [])


def test_a_receipt_may_take_its_time(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as there is some."""
    swap = fleet.state.swap

    async def slowly(*arguments: Any, **named: Any) -> Any:
        await asyncio.sleep(0.2)
        return await swap(*arguments, **named)

    monkeypatch.setattr(fleet.state, "swap", slowly)
    assert fleet.run(erasure(1)).failures == []
    assert receipt(fleet, 1).standing is Standing.DELIVERED


def test_a_receipt_is_not_waited_for_for_ever(fleet: Any) -> None:
    """After a number of receives the erasure ends without a receipt, and only the log proves it."""
    lines: list[dict[str, Any]] = []
    fleet.state.down = True
    worker = replace(fleet.worker, log=lambda message, **fields: lines.append({"message": message, **fields}))
    assert fleet.run(erasure(1, receives=MOST_WAITS - 1), worker=worker).failures == ["m-1"]
    assert lines == []
    assert fleet.run(erasure(1, receives=MOST_WAITS), worker=worker).failures == []
    assert lines == [
        {
            "message": "an erasure ends without a receipt",
            "reason": "delivered",
            "request_id": "r-1",
            "subject_request_id": "s-1",
        }
    ]


def test_a_batch_without_time_left_keeps_its_erasures(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no time is left to write the receipt, the message comes back, and the batch ends in time."""

    async def slow(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(fleet.state, "read", slow)
    report = fleet.run(erasure(1), time_s=SETTLE_RESERVE_S + 0.3)
    assert report.failures == ["m-1"]


def test_a_data_message_needs_no_receipt(fleet: Any) -> None:
    """Receipts are for erasures alone."""
    fleet.run(fleet.record(1, ["200"]))
    assert fleet.state.keys("dsr#") == []


EMPTY = Receipt("s", "r", "7", 1)


@pytest.mark.parametrize(
    ("receipt_", "end", "expected"),
    [
        (EMPTY, Waiting(5), EMPTY),
        (EMPTY, Parked(), EMPTY),
        (EMPTY, Delivered(), replace(EMPTY, delivered_ms=9)),
        (replace(EMPTY, delivered_ms=3), Delivered(), replace(EMPTY, delivered_ms=3)),
        (
            EMPTY,
            DeadLetter(Reason.REJECTED, "HTTP 422"),
            replace(EMPTY, dead_lettered_ms=9, reason="rejected"),
        ),
        (
            replace(EMPTY, dead_lettered_ms=3, reason="rejected"),
            Waiting(5),
            replace(EMPTY, dead_lettered_ms=3, reason="rejected", redriven_ms=9),
        ),
    ],
)
def test_what_a_receipt_becomes(receipt_: Receipt, end: Any, expected: Receipt) -> None:
    """A receipt keeps its first delivery; a wait changes only a receipt that was dead-lettered."""
    assert after(receipt_, Job(Record({}), total=1, end=end), now_ms=9) == expected


def test_a_table_that_loses_its_answer_is_no_trouble(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One failed try of the table leaves the message waiting, the next one completes the receipt."""
    swap = fleet.state.swap
    fails = [True]

    async def once(pk: str, *rest: Any, **more: Any) -> Any:
        if pk.startswith("dsr#") and fails:
            fails.pop()
            raise StateUnavailable("down")
        return await swap(pk, *rest, **more)

    monkeypatch.setattr(fleet.state, "swap", once)
    report = fleet.run(erasure(1))
    assert (report.failures, report.state_trouble) == (["m-1"], 1)
    fleet.clock.now_s += LONGEST_SILENT_MS / 1_000
    assert fleet.run(erasure(1, receives=2)).failures == []
    assert receipt(fleet, 1).standing is Standing.DELIVERED
