"""The order in which messages are sent."""

from typing import Any

import pytest

from testkit.harness import Harness
from testkit.records import raw_record, record
from tests.unit.worker_fn.by_user import ByUser, harness_of, ids, message


def test_fifo_group_waits_behind_a_message_of_a_later_release(make_fleet: Any) -> None:
    """Messages behind one of a later release wait for it; those before it, and other groups, are sent."""
    fleet = make_fleet(in_groups=True)
    newer = raw_record(2, '{"v": 2, "id": "r-2"}', group="ann")
    before, behind = record(1, ["200"], group="ann"), record(3, ["200"], group="ann")
    report = fleet.run(before, newer, behind, record(4, ["200"], group="bob"))
    assert report.failures == ["m-2", "m-3"]
    assert sorted(fleet.api.ids) == ["1.0", "4.0"]


def test_order_within_a_message_is_kept(fleet: Any) -> None:
    """A delivery that must wait holds back later deliveries of its message."""
    report = fleet.run(record(1, ["200", "503", "200"]))
    assert fleet.api.ids == ["1.0", "1.1"]
    assert report.failures == ["m-1"]


def test_unordered_partner_sends_past_a_wait(make_fleet: Any) -> None:
    """If the partner needs no order, a waiting delivery holds back no other."""
    fleet = make_fleet("unordered")
    report = fleet.run(record(1, ["200", "503", "200"]))
    assert sorted(fleet.api.ids) == ["1.0", "1.1", "1.2"]
    assert report.failures == ["m-1"]


def test_fifo_group_waits_behind_its_failure(make_fleet: Any) -> None:
    """In a FIFO queue a failure holds back its own group, in order; other groups go on."""
    fleet = make_fleet(in_groups=True)
    report = fleet.run(record(1, ["503"], group="a"), record(2, ["200"], group="a"), record(3, ["200"], group="b"))
    assert sorted(fleet.api.ids) == ["1.0", "3.0"]
    assert report.failures == ["m-1", "m-2"]


def test_fifo_refusal_lets_its_group_go_on(make_fleet: Any) -> None:
    """A message that will never be taken does not block its group."""
    fleet = make_fleet(in_groups=True)
    report = fleet.run(record(1, ["400"], group="a"), record(2, ["200"], group="a"))
    assert fleet.api.ids == ["1.0", "2.0"]
    assert (report.delivered, report.failures) == (1, [])


def waiting(harness: Harness) -> set[str]:
    return {message_id for message_id, end in harness.queue.ends.items() if end.how == "waiting"}


def test_messages_of_a_lane_go_one_after_the_other() -> None:
    """All of one message is sent before the next message of its user; other users' messages go at the same time."""
    harness = harness_of(ByUser(), max_in_flight=4, call_s=0.1)
    harness.work([message(0, "ann", "a", "b", "c"), message(1, "ann", "a"), message(2, "ben", "a")], receives=1)
    order = [one for [one] in ids(harness)]
    assert [one for one in order if one != "2.0"] == ["0.0", "0.1", "0.2", "1.0"]
    assert order.index("2.0") < order.index("0.1")


def test_a_lane_stops_for_the_messages_behind_too() -> None:
    """A delivery that fails for now holds back later messages of its lane, and all come back."""
    harness = harness_of(ByUser(), 503)
    harness.work([message(0, "ann", "a"), message(1, "ann", "a")], receives=1)
    assert ids(harness) == [["0.0"]]
    assert waiting(harness) == {"m-0", "m-1"}
    harness.work([], together=True)
    assert ids(harness)[1:] == [["0.0"], ["1.0"]]


def test_a_lane_is_one_accounts() -> None:
    """Messages of the same user id in another account are in another lane."""
    harness = harness_of(ByUser(), 503)
    harness.work([message(0, "ann", "a"), message(1, "ann", "a", account=8)], receives=1)
    assert waiting(harness) == {"m-0"}


@pytest.mark.parametrize("user", ["raise", "no text"])
def test_code_that_names_a_lane_may_be_wrong(user: str) -> None:
    """If naming the lane raises, the message is dead-lettered without the error's text, and the others are
    delivered.
    """
    harness = harness_of(ByUser())
    harness.work([message(0, user, "a"), message(1, "ann", "a")], receives=1)
    [(_, letter)] = harness.queue.dead
    assert letter["reason"] == "unmappable"
    assert "canary" not in str(letter)
    assert ids(harness) == [["1.0"]]


def test_without_an_order_there_are_no_lanes() -> None:
    """If a partner's deliveries may go at the same time, so may its messages."""

    class Unordered(ByUser):
        in_order = False

    harness = harness_of(Unordered(), 503)
    harness.work([message(0, "ann", "a"), message(1, "ann", "a")], receives=1)
    assert waiting(harness) == {"m-0"}
