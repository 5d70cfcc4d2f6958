"""Which deliveries travel together in a bulk call."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from partners import Bulk, Delivery, Secret
from shared.firehose import Request
from testkit.records import record
from tests.unit.worker_fn.acme import ONE, Acme, scripted
from worker_fn.dispatch.lanes import together


def test_what_is_signed_with_another_key_travels_apart() -> None:
    """Deliveries with different signing keys travel apart, because a merged call has one signature."""
    one = Delivery("https://partner.example/e", b"{}", "1", merge="bulk", sign_with=Secret("a"))
    assert together(one) == together(replace(one, item="2"))
    assert together(one) != together(replace(one, sign_with=Secret("b")))


def test_deliveries_of_many_messages_travel_together(make_fleet: Any) -> None:
    """Items of one account go in as few calls as the partner's limit allows; another account's go apart."""
    fleet = make_fleet("merging")
    report = fleet.run(*(record(n, ["200", "200"]) for n in range(3)), record(9, ["200", "200"], account=8))
    assert sorted(len(bulk) for bulk in fleet.api.bulks) == [2, 2, 2, 2]
    assert report.delivered == 4


@pytest.mark.parametrize(
    "limit", [Bulk(20), Bulk(99, bytes=20 * 29), Bulk(99, kinds={"": 20})], ids=["items", "bytes", "kinds"]
)
def test_a_message_is_not_divided_where_that_saves_no_call(deliver: Any, limit: Bulk) -> None:
    """A message is not divided if that saves no call: its rest would wait for the first call's answer."""
    fleet = deliver(Acme({"bulk": limit}))
    report = fleet.run(*(fleet.record(n, ["bulk"] * 3) for n in range(1, 10)))
    assert report.delivered == 9
    assert sorted(map(len, fleet.calls)) == [9, 18]


@pytest.mark.parametrize(
    ("messages", "events", "calls"),
    [(20, 3, [6, 18, 18, 18]), (3, 11, [11, 11, 11]), (10, 11, [10, 20, 20, 20, 20, 20])],
    ids=["three full ones and a rest", "two and a rest", "five and a rest in place of ten"],
)
def test_a_message_is_divided_where_that_saves_a_call(
    messages: int, events: int, calls: list[int], deliver: Any
) -> None:
    """A message is divided if that saves a call, even though its rest goes in the next round."""
    fleet = deliver(Acme({"bulk": Bulk(20)}))
    report = fleet.run(*(fleet.record(n, ["bulk"] * events) for n in range(1, messages + 1)))
    assert report.delivered == messages
    assert sorted(map(len, fleet.calls)) == calls


def test_order_holds_beyond_one_bulk_call(make_fleet: Any) -> None:
    """The part of a message that does not fit into one bulk call waits for that call's answer."""
    fleet = make_fleet("merging")
    report = fleet.run(record(1, ["retry", "200", "200", "200", "200"]))
    assert fleet.api.bulks == [["1.0", "1.1", "1.2"]]
    assert report.failures == ["m-1"]


@pytest.fixture
def deliver(make_fleet: Any) -> Any:
    return scripted(make_fleet)


class Keyed(Acme):
    """Each message comes with a key of its own."""

    def __init__(self, place: str) -> None:
        super().__init__(ONE)
        self._place = place

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        for one in super().deliveries(request):
            key = one.item.partition(".")[0]
            match self._place:
                case "secret_headers" | "secret_fields":
                    yield replace(one, **{self._place: {"key": Secret(key)}})  # type: ignore[arg-type]
                case "login":
                    yield replace(one, headers={"authorization": key})
                case _:
                    yield replace(one, url=f"https://{key}.acme.example/e")


def test_each_bulk_endpoint_has_its_own_limits(deliver: Any) -> None:
    """Calls are packed by the limits of their endpoint, in items and in bytes."""
    fleet = deliver(Acme({"users": Bulk(2), "events": Bulk(100, bytes=100)}, in_order=False))
    report = fleet.run(fleet.record(1, ["users"] * 5 + ["events"] * 5))
    assert report.delivered == 1
    assert sorted(map(len, fleet.calls)) == [1, 2, 2, 2, 3]


@pytest.mark.parametrize("place", ["secret_headers", "secret_fields", "login", "host"])
def test_what_has_other_credentials_does_not_travel_together(place: str, deliver: Any) -> None:
    """Deliveries with an old and a new key, or for another region, do not travel together."""
    fleet = deliver(Keyed(place))
    fleet.run(fleet.record(1, ["bulk", "bulk"]), fleet.record(2, ["bulk", "bulk"]))
    assert sorted(fleet.calls) == [["1.0", "1.1"], ["2.0", "2.1"]]


@pytest.mark.parametrize(("items", "size"), [(0, 1), (1, 0), (-1, 5)])
def test_bulk_endpoint_takes_something(items: int, size: int) -> None:
    """Limits that no call can keep are refused as a wrong declaration."""
    with pytest.raises(ValueError, match="at least one item and one byte"):
        Bulk(items, size)
