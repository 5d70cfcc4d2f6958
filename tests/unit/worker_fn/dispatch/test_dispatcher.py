"""Bulk endpoints with limits of their own, and answers that give each item a result."""

from typing import Any

import pytest

from testkit.records import record
from tests.unit.worker_fn.acme import ONE, Acme, said, scripted
from worker_fn.clients.http import Answer


@pytest.fixture
def deliver(make_fleet: Any) -> Any:
    return scripted(make_fleet)


def test_what_is_behind_an_item_that_waits_is_not_sent_before_it(deliver: Any) -> None:
    """Items that are sent again keep their place: an item behind a throttled one of its message waits with it."""

    def script(ids: list[str]) -> Answer:
        return said(429, _1_1="retry", rest="again") if "1.1" in ids else Answer(200)

    fleet = deliver(Acme(ONE), script)
    report = fleet.run(fleet.record(1, ["bulk", "bulk", "bulk"]), fleet.record(2, ["bulk"]))
    assert fleet.calls == [["1.0", "1.1", "1.2", "2.0"], ["1.0", "2.0"]]
    assert (report.delivered, report.failures) == (1, ["m-1"])
    fleet.clock.now_s += 60
    fleet.run(fleet.record(1, ["bulk", "bulk", "bulk"], receives=2))
    assert fleet.calls[-1] == ["1.1", "1.2"]


def test_halving_keeps_the_order_of_what_is_sent_again(deliver: Any) -> None:
    """If items of half a call have to be sent again, the other half of their message does not overtake them."""

    def script(ids: list[str]) -> Answer:
        if len(ids) == 4:
            return Answer(400)
        return said(400, _1_0="rejected", rest="again") if "1.0" in ids else Answer(200)

    fleet = deliver(Acme(ONE), script)
    fleet.run(fleet.record(1, ["bulk"] * 4))
    assert fleet.calls == [["1.0", "1.1", "1.2", "1.3"], ["1.0", "1.1"], ["1.1", "1.2", "1.3"]]


def test_fifo_group_keeps_its_order_whatever_the_partner_says(deliver: Any) -> None:
    """On a FIFO queue half a call waits for the other half, even if the partner needs no order."""

    def script(ids: list[str]) -> Answer:
        if len(ids) == 4:
            return Answer(400)
        return Answer(503) if "1.0" in ids else Answer(200)

    fleet = deliver(Acme(ONE, in_order=False), script, in_groups=True)
    fleet.run(*(fleet.record(n, ["bulk"], group="a") for n in range(1, 5)))
    assert fleet.calls == [["1.0", "2.0", "3.0", "4.0"], ["1.0", "2.0"]]


def test_poison_item_is_isolated(make_fleet: Any) -> None:
    """A refused bulk call is halved until the refused item is alone; the other items are delivered once."""
    fleet = make_fleet("merging")
    report = fleet.run(record(1, ["200"]), record(2, ["poison"]), record(3, ["200"]))
    assert report.delivered == 2
    assert fleet.letters()[0][0] == "rejected"
    arrived = [event_id for bulk in fleet.api.bulks for event_id in bulk if "2.0" not in bulk] + fleet.api.ids
    assert sorted(event_id for event_id in arrived if event_id != "2.0") == ["1.0", "3.0"]
