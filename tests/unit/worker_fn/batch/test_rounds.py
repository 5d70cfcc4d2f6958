"""How much of a batch is mapped at a time: as much as there is room for."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from partners import Delivery, Partner
from shared.firehose import Request
from shared.state import Item, progress_key
from testkit.records import record
from tests.fakes.echo import Unordered
from tests.fakes.fanned import Fanned, FannedBulk
from worker_fn.batch import rounds
from worker_fn.batch.job import Job
from worker_fn.batch.memory import MIB, Room
from worker_fn.batch.record import Record
from worker_fn.batch.rounds import Rounds, dispatcher_for, parts_of
from worker_fn.batch.time_budget import SETTLE_RESERVE_S, TimeBudget


@pytest.fixture
def narrow(make_fleet: Any) -> Any:
    """A fleet whose function has room for about ten of these bodies."""

    def make(partner: Partner, *, batch: int = 50_000, **options: Any) -> Any:
        fleet = make_fleet(partner, **options)
        fleet.worker = replace(fleet.worker, room=Room(batch=batch, message=10 * batch))
        real = fleet.api.send

        async def send(delivery: Delivery, key: str, timeout_s: float) -> Any:
            content = json.loads(delivery.body)
            partner.unsent -= len(content) if isinstance(content, list) else 1  # type: ignore[attr-defined]
            return await real(delivery, key, timeout_s)

        fleet.api.send = send
        fleet.worker = replace(fleet.worker, send=send)
        return fleet

    return make


def test_a_batch_that_fits_is_mapped_before_the_first_call(make_fleet: Any) -> None:
    """A batch that fits, the normal case, is mapped as a whole, packed and ordered."""
    partner = Fanned()
    fleet = make_fleet(partner)
    seen: list[int] = []
    real = fleet.api.send

    async def send(*arguments: Any) -> Any:
        seen.append(len(partner.asked))
        return await real(*arguments)

    fleet.run(*(record(n, ["200"] * 20) for n in range(10)), worker=replace(fleet.worker, send=send))
    assert set(seen) == {200}


def test_a_batch_that_does_not_fit_is_mapped_as_it_is_sent(narrow: Any) -> None:
    """All deliveries arrive once and in order, and never more bodies exist at a time than there is room for."""
    partner = Fanned()
    fleet = narrow(partner)
    report = fleet.run(record(1, ["200"] * 200), record(2, ["200"] * 3))
    assert report.delivered == 2
    assert [one for one in fleet.api.ids if one.startswith("1.")] == [f"1.{place}" for place in range(200)]
    assert len(fleet.api.ids) == 203
    assert partner.most_unsent <= 12


def test_heavy_messages_do_not_hold_up_the_light_ones(narrow: Any) -> None:
    """Light messages are in the first round, even behind heavy ones."""
    fleet = narrow(Fanned(), max_in_flight=1)
    fleet.run(record(1, ["200"] * 100), *(record(n, ["200"]) for n in range(2, 8)))
    last_light = max(place for place, one in enumerate(fleet.api.ids) if not one.startswith("1."))
    assert last_light < 20


def test_keys_do_not_depend_on_the_rounds(narrow: Any, make_fleet: Any) -> None:
    """Keys are the same however a batch is cut, even if deliveries have the same item's name."""
    batch = [record(1, ["200"] * 60), record(2, ["200"] * 2)]
    for one in batch:
        one["body"] = one["body"].replace('"id":"1.3"', '"id":"1.7"')
    wide, small = make_fleet(Fanned()), narrow(Fanned())
    wide.run(*batch)
    small.run(*batch)
    assert sorted(wide.api.singles) == sorted(small.api.singles)
    assert len(set(small.api.keys)) == 62


def test_a_message_whose_time_ends_goes_on_where_it_was(narrow: Any) -> None:
    """A message whose time ends comes back at once, and does not repeat its delivered calls."""
    fleet = narrow(Fanned(), max_in_flight=1)
    fleet.api.call_s = 1.0
    names = ["200"] * 100
    failures = [
        fleet.run(record(1, names, receives=n), time_s=SETTLE_RESERVE_S + 35, worker=fleet.worker).failures
        for n in range(1, 4)
    ]
    assert failures == [["m-1"], ["m-1"], []]
    assert set(fleet.queue.hidden.values()) == {1}
    assert fleet.api.ids == [f"1.{place}" for place in range(100)]
    assert fleet.state.keys("message#") == []


def test_a_wait_stops_the_mapping_of_its_message(narrow: Any) -> None:
    """Deliveries behind one that waits are neither sent nor mapped, and the request is freed."""
    partner = Fanned()
    fleet = narrow(partner)
    report = fleet.run(record(1, ["200", "503", *["200"] * 100]))
    assert report.failures == ["m-1"]
    assert fleet.api.ids == ["1.0", "1.1"]
    assert len(partner.asked) < 20
    assert partner.closed == ["r-1"]


@pytest.mark.parametrize("fault", ["boom", "undeclared"])
def test_a_mapping_that_fails_half_way_keeps_what_arrived(fault: str, narrow: Any) -> None:
    """If a mapping raises half way, its message is dead-lettered with the place, its neighbours are delivered, and a
    redrive repeats nothing.
    """
    fleet = narrow(Fanned())
    names = [*["200"] * 50, fault, "200"]
    report = fleet.run(record(1, names), record(2, ["200"]))
    assert report.delivered == 1
    [(reason, text)] = fleet.letters()
    assert (reason, "canary" in text) == ("unmappable", False)
    arrived = [one for one in fleet.api.ids if one.startswith("1.")]
    assert 0 < len(arrived) <= 50
    assert len(fleet.state.items[progress_key("7", "r-1"), "1/1"].value["done"]) // 8 == len(arrived)
    mended = [*["200"] * 50, "200", "200"]
    fleet.clock.now_s += 3_600
    redriven = record(1, mended)
    redriven["attributes"]["SentTimestamp"] = str(int(fleet.clock.now_s * 1_000))
    fleet.run(redriven)
    assert sorted(one for one in fleet.api.ids if one.startswith("1.")) == sorted(f"1.{n}" for n in range(52))


def test_what_is_left_out_is_noted_once_whatever_the_rounds(narrow: Any) -> None:
    """Each left-out part is counted once, at the receive that first maps it."""
    lines: list[dict[str, Any]] = []
    fleet = narrow(Fanned(), max_in_flight=1)
    fleet.api.call_s = 1.0
    worker = replace(fleet.worker, log=lambda message, **fields: lines.append({"message": message, **fields}))
    names = ["left out", *["200"] * 60, "left out", "200", "left out"]
    counts = []
    for receives in range(1, 8):
        report = fleet.run(record(1, names, receives=receives), time_s=SETTLE_RESERVE_S + 35, worker=worker)
        counts.append(report.left_out)
    assert (counts[0], sum(counts)) == (1, 3)
    assert [line["item"] for line in lines] == ["1.0", "1.61"]


def test_the_total_of_a_dead_letter_counts_all_rounds(narrow: Any) -> None:
    """A dead letter has the same total as if its message had been mapped at once."""
    fleet = narrow(Fanned())
    fleet.run(record(1, [*["200"] * 60, "422", "200"]))
    assert fleet.letters() == [("rejected", "HTTP 422 for 1 of 62 deliveries")]


def test_bulk_calls_are_as_full_as_the_room_allows(narrow: Any, make_fleet: Any) -> None:
    """A batch that fits is packed across messages; in rounds, each round is."""
    wide = make_fleet(FannedBulk())
    wide.run(*(record(n, ["200"]) for n in range(1, 10)))
    assert sorted(map(len, wide.api.bulks)) == [3, 3, 3]
    small = narrow(FannedBulk())
    assert small.run(*(record(n, ["200"] * 30) for n in range(1, 4))).delivered == 3
    assert sum(map(len, small.api.bulks)) + len(small.api.singles) == 90
    assert len(small.api.bulks) < 50


@pytest.mark.parametrize("in_groups", [False, True])
def test_order_holds_over_the_rounds(in_groups: bool, narrow: Any) -> None:
    """In all rounds messages of one lane go one after the other, and those of a FIFO group in order."""
    fleet = narrow(Fanned(), in_groups=in_groups, max_in_flight=3)
    fields = {"mpid": "ann"}
    batch = [record(n, ["200"] * count, fields=fields, group="ann") for n, count in enumerate((40, 1, 30), start=1)]
    report = fleet.run(*batch, record(4, ["200"] * 5, fields={"mpid": "ben"}, group="ben"))
    assert report.delivered == 4
    of_ann = [one for one in fleet.api.ids if not one.startswith("4.")]
    runs = [one.partition(".")[0] for place, one in enumerate(of_ann) if place == 0 or one[0] != of_ann[place - 1][0]]
    assert sorted(runs) == ["1", "2", "3"]
    if in_groups:
        assert runs == ["1", "2", "3"]


@pytest.mark.parametrize("in_groups", [False, True])
def test_a_lane_that_waits_stays_stopped_in_later_rounds(in_groups: bool, narrow: Any) -> None:
    """Deliveries behind a failure in their lane are not sent in later rounds, and other lanes go on."""
    fleet = narrow(Fanned(), in_groups=in_groups)
    fields = {"mpid": "ann"}
    first = record(1, [*["200"] * 30, "503", *["200"] * 30], fields=fields, group="ann")
    behind = record(2, ["200"] * 90, fields=fields, group="ann")
    beside = record(3, ["200"] * 40, fields={"mpid": "ben"}, group="ben")
    report = fleet.run(first, behind, beside)
    assert report.failures == ["m-1", "m-2"]
    assert report.delivered == 1
    assert not [one for one in fleet.api.ids if one.startswith("2.")]
    assert len([one for one in fleet.api.ids if one.startswith("1.")]) == 31


def test_a_message_of_a_suspended_account_takes_no_room(narrow: Any) -> None:
    """A parked message takes no room, so messages that had none are mapped then."""
    fleet = narrow(Fanned())
    fleet.run(record(1, ["401"]))
    fleet.run(record(2, ["401"]))
    report = fleet.run(*(record(n, ["200"] * 10) for n in range(3, 8)), record(9, ["200"] * 30, account=8))
    assert len(fleet.queue.parked) >= 4
    assert report.delivered == 1


def test_a_message_that_failed_leaves_its_room_to_the_others(narrow: Any) -> None:
    """A failed message frees its room for the others, however little it was."""
    fleet = narrow(Fanned(), batch=2_000)
    report = fleet.run(record(1, ["200", "boom"]), record(2, ["200"] * 5), record(3, ["200"]))
    assert (report.delivered, report.dead_lettered) == (2, 1)


def test_a_message_whose_progress_is_damaged_leaves_its_room(narrow: Any) -> None:
    """A message whose progress is damaged fails after it was mapped; the others are mapped and sent all the same."""
    fleet = narrow(Fanned(), batch=2_000)
    fleet.state.items[progress_key("7", "r-2"), "1/1"] = Item(1, {"done": 5})
    report = fleet.run(record(1, ["200"] * 5), record(2, ["200"], receives=2), record(3, ["200"] * 5))
    assert (report.delivered, report.dead_lettered) == (2, 1)


def test_a_message_beyond_the_functions_memory_says_so(make_fleet: Any) -> None:
    """A message that is too large for the function is not decoded, and its neighbours are delivered; what only looks
    like JSON inside a text does not count.
    """
    fleet = make_fleet(Fanned())
    fleet.worker = replace(fleet.worker, room=Room(batch=MIB, message=2 * MIB))
    heavy = record(1, ["200"] * 2_500)
    braces = record(2, ["200"], fields={"user_attributes": {"a": "{" * 5_000}})
    report = fleet.run(heavy, braces, record(3, ["200"]))
    assert (report.delivered, sorted(fleet.api.ids)) == (2, ["2.0", "3.0"])
    assert fleet.letters() == [
        ("unmappable", "reading it takes about 4 MiB and the function has 2: give it more, then redrive")
    ]


class Noting(Unordered):
    """Records when each of its requests was mapped, among the calls."""

    def __init__(self) -> None:
        self.api: Any = None
        self.calls_before: list[int] = []

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        self.calls_before.append(len(self.api.calls))
        return super().deliveries(request)


def test_the_first_calls_leave_before_the_rest_is_decoded(make_fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch begins with some of its messages, and every message arrives once."""
    monkeypatch.setattr(rounds, "MESSAGES_A_PART", 4)
    partner = Noting()
    fleet = make_fleet(partner)
    partner.api = fleet.api
    report = fleet.run(*(record(n, ["200"]) for n in range(10)))
    assert report.delivered == 10
    assert sorted(fleet.api.ids) == sorted(f"{n}.0" for n in range(10))
    assert partner.calls_before[:5] == [0, 0, 0, 0, 4]


@pytest.mark.parametrize(
    ("partner", "options", "parts"),
    [
        ("unordered", {}, 3),
        ("echo", {}, 3),
        ("merging", {}, 1),
        ("unordered", {"in_groups": True}, 1),
        ("unordered", {"room": Room(batch=10_000, message=10_000)}, 1),
        (Fanned(), {}, 1),
    ],
)
def test_a_batch_stays_whole_where_its_messages_concern_each_other(
    partner: Any, options: dict[str, Any], parts: int, make_fleet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If order, bulk calls or memory concern the whole batch, it is not divided into parts."""
    monkeypatch.setattr(rounds, "MESSAGES_A_PART", 4)
    fleet = make_fleet(partner, **{name: value for name, value in options.items() if name != "room"})
    worker = replace(fleet.worker, room=options["room"]) if "room" in options else fleet.worker
    jobs = [Job(Record(record(n, ["200"]))) for n in range(10)]
    made = parts_of(jobs, worker, TimeBudget(lambda: 60.0, 5.0))
    assert len(made) == parts
    assert [job for part in made for job in part.jobs] == jobs


def test_an_empty_batch_has_no_message(fleet: Any) -> None:
    """Nothing is sent, and nothing fails."""
    assert fleet.run().delivered == 0


def sent(fleet: Any, *records: dict[str, Any], time_s: float = 60.0) -> list[Job]:
    jobs = [Job(Record(one)) for one in records]
    budget = TimeBudget(lambda: time_s, 5.0)
    part = Rounds(jobs, fleet.worker, budget)

    async def run() -> None:
        await part.begin()
        await part.send(dispatcher_for(fleet.worker, budget.for_calls_s))

    asyncio.run(run())
    return jobs


def statuses(jobs: list[Job]) -> list[list[int | None]]:
    return [[item.outcome.status for item in job.items if item.outcome] for job in jobs]


def test_everything_that_is_mapped_is_sent_and_let_go_of(fleet: Any) -> None:
    """The results are in the items, and no payload or generator is kept."""
    jobs = sent(fleet, record(1, ["200", "200"]), record(2, ["400"]))
    assert statuses(jobs) == [[200, 200], [400]]
    assert not any(job.holds or job.source for job in jobs)


def test_nothing_to_send_is_no_call(fleet: Any) -> None:
    """A batch of requests without events ends at once."""
    assert statuses(sent(fleet, record(1, []), record(2, []))) == [[], []]
    assert fleet.api.calls == []


ORDERS = [("echo", False, True), ("unordered", False, False), ("unordered", True, True)]


@pytest.mark.parametrize(("partner", "in_groups", "in_order"), ORDERS)
def test_order_holds_for_a_partner_that_asks_and_for_a_fifo_queue(
    partner: str, in_groups: bool, in_order: bool, make_fleet: Any
) -> None:
    """Deliveries keep their order for a partner that asks for it and on a FIFO queue; otherwise they go at the same
    time.
    """
    fleet = make_fleet(partner, in_groups=in_groups)
    assert dispatcher_for(fleet.worker, lambda: 60.0).in_order is in_order
