"""A partner of whose mapping a test sees how far it went, and how much of what it made is not sent yet."""

import json
from collections.abc import Iterable

from partners import Bulk, Delivery, LeftOut, Limits, Partner
from shared.firehose import EventProcessingRequest, Registration, Request
from tests.fakes.echo import Merging

KIB = 1_024


class Fanned(Partner):
    """A body of 1 KiB for each event, in order; notes how far it was asked, and how many bodies were there unsent."""

    name = "fanned"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.unsent = 0
        self.most_unsent = 0
        self.closed: list[str] = []

    def registration(self) -> Registration:
        return Registration(name="Fanned", version="1")

    def lane_of(self, request: Request) -> str | None:
        assert isinstance(request, EventProcessingRequest)
        return request.mpid

    def deliveries(self, request: Request) -> Iterable[Delivery | LeftOut]:
        assert isinstance(request, EventProcessingRequest)
        try:
            for event in request.events:
                self.asked.append(event.id or "")
                if event.raw["name"] == "left out":
                    yield LeftOut(event.id or "", "of no use")
                    continue
                if event.raw["name"] == "boom":
                    raise KeyError("canary@example.com")
                self.unsent += 1
                self.most_unsent = max(self.most_unsent, self.unsent)
                body = json.dumps({**event.raw, "fill": "x" * KIB}).encode()
                merge = "nowhere" if event.raw["name"] == "undeclared" else self.merge_name
                yield Delivery("https://partner.example/e", body, event.id or "", merge=merge)
        finally:
            self.closed.append(request.id or "")

    merge_name: str | None = None


class FannedBulk(Fanned):
    limits = Limits(bulk={"bulk": Bulk(3)})
    merge_name = "bulk"
    merge = Merging.merge
