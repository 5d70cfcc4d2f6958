"""What a partner says of its messages' order, and of what travels together beyond the endpoint."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from partners import Bulk, Delivery, Limits, Partner
from shared.firehose import EventProcessingRequest, Registration, Request
from shared.message import Head, encode, to_json
from testkit import PartnerApi
from testkit.harness import Harness


class ByUser(Partner):
    """One delivery for each event, a user's messages in one lane; some users' names make that fail."""

    name = "by_user"

    def registration(self) -> Registration:
        return Registration(name="ByUser", version="1")

    def lane_of(self, request: Request) -> str | None:
        assert isinstance(request, EventProcessingRequest)
        if request.mpid == "raise":
            raise KeyError("canary")
        return [] if request.mpid == "no text" else request.mpid  # type: ignore[return-value]

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        assert isinstance(request, EventProcessingRequest)
        for event in request.events:
            yield Delivery("https://p.example/e", to_json([event.raw]), event.id or "")


class Grouped(ByUser):
    """Merges the events of a name, whoever they are of."""

    limits = Limits(bulk={"e": Bulk(10)})

    def lane_of(self, request: Request) -> str | None:
        return None

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        for one in super().deliveries(request):
            [event] = json.loads(one.body)
            yield replace(one, merge="e", merge_group=event["name"])

    def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:
        events = [event for one in deliveries for event in json.loads(one.body)]
        return replace(deliveries[0], body=to_json(events))


def message(number: int, user: str, *names: str, account: int = 7) -> str:
    events = [{"type": "custom_event", "id": f"{number}.{place}", "name": name} for place, name in enumerate(names)]
    request: dict[str, Any] = {"type": "event_processing_request", "id": f"r{number}", "mpid": user, "events": events}
    return encode(Head(f"r{number}", request["type"], str(account), 1_790_000_000_000), to_json(request))[0]


def harness_of(partner: Partner, *statuses: int, call_s: float = 0.0, max_in_flight: int = 1) -> Harness:
    """A worker whose calls are answered with these, and those behind them with 200."""
    return Harness(partner, PartnerApi(*statuses, 200, call_s=call_s), max_in_flight=max_in_flight)


def ids(harness: Harness) -> list[list[str]]:
    return [[event["id"] for event in json.loads(call.body)] for call in harness.api.calls]


@pytest.mark.parametrize("names", [("x", "y", "x"), ("x", "x", "y")])
def test_what_travels_together_is_alike_in_its_group(names: tuple[str, ...]) -> None:
    """Across messages, within the order of each."""
    harness = harness_of(Grouped())
    harness.work([message(0, "ann", *names), message(1, "ben", "y"), message(2, "cid", "x", "x")], receives=1)
    calls = [json.loads(call.body) for call in harness.api.calls]
    assert all(len({event["name"] for event in call}) == 1 for call in calls)
    of_ann = [event["id"] for call in calls for event in call if event["id"].startswith("0.")]
    assert of_ann == ["0.0", "0.1", "0.2"]
    assert len(calls) == {("x", "y", "x"): 4, ("x", "x", "y"): 3}[names]
