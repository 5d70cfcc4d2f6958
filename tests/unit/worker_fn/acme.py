"""A partner with bulk endpoints, and a fleet whose partner API answers by a script."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from partners import Bulk, Delivery, Limits, Partner, Rate, Result
from shared.firehose import EventProcessingRequest, Registration, Request
from worker_fn.clients.http import Answer

ONE = {"bulk": Bulk(10)}

Script = Callable[[list[str]], Answer]


class Acme(Partner):
    """A partner whose bulk endpoint for an event is the event's name (`none`: a single call); answers are JSON lists of
    results.
    """

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


def scripted(make_fleet: Any) -> Any:
    """A fleet whose partner answers by a script, from the ids in a call; `calls` records these."""

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
    """An answer that gives each item its result by id (`_1_0` is 1.0); `rest` is for all other items."""
    words = {name[1:].replace("_", "."): word for name, word in results.items() if name != "rest"}
    return Answer(status, retry_after=retry_after, body=json.dumps({"*": results.get("rest"), **words}).encode())
