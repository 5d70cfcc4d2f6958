"""Answers that give each item of a call its own result."""

from typing import Any

import pytest

from testkit.records import record
from tests.unit.worker_fn.acme import ONE, Acme, said, scripted
from worker_fn.clients.http import Answer


def test_answers_inside_a_bulk_call_are_taken_apart(make_fleet: Any) -> None:
    """Each item has its own result, whatever the others' are; delivered items are not sent again."""
    fleet = make_fleet("merging")
    report = fleet.run(record(1, ["200"]), record(2, ["rejected"]), record(3, ["200", "retry"]))
    assert report.delivered == 1
    assert fleet.letters()[0][0] == "rejected"
    assert report.failures == ["m-3"]
    fleet.clock.now_s += 60
    fleet.run(record(3, ["200", "200"], receives=2))
    assert (fleet.api.bulks, fleet.api.ids) == ([["1.0", "2.0"], ["3.0", "3.1"]], ["3.1"])


@pytest.mark.parametrize(("fault", "delivered"), [("raises", 0), ("short", 0), ("wrong", 0), ("none", 3)])
def test_bulk_code_that_makes_no_sense_costs_only_its_messages(fault: str, delivered: int, make_fleet: Any) -> None:
    """Whatever a partner's merge and read_response return, every message ends."""
    fleet = make_fleet("faulty_bulk", fault=fault)
    report = fleet.run(record(1, ["200"]), record(2, ["200"]), record(3, ["200"], account=8))
    assert report.delivered == delivered
    assert [reason for reason, _ in fleet.letters()] == ["unmappable"] * (3 - delivered)
    assert report.failures == []


@pytest.fixture
def deliver(make_fleet: Any) -> Any:
    return scripted(make_fleet)


def test_refused_call_that_names_the_culprit_is_sent_once_more_without_it(deliver: Any) -> None:
    """One extra call isolates a poison item; halving would take more."""

    def script(ids: list[str]) -> Answer:
        return said(400, _3_0="rejected", rest="again") if "3.0" in ids else Answer(200)

    fleet = deliver(Acme(ONE), script)
    report = fleet.run(*(fleet.record(n, ["bulk"]) for n in range(1, 9)))
    assert [len(call) for call in fleet.calls] == [8, 7]
    assert report.delivered == 7
    assert fleet.letters() == [("rejected", "rejected inside HTTP 400 for 1 of 1 deliveries")]


def test_culprit_inside_a_message_leaves_the_others_of_it(deliver: Any) -> None:
    """Items before and behind the refused item of the same message are sent, in order."""

    def script(ids: list[str]) -> Answer:
        return said(400, _1_1="rejected", rest="again") if "1.1" in ids else Answer(200)

    fleet = deliver(Acme(ONE), script)
    fleet.run(fleet.record(1, ["bulk", "bulk", "bulk"]))
    assert fleet.calls == [["1.0", "1.1", "1.2"], ["1.0", "1.2"]]
    assert fleet.letters() == [("rejected", "rejected inside HTTP 400 for 1 of 3 deliveries")]


def test_partner_that_always_finds_another_culprit_is_not_called_without_end(deliver: Any) -> None:
    """An item is sent again because of other items at most as often as it may be tried; then it waits."""
    fleet = deliver(Acme(ONE), lambda ids: said(400, **{f"_{ids[0].replace('.', '_')}": "rejected"}, rest="again"))
    report = fleet.run(*(fleet.record(n, ["bulk"]) for n in range(1, 10)), time_s=600)
    assert [len(call) for call in fleet.calls] == [9, 8]
    assert len(report.failures) == 7
    assert len(fleet.letters()) == 2


def test_answer_that_blames_nobody_sends_the_call_back_to_the_queue(deliver: Any) -> None:
    """If all items are to be sent again, they wait on the queue, because at once nothing would be different."""
    fleet = deliver(Acme(ONE), lambda ids: said(400, rest="again"))
    report = fleet.run(fleet.record(1, ["bulk"]), fleet.record(2, ["bulk"]))
    assert len(fleet.calls) == 1
    assert report.failures == ["m-1", "m-2"]


def test_retry_after_is_obeyed_whatever_the_body_says(deliver: Any) -> None:
    """A 429 that names items and says when to come back stops all calls until then."""

    def script(ids: list[str]) -> Answer:
        return said(429, retry_after="50", _1_0="retry", rest="again") if "1.0" in ids else Answer(200)

    fleet = deliver(Acme(ONE), script)
    asked_s = fleet.clock.now_s
    report = fleet.run(fleet.record(1, ["bulk"]), fleet.record(2, ["bulk"]))
    assert len(fleet.calls) == 1
    assert set(report.failures) == {"m-1", "m-2"}
    assert fleet.clock.now_s + min(fleet.queue.hidden.values()) >= asked_s + 50


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_suspend_whatever_the_body_says(status: int, deliver: Any) -> None:
    """A 401 suspends without asking the partner's code."""
    partner = Acme(ONE)
    fleet = deliver(partner, lambda ids: said(status, rest="rejected"))
    fleet.run(fleet.record(1, ["bulk"]), fleet.record(2, ["bulk"]))
    assert fleet.state.keys("suspended") == ["7"]
    assert (partner.asked, fleet.queue.dead) == ([], [])


def test_refused_credentials_may_be_told_by_another_status(deliver: Any) -> None:
    """If the partner's code reads refused credentials from a 400, the account is suspended, and nothing is halved or
    dead-lettered.
    """
    fleet = deliver(
        Acme(ONE), lambda ids: said(400, _1_0="unauthorized", rest="again") if "1.0" in ids else Answer(200)
    )
    report = fleet.run(*(fleet.record(n, ["bulk"]) for n in range(1, 5)), fleet.record(9, ["bulk"], account=8))
    assert sorted(map(len, fleet.calls)) == [1, 4]
    assert fleet.state.keys("suspended") == ["7"]
    assert (report.failures, len(fleet.queue.parked), report.delivered) == (["m-1"], 3, 1)
    assert fleet.queue.dead == []


@pytest.mark.parametrize(
    "body", [b"<html>Bad Gateway</html>", b'{"*": "delivered"}', b'{"*": "rejected"}', b'{"*": "unauthorized"}', b"[]"]
)
def test_unreadable_body_of_a_fault_costs_nothing(body: bytes, deliver: Any) -> None:
    """If the body is a proxy's error page, or contradicts its status, the status decides, and the log says so."""
    fleet, lines = deliver(Acme(ONE), lambda ids: Answer(502, body=body)), list[str]()
    worker = fleet.another(log=lambda line, **_: lines.append(line))
    report = fleet.run(fleet.record(1, ["bulk"]), fleet.record(2, ["none"]), worker=worker)
    assert (report.failures, fleet.queue.dead) == (["m-1", "m-2"], [])
    assert set(lines) <= {"an answer could not be told apart"}
    assert bool(lines) is (body != b"[]")  # which says of nobody anything


def test_a_fault_may_name_the_item_that_it_is_about(deliver: Any) -> None:
    """A 503 for one item's sake: that one waits, the others are sent again at once."""

    def script(ids: list[str]) -> Answer:
        return said(503, _1_0="retry", rest="again") if "1.0" in ids else Answer(200)

    fleet, lines = deliver(Acme(ONE), script), list[str]()
    worker = fleet.another(log=lambda line, **_: lines.append(line))
    report = fleet.run(fleet.record(1, ["bulk"]), fleet.record(2, ["bulk"]), worker=worker)
    assert fleet.calls == [["1.0", "2.0"], ["2.0"]]
    assert (report.delivered, report.failures, lines) == (1, ["m-1"], [])


def test_unreadable_body_of_a_refusal_is_halved(deliver: Any) -> None:
    """After a 400 with an unreadable body, the refused item is found by halving."""
    fleet = deliver(Acme(ONE), lambda ids: Answer(400, body=b"oops") if "1.0" in ids else Answer(200))
    report = fleet.run(*(fleet.record(n, ["bulk"]) for n in range(1, 5)))
    assert report.delivered == 3
    assert fleet.letters() == [("rejected", "HTTP 400 for 1 of 1 deliveries")]


@pytest.mark.parametrize("status", [200, 400, 503])
def test_half_an_answer_is_judged_by_its_status(status: int, deliver: Any) -> None:
    """A body that broke off is not given to the partner's code; a 2xx status then means that all items were
    delivered.
    """
    partner, lines = Acme(ONE), list[str]()
    fleet = deliver(partner, lambda ids: Answer(status, body=b'{"*": "rejec', is_whole=False))
    worker = fleet.another(log=lambda line, **_: lines.append(line))
    report = fleet.run(fleet.record(1, ["bulk"]), worker=worker)
    assert partner.asked == []
    assert set(lines) == {"an answer could not be read to its end: its status decides"}
    assert (report.delivered, report.waiting, report.dead_lettered) == (status == 200, status == 503, status == 400)


def test_refusal_that_means_it_is_there_already_is_a_delivery(deliver: Any) -> None:
    """A partner's code may count a 409 of a single call as delivered."""
    fleet = deliver(Acme(ONE), lambda ids: said(409, rest="delivered"))
    assert fleet.run(fleet.record(1, ["none"])).delivered == 1


def test_partner_is_not_asked_about_an_empty_refusal(deliver: Any) -> None:
    """A refusal without a body is not given to the partner's code; an empty 2xx is."""
    partner = Acme(ONE)
    fleet = deliver(partner, lambda ids: Answer(400 if ids == ["1.0"] else 204))
    fleet.run(fleet.record(1, ["none"]), fleet.record(2, ["none"]))
    assert partner.asked == [204]
