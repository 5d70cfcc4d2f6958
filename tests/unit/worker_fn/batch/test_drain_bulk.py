"""A batch whose deliveries travel in bulk calls."""

from typing import Any

import pytest

from tests.unit.worker_fn.records import record


def test_deliveries_of_many_messages_travel_together(make_fleet: Any) -> None:
    """Items of one account go in as few calls as the partner's limit allows; another account's go apart."""
    fleet = make_fleet("merging")
    report = fleet.run(*(record(n, ["200", "200"]) for n in range(3)), record(9, ["200", "200"], account=8))
    assert sorted(len(bulk) for bulk in fleet.api.bulks) == [2, 2, 3]
    assert report.delivered == 4


def test_poison_item_is_isolated(make_fleet: Any) -> None:
    """A bulk call that is refused is halved until the culprit is alone; its neighbours arrive once."""
    fleet = make_fleet("merging")
    report = fleet.run(record(1, ["200"]), record(2, ["poison"]), record(3, ["200"]))
    assert report.delivered == 2
    assert fleet.letters()[0][0] == "rejected"
    arrived = [event_id for bulk in fleet.api.bulks for event_id in bulk if "2.0" not in bulk] + fleet.api.ids
    assert sorted(event_id for event_id in arrived if event_id != "2.0") == ["1.0", "3.0"]


def test_answers_inside_a_bulk_call_are_taken_apart(make_fleet: Any) -> None:
    """Each item has its own end, whatever the others' were; what arrived is not sent again."""
    fleet = make_fleet("merging")
    report = fleet.run(record(1, ["200"]), record(2, ["rejected"]), record(3, ["200", "retry"]))
    assert report.delivered == 1
    assert fleet.letters()[0][0] == "rejected"
    assert report.failures == ["m-3"]
    fleet.clock.now_s += 60
    fleet.run(record(3, ["200", "200"], receives=2))
    assert fleet.api.ids[-1:] == ["3.1"] or fleet.api.bulks[-1] == ["3.1"]


@pytest.mark.parametrize("fault", ["raises", "short", "wrong", "none"])
def test_bulk_code_that_makes_no_sense_costs_only_its_messages(fault: str, make_fleet: Any) -> None:
    """Whatever a partner's merge and read_response give back, every message gets an end."""
    fleet = make_fleet("faulty_bulk", fault=fault)
    report = fleet.run(record(1, ["200"]), record(2, ["200"]), record(3, ["200"], account=8))
    assert report.delivered + report.dead_lettered == 3
    assert {reason for reason, _ in fleet.letters()} <= {"unmappable"}
    assert report.failures == []


def test_order_holds_beyond_one_bulk_call(make_fleet: Any) -> None:
    """What of a message does not fit into one bulk call waits for that call's answer."""
    fleet = make_fleet("merging")
    report = fleet.run(record(1, ["retry", "200", "200", "200", "200"]))
    assert fleet.api.bulks == [["1.0", "1.1", "1.2"]]
    assert report.failures == ["m-1"]
