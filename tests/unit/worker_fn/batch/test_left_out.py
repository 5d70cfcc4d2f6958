"""Parts that become no call are logged and counted."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from partners import Delivery, LeftOut, Partner
from shared.firehose import EventProcessingRequest, Registration, Request
from shared.message import to_json


class Choosy(Partner):
    """A delivery for each event, but for those named `nobody`."""

    name = "choosy"

    def registration(self) -> Registration:
        return Registration(name="Choosy", version="1")

    def deliveries(self, request: Request) -> Iterable[Delivery | LeftOut]:
        assert isinstance(request, EventProcessingRequest)
        for event in request.events:
            item = event.id or ""
            if "nobody" in json.dumps(event.raw):
                yield LeftOut(item, "an event of nobody")
            else:
                yield Delivery("https://partner.example/e", to_json(event.raw), item)


def observed(fleet: Any) -> list[tuple[str, dict[str, Any]]]:
    """The log lines that the fleet's worker writes from now on."""
    logged: list[tuple[str, dict[str, Any]]] = []
    fleet.worker = replace(fleet.worker, log=lambda message, **fields: logged.append((message, fields)))
    return logged


def test_what_is_left_out_is_counted_and_logged_and_the_rest_is_sent(make_fleet: Any) -> None:
    """Each message has a line for each reason, with the first part's name; the rest of the message is delivered."""
    fleet = make_fleet(Choosy())
    logged = observed(fleet)
    report = fleet.run(fleet.record(1, ["200", "nobody", "nobody"]), fleet.record(2, ["nobody"]))
    assert (report.delivered, report.left_out, fleet.api.ids) == (2, 3, ["1.0"])
    ids = {"account_id": "7", "reason": "an event of nobody"}
    assert logged == [
        ("a part of a request is left out", {"item": "1.1", "request_id": "r-1", **ids}),
        ("a part of a request is left out", {"item": "2.0", "request_id": "r-2", **ids}),
    ]


def test_a_message_that_comes_back_says_it_once(make_fleet: Any) -> None:
    """When a message is mapped again, its left-out parts are not logged again, and do not count again with the
    delivered ones.
    """
    fleet = make_fleet(Choosy())
    logged = observed(fleet)
    reports = [fleet.run(fleet.record(1, ["503|200", "nobody"], receives=receives)) for receives in (1, 2)]
    assert [report.left_out for report in reports] == [1, 0]
    assert len(logged) == 1
    assert reports[1].delivered == 1


def test_a_message_that_is_redriven_says_it_at_its_first_receive(make_fleet: Any) -> None:
    """A redriven message is logged at its first receive, because it may never have been mapped and SQS counts anew."""
    fleet = make_fleet(Choosy())
    redriven = fleet.record(1, ["nobody"])
    redriven["attributes"]["SentTimestamp"] = str(1_700_000_000_000 + 3_600_000)
    assert fleet.run(redriven).left_out == 1


def test_a_reason_that_is_none_costs_only_its_message(make_fleet: Any) -> None:
    """A partner's bad reason dead-letters its message before anything of it is sent."""

    class Mistaken(Choosy):
        def deliveries(self, request: Request) -> Iterable[Delivery | LeftOut]:
            for one in super().deliveries(request):
                yield replace(one, why=["no text"]) if isinstance(one, LeftOut) else one  # type: ignore[arg-type]

    fleet = make_fleet(Mistaken())
    report = fleet.run(fleet.record(1, ["200", "nobody"]), fleet.record(2, ["200"]))
    assert (fleet.api.ids, report.delivered) == (["2.0"], 1)
    assert [reason for reason, _ in fleet.letters()] == ["unmappable"]


def test_what_can_not_be_read_is_logged_by_its_place(make_fleet: Any) -> None:
    """The place and what was expected there, never the value; once."""
    fleet = make_fleet(Choosy())
    logged = observed(fleet)
    record = fleet.record(1, ["200"], fields={"user_attributes": "canary@example.com"})
    report = fleet.run(record)
    assert (report.malformed, report.delivered) == (1, 1)
    expected = {"where": "user_attributes", "error": "expected an object", "request_id": "r-1", "account_id": "7"}
    assert logged == [("a part of a request could not be read", expected)]
    record["attributes"]["ApproximateReceiveCount"] = "2"
    assert fleet.run(record).malformed == 0
