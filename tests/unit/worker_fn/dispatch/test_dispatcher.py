"""Bulk endpoints with limits of their own, and answers that tell their items apart."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from partners import Bulk, Delivery, Limits, Partner, Rate, Result, Secret
from shared.firehose import EventProcessingRequest, Registration, Request
from worker_fn.clients.http import FROZEN, Answer

ONE = {"bulk": Bulk(10)}


class Acme(Partner):
    """An event's name is the bulk endpoint that takes it (`none`: a single call); answers are JSON lists of results."""

    name = "acme"

    def __init__(self, bulk: Mapping[str, Bulk], *, account_rate: Rate | None = None, in_order: bool = True) -> None:
        self.limits = Limits(account_rate=account_rate, bulk=bulk)
        self.in_order = in_order
        self.asked: list[int] = []

    def registration(self) -> Registration:
        return Registration(name="Acme", version="1")

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        assert isinstance(request, EventProcessingRequest)
        for event in request.events:
            body = json.dumps({"id": event.id, "name": event.raw["name"]}).encode()
            merge = None if event.raw["name"] == "none" else event.raw["name"]
            yield Delivery("https://acme.example/e", body, event.id or "", merge=merge)

    def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:
        return Delivery("https://acme.example/bulk", b"[" + b",".join(one.body for one in deliveries) + b"]", "bulk")

    def read_response(self, deliveries: Sequence[Delivery], status: int, body: bytes) -> Sequence[Result] | None:
        self.asked.append(status)
        said = json.loads(body) if body else None
        return [Result(said.get(one.item, said["*"])) for one in deliveries] if said else None


Script = Callable[[list[str]], Answer]


@pytest.fixture
def deliver(make_fleet: Any) -> Any:
    """A fleet whose partner answers a call by a script, from the ids that the call carries; `calls` has these."""

    def make(partner: Partner, script: Script = lambda ids: Answer(200), **options: Any) -> Any:
        fleet = make_fleet(partner, **options)
        fleet.calls, fleet.times_s = [], []

        def answered(events: list[dict[str, Any]]) -> Answer:
            fleet.calls.append([event["id"] for event in events])
            fleet.times_s.append(fleet.clock.now_s)
            return script(fleet.calls[-1])

        fleet.api._bulk = answered
        fleet.api._answer = lambda event: answered([event])
        return fleet

    return make


def said(status: int, *, retry_after: str | None = None, **results: str) -> Answer:
    """An answer that says of items by id (`_1_0` is 1.0) what became of them; `rest` is for all others."""
    words = {name[1:].replace("_", "."): word for name, word in results.items() if name != "rest"}
    return Answer(status, retry_after=retry_after, body=json.dumps({"*": results.get("rest"), **words}).encode())


def test_each_bulk_endpoint_has_its_own_limits(deliver: Any) -> None:
    """Calls are packed by the limits of their endpoint, in items and in bytes."""
    fleet = deliver(Acme({"users": Bulk(2), "events": Bulk(100, bytes=100)}, in_order=False))
    report = fleet.run(fleet.record(1, ["users"] * 5 + ["events"] * 5))
    assert report.delivered == 1
    assert sorted(map(len, fleet.calls)) == [1, 2, 2, 2, 3]


class Keyed(Acme):
    """Each message comes with a key of its own."""

    def __init__(self, place: str) -> None:
        super().__init__(ONE)
        self._place = place

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        for one in super().deliveries(request):
            secrets = {"key": Secret(one.item.partition(".")[0])}
            in_header = self._place == "secret_headers"
            yield replace(one, secret_headers=secrets) if in_header else replace(one, secret_fields=secrets)


@pytest.mark.parametrize("place", ["secret_headers", "secret_fields"])
def test_what_has_other_credentials_does_not_travel_together(place: str, deliver: Any) -> None:
    """A customer's new key, of another project perhaps, is not used for what was sent with the old one."""
    fleet = deliver(Keyed(place))
    fleet.run(fleet.record(1, ["bulk", "bulk"]), fleet.record(2, ["bulk", "bulk"]))
    assert sorted(fleet.calls) == [["1.0", "1.1"], ["2.0", "2.1"]]


def test_rate_of_an_endpoint_is_an_agreement_of_its_own(deliver: Any) -> None:
    """Each account has an item at each endpoint that declares a rate, and one for its other calls."""
    fleet = deliver(Acme({"a/b": Bulk(1, rate=Rate(20)), "c": Bulk(1, rate=Rate(5))}, account_rate=Rate(9)))
    fleet.run(fleet.record(1, ["a/b", "c", "none"]), fleet.record(2, ["c"], account=8))
    limits = {
        key[0]: item.value["limit"]["per_second"]
        for key, item in fleet.state.items.items()
        if key[0].startswith("account#")
    }
    assert limits == {"account#7#a/b": 20, "account#7#c": 5, "account#7": 9, "account#8#c": 5}


def test_endpoint_without_a_rate_shares_the_accounts(deliver: Any) -> None:
    """Where an endpoint declares none, its calls count with the account's others."""
    fleet = deliver(Acme(ONE, account_rate=Rate(5)))
    fleet.run(fleet.record(1, ["bulk", "none"]))
    assert {key[0] for key in fleet.state.items if key[0].startswith("account#")} == {"account#7"}


def test_messages_beyond_an_endpoints_rate_come_back_by_the_call(deliver: Any) -> None:
    """As many messages are given one time to come back as one bulk call takes."""
    fleet = deliver(Acme({"bulk": Bulk(4, rate=Rate(1, 10))}, in_order=False), max_in_flight=20)
    report = fleet.run(*(fleet.record(n, ["bulk"]) for n in range(13)))
    waits = sorted(fleet.queue.hidden[f"h-{failure[2:]}"] for failure in report.failures)
    assert report.delivered + len(waits) == 13
    assert len(waits) >= 8
    assert waits[7] - waits[3] == pytest.approx(10, abs=1)
    assert waits[-1] <= 40


def test_push_back_at_an_endpoint_cools_down_its_account_there(deliver: Any) -> None:
    """A Retry-After of one endpoint leaves the account's other calls alone."""
    partner = Acme({"bulk": Bulk(1, rate=Rate(50))}, in_order=False)
    fleet = deliver(partner, lambda ids: Answer(429, "100") if ids == ["1.0"] else Answer(200))
    report = fleet.run(fleet.record(1, ["bulk"]))
    assert report.failures == ["m-1"]
    later = fleet.run(fleet.record(2, ["bulk"]), fleet.record(3, ["none"]), worker=fleet.another())
    assert fleet.calls == [["1.0"], ["3.0"]]
    assert later.failures == ["m-2"]
    assert min(fleet.queue.hidden.values()) >= 100


def test_undeclared_endpoint_is_named_as_the_partners_mistake(deliver: Any) -> None:
    """A merge name without limits dead-letters its message and says what is declared; its neighbours arrive."""
    fleet = deliver(Acme({"users": Bulk(2), "events": Bulk(2)}))
    report = fleet.run(fleet.record(1, ["userz"]), fleet.record(2, ["users"]))
    assert report.delivered == 1
    problem = "a delivery's `merge` is not declared: `limits.bulk` of acme holds events, users"
    assert fleet.letters() == [("unmappable", problem)]


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
    """What stands before and behind the refused item of the same message is sent, in order."""

    def script(ids: list[str]) -> Answer:
        return said(400, _1_1="rejected", rest="again") if "1.1" in ids else Answer(200)

    fleet = deliver(Acme(ONE), script)
    fleet.run(fleet.record(1, ["bulk", "bulk", "bulk"]))
    assert fleet.calls == [["1.0", "1.1", "1.2"], ["1.0", "1.2"]]
    assert fleet.letters() == [("rejected", "rejected inside HTTP 400 for 1 of 3 deliveries")]


def test_what_is_behind_an_item_that_waits_is_not_sent_before_it(deliver: Any) -> None:
    """Items to be sent again keep their place: one behind a throttled item of its message waits with it."""

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
    """Where half a call is told apart, the other half of its message does not overtake it."""

    def script(ids: list[str]) -> Answer:
        if len(ids) == 4:
            return Answer(400)
        return said(400, _1_0="rejected", rest="again") if "1.0" in ids else Answer(200)

    fleet = deliver(Acme(ONE), script)
    fleet.run(fleet.record(1, ["bulk"] * 4))
    assert fleet.calls == [["1.0", "1.1", "1.2", "1.3"], ["1.0", "1.1"], ["1.1", "1.2", "1.3"]]


def test_partner_that_always_finds_another_culprit_is_not_called_without_end(deliver: Any) -> None:
    """An item is sent again for its neighbours' sake as often as it may be tried; then it waits."""
    fleet = deliver(Acme(ONE), lambda ids: said(400, **{f"_{ids[0].replace('.', '_')}": "rejected"}, rest="again"))
    report = fleet.run(*(fleet.record(n, ["bulk"]) for n in range(1, 10)), time_s=600)
    assert [len(call) for call in fleet.calls] == [9, 8]
    assert len(report.failures) == 7
    assert len(fleet.letters()) == 2


def test_answer_that_blames_nobody_sends_the_call_back_to_the_queue(deliver: Any) -> None:
    """When every item is to be sent again, it is not at once: nothing would be different."""
    fleet = deliver(Acme(ONE), lambda ids: said(400, rest="again"))
    report = fleet.run(fleet.record(1, ["bulk"]), fleet.record(2, ["bulk"]))
    assert len(fleet.calls) == 1
    assert report.failures == ["m-1", "m-2"]


def test_throttled_item_waits_and_says_nothing_of_the_rate(deliver: Any) -> None:
    """A 429 that names an item leaves the fleet's limit alone; the item waits ever longer and is never given up."""

    def script(ids: list[str]) -> Answer:
        return said(429, _1_0="retry", rest="again") if "1.0" in ids else Answer(200)

    fleet = deliver(Acme(ONE), script)
    waits = []
    for receives in range(1, 80):
        report = fleet.run(fleet.record(1, ["bulk"], receives=receives), fleet.record(100 + receives, ["bulk"]))
        assert (report.delivered, report.failures) == (1, ["m-1"])
        waits.append(fleet.queue.hidden["h-1"])
        fleet.clock.now_s += 60
    assert fleet.worker.limiters.partner.flow.limit.per_second is None
    assert fleet.queue.dead == []
    assert max(waits[:3]) <= 20
    assert max(waits[10:]) > 300


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
    """Nobody is asked what a 401 means."""
    partner = Acme(ONE)
    fleet = deliver(partner, lambda ids: said(status, rest="rejected"))
    fleet.run(fleet.record(1, ["bulk"]), fleet.record(2, ["bulk"]))
    assert fleet.state.keys("suspended") == ["7"]
    assert (partner.asked, fleet.queue.dead) == ([], [])


def test_refused_credentials_may_be_told_by_another_status(deliver: Any) -> None:
    """An API that says it with a 400 suspends the account all the same; nothing is halved or dead-lettered."""
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
    """A proxy's error page, or a body that contradicts its status: the status decides."""
    fleet = deliver(Acme(ONE), lambda ids: Answer(502, body=body))
    report = fleet.run(fleet.record(1, ["bulk"]), fleet.record(2, ["none"]))
    assert (report.failures, fleet.queue.dead) == (["m-1", "m-2"], [])


def test_unreadable_body_of_a_refusal_is_halved(deliver: Any) -> None:
    """Where a 400 says nothing that can be read, the culprit is found by halving."""
    fleet = deliver(Acme(ONE), lambda ids: Answer(400, body=b"oops") if "1.0" in ids else Answer(200))
    report = fleet.run(*(fleet.record(n, ["bulk"]) for n in range(1, 5)))
    assert report.delivered == 3
    assert fleet.letters() == [("rejected", "HTTP 400 for 1 of 1 deliveries")]


@pytest.mark.parametrize("status", [200, 400, 503])
def test_half_an_answer_is_judged_by_its_status(status: int, deliver: Any) -> None:
    """A partner is not asked about a body that broke off: a 2xx that was read is a delivery, of all that it took."""
    partner = Acme(ONE)
    fleet = deliver(partner, lambda ids: Answer(status, body=b'{"*": "rejec', is_whole=False))
    report = fleet.run(fleet.record(1, ["bulk"]))
    assert partner.asked == []
    assert (report.delivered, report.waiting, report.dead_lettered) == (status == 200, status == 503, status == 400)


def test_frozen_calls_are_sent_again_and_say_nothing_of_the_partner(deliver: Any) -> None:
    """However many there are: they are no attempts, open no breaker, and lower no rate."""
    fleet = deliver(Acme(ONE), lambda ids: Answer(fault=FROZEN), attempts=3)
    report = fleet.run(*(fleet.record(number, ["none"]) for number in range(1, 15)))
    assert (len(fleet.calls), report.waiting) == (42, 14)
    flow = fleet.worker.limiters.partner.flow
    assert (flow.breaker.is_open, flow.limit.pushed_back, flow.limit.per_second) == (False, 0, None)
    kept = [progress for (pk, _), progress in fleet.state.items.items() if "progress" in pk]
    assert not any(progress.value.get("attempts") for progress in kept)


def test_refusal_that_means_it_is_there_already_is_a_delivery(deliver: Any) -> None:
    """A partner may read a 409 of a single call as what it is."""
    fleet = deliver(Acme(ONE), lambda ids: said(409, rest="delivered"))
    assert fleet.run(fleet.record(1, ["none"])).delivered == 1


def test_partner_is_not_asked_about_an_empty_refusal(deliver: Any) -> None:
    """Without a body there is nothing to read; a 2xx may say by it that nothing failed."""
    partner = Acme(ONE)
    fleet = deliver(partner, lambda ids: Answer(400 if ids == ["1.0"] else 204))
    fleet.run(fleet.record(1, ["none"]), fleet.record(2, ["none"]))
    assert partner.asked == [204]


@pytest.mark.parametrize(("items", "size"), [(0, 1), (1, 0), (-1, 5)])
def test_bulk_endpoint_takes_something(items: int, size: int) -> None:
    """Limits that no call can keep are a mistake of the declaration."""
    with pytest.raises(ValueError, match="at least one item and one byte"):
        Bulk(items, size)


def test_fifo_group_keeps_its_order_whatever_the_partner_says(deliver: Any) -> None:
    """A partner to whom order does not matter does not undo the queue's: half a call waits for the other half."""

    def script(ids: list[str]) -> Answer:
        if len(ids) == 4:
            return Answer(400)
        return Answer(503) if "1.0" in ids else Answer(200)

    fleet = deliver(Acme(ONE, in_order=False), script, in_groups=True)
    fleet.run(*(fleet.record(n, ["bulk"], group="a") for n in range(1, 5)))
    assert fleet.calls == [["1.0", "2.0", "3.0", "4.0"], ["1.0", "2.0"]]
