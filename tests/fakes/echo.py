"""Partners whose API says of each event what the event's name asks for, and partners that are wrong."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from partners import Bulk, Delivery, Limits, Partner, Rate, Result
from shared.firehose import EventProcessingRequest, Registration, Request
from shared.message import to_json
from testkit import Answer, Call, PartnerApi


class Echo(Partner):
    """One delivery for each event; `wrong` and `boom` in an event's name raise where a partner's code might."""

    name = "echo"

    def registration(self) -> Registration:
        return Registration(name="Echo", version="1")

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        assert isinstance(request, EventProcessingRequest)
        for event in request.events:
            if "boom" in json.dumps(event.raw):
                raise KeyError("canary@example.com")
            yield Delivery(url="https://partner.example/e", body=to_json(event.raw), item=event.id or "")


class Unordered(Echo):
    in_order = False


class Limited(Echo):
    limits = Limits(rate=Rate(20))


class Merging(Echo):
    """Takes up to three events in one call."""

    limits = Limits(bulk={"bulk": Bulk(3)})

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        for delivery in super().deliveries(request):
            yield Delivery(delivery.url, delivery.body, delivery.item, merge="bulk")

    def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:
        bodies = [json.loads(delivery.body) for delivery in deliveries]
        return Delivery("https://partner.example/bulk", json.dumps(bodies).encode(), "bulk")

    def read_response(self, deliveries: Sequence[Delivery], status: int, body: bytes) -> Sequence[Result] | None:
        answers = json.loads(body)
        return [Result(answer) for answer in answers] if answers else None


class Forbidding(Merging):
    """A bulk API that refuses the whole call for an item that is named `forbidden`."""

    def read_response(self, deliveries: Sequence[Delivery], status: int, body: bytes) -> Sequence[Result] | None:
        return None


class Faulty(Echo):
    """Makes of an event named `fault` what no delivery can be."""

    def __init__(self, fault: str = "url") -> None:
        self.fault = fault

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        for delivery in super().deliveries(request):
            if b"fault" not in delivery.body:
                yield delivery
            elif self.fault == "none":
                yield None  # type: ignore[misc]
            elif self.fault == "item":
                yield replace(delivery, item=5)  # type: ignore[arg-type]
            elif self.fault == "secret":
                yield replace(delivery, secret_headers={"A": "no secret"})  # type: ignore[dict-item]
            else:
                yield replace(delivery, url="https://[bad/x")


class FaultyBulk(Merging):
    """Merges or reads bulk calls wrongly."""

    def __init__(self, fault: str = "raises") -> None:
        self.fault = fault

    def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:
        if self.fault == "none":
            return None  # type: ignore[return-value]
        return super().merge(deliveries, keys)

    def read_response(self, deliveries: Sequence[Delivery], status: int, body: bytes) -> Any:
        if self.fault == "raises":
            raise KeyError("canary@example.com")
        return {"short": (), "wrong": [True] * len(deliveries)}.get(self.fault)


class EchoApi(PartnerApi):
    """Answers by what an event's name says: a status, `timeout`, or the n-th of several; remembers what it got."""

    def __init__(self) -> None:
        super().__init__(self._said)
        self.singles: list[tuple[str, str]] = []
        """The event and the key of each call about one event."""
        self.bulks: list[list[str]] = []
        """The events of each call about several."""
        self._turns: dict[str, int] = {}

    @property
    def ids(self) -> list[str]:
        return [event_id for event_id, _ in self.singles]

    @property
    def keys(self) -> list[str]:
        return [key for _, key in self.singles]

    def _said(self, call: Call) -> Answer:
        content = json.loads(call.body)
        if isinstance(content, list):
            self.bulks.append([event["id"] for event in content])
            return self._bulk(content)
        self.singles.append((content["id"], call.key))
        return self._answer(content)

    def _answer(self, event: dict[str, Any]) -> Answer:
        names = event.get("name", "200").split("|")
        turn = self._turns[event["id"]] = self._turns.get(event["id"], -1) + 1
        name = names[min(turn, len(names) - 1)]
        if name == "bad header":
            raise ValueError("canary@example.com")
        if name in {"timeout", "connection", "frozen"}:
            return Answer(fault=name)
        if name in {"poison", "rejected"}:
            return Answer(400)
        if name == "forbidden":
            return Answer(403)
        if name == "retry":
            return Answer(503)
        status, _, retry_after = name.partition(" ")
        return Answer(int(status), retry_after=retry_after or None, body=b"[]")

    def _bulk(self, events: list[dict[str, Any]]) -> Answer:
        if any(event["name"] == "poison" for event in events):
            return Answer(400)
        if any(event["name"] == "forbidden" for event in events):
            return Answer(403)
        results = [event["name"] if event["name"] in ("retry", "rejected") else "delivered" for event in events]
        return Answer(200, body=json.dumps(results).encode())
