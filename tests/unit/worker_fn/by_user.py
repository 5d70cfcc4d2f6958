"""A partner that keeps each user's order, and a worker of one connection for it."""

import json
from collections.abc import Iterable
from typing import Any

from partners import Delivery, Partner
from shared.firehose import EventProcessingRequest, Registration, Request
from shared.message import Head, encode, to_json
from testkit import PartnerApi
from testkit.harness import Harness


class ByUser(Partner):
    """One delivery for each event, with a user's messages in one lane; for some users naming the lane fails."""

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


def message(number: int, user: str, *names: str, account: int = 7) -> str:
    events = [{"type": "custom_event", "id": f"{number}.{place}", "name": name} for place, name in enumerate(names)]
    request: dict[str, Any] = {"type": "event_processing_request", "id": f"r{number}", "mpid": user, "events": events}
    return encode(Head(f"r{number}", request["type"], str(account), 1_790_000_000_000), to_json(request))[0]


def harness_of(partner: Partner, *statuses: int, call_s: float = 0.0, max_in_flight: int = 1) -> Harness:
    """A worker whose first calls get these answers, and whose later calls get 200."""
    return Harness(partner, PartnerApi(*statuses, 200, call_s=call_s), max_in_flight=max_in_flight)


def ids(harness: Harness) -> list[list[str]]:
    """The events in each call."""
    return [[event["id"] for event in json.loads(call.body)] for call in harness.api.calls]
