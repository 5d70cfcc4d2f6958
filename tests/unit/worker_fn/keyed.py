"""A partner that sends its customer's key, and requests with the key of their time."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from partners import Bulk, Delivery, Limits, Partner, Secret
from shared.firehose import DsrProcessingRequest, EventProcessingRequest, Registration, Request
from shared.message import Head, encode, to_json
from testkit.records import raw_record, record

T0_MS = 1_700_000_000_000


class Keyed(Partner):
    """Sends each event with the customer's key, if there is one; an erasure with another secret."""

    name = "keyed"

    def registration(self) -> Registration:
        return Registration(name="Keyed", version="1")

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        settings = request.account.account_settings if request.account else {}  # type: ignore[attr-defined]
        key = settings.get("apiKey")
        secrets = {"X-Key": Secret(key)} if key else {}
        url = "https://partner.example/e"
        if isinstance(request, DsrProcessingRequest):
            erasure = to_json({"id": request.raw["id"], "name": settings.get("erased", "200")})
            yield Delivery(url, erasure, "erasure", secret_headers={"X-Secret": Secret(settings.get("secret") or "s")})
            return
        assert isinstance(request, EventProcessingRequest)
        for event in request.events:
            yield Delivery(url, to_json(event.raw), event.id or "", secret_headers=secrets)


class KeyedBulk(Keyed):
    limits = Limits(bulk={"bulk": Bulk(3)})

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        for one in super().deliveries(request):
            yield replace(one, merge="bulk")

    def merge(self, deliveries: Any, keys: Any) -> Delivery:
        bodies = [json.loads(one.body) for one in deliveries]
        return replace(deliveries[0], body=json.dumps(bodies).encode(), item="bulk")


class TwoKeys(Keyed):
    """Sends a profile before each event, with a key of its own that is always accepted."""

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        for one in super().deliveries(request):
            profile = {"id": f"{one.item}-profile", "name": "200"}
            secrets = {"X-Other": Secret("the profiles'")}
            yield replace(one, body=to_json(profile), item=f"{one.item}-profile", secret_headers=secrets)
            yield one


class Shared(Keyed):
    """One key of the operator's for all customers."""

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        for one in super().deliveries(request):
            yield replace(one, secret_headers={"X-Key": Secret("the operator's")})


def request(number: int, answer: str, key: str | None, *, account: int = 7, **more: Any) -> dict[str, Any]:
    """A request with one event, which names its answer, and the customer's key of its time."""
    settings = {} if key is None else {"apiKey": key}
    fields = {"account": {"account_id": account, "account_settings": settings}}
    made = record(number, [answer], account=account, fields=fields, **more)
    made["messageAttributes"] = {"account_id": {"dataType": "String", "stringValue": str(account)}}
    return made


def erasure(number: int, answer: str) -> dict[str, Any]:
    settings = {"apiKey": "old", "erased": answer}
    content = {"type": "dsr_processing_request", "id": f"e-{number}", "account": {"account_id": 7}}
    content["account"]["account_settings"] = settings  # type: ignore[index]
    [body] = encode(Head(f"e-{number}", "dsr_processing_request", "7", T0_MS), to_json(content))
    return raw_record(number, body)


def rows(fleet: Any) -> list[dict[str, Any]]:
    return [dict(item.value) for key, item in fleet.state.items.items() if key[0] == "suspended"]


def later(fleet: Any, seconds: float) -> int:
    """Let time pass; returns the time in ms."""
    fleet.clock.now_s += seconds
    return int(fleet.clock.now_s * 1_000)


def suspend_old(fleet: Any) -> None:
    """Ten requests with the old key: one is the probe, nine are parked."""
    fleet.run(*(request(n, "401", "old") for n in range(10)))
    assert len(fleet.queue.parked) == 9


def keyed_fleet(make_fleet: Any) -> Any:
    """Workers with one connection and calls of half a second, so that the order of calls is known."""
    made = make_fleet(Keyed(), max_in_flight=1)
    made.api.call_s = 0.5
    return made
