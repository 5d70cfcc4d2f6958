"""Requests to Amplitude of one user, and what they become."""

import json
from typing import Any

from partners import Delivery
from partners.amplitude import Amplitude
from shared.firehose import parse_request
from shared.firehose.json_text import decode
from testkit import mapped

SETTINGS = {"apiKey": "key-canary", "secretKey": "secret-canary"}
ANN = [{"type": "customer", "encoding": "raw", "value": "ann-1"}, {"type": "email", "value": "ann@example.com"}]
DEVICE = {
    "type": "ios",
    "client_ip_address": "192.0.2.7",
    "os_version": "17.1",
    "model": "iPhone15,2",
    "application_version": "2.3",
    "identities": [{"type": "ios_vendor_id", "encoding": "raw", "value": "VENDOR-1"}],
}


def batch(*events: dict[str, Any], settings: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    """A request of Ann's; each event gets an id and a time by its place."""
    timed = [{"id": f"e{place}", "timestamp_ms": 1_000 * place, **event} for place, event in enumerate(events)]
    account = {"account_id": 7, "account_settings": SETTINGS | (settings or {})}
    head = {"type": "event_processing_request", "id": "r-1", "timestamp_ms": 9_000, "account": account, "mpid": "-77"}
    return {**head, "user_identities": ANN, "runtime_environment": DEVICE, "events": timed, **fields}


def custom(name: str = "Viewed", **fields: Any) -> dict[str, Any]:
    return {"type": "custom_event", "name": name, **fields}


def deliveries(request: dict[str, Any]) -> list[Delivery]:
    return mapped(Amplitude(), parse_request(json.dumps(request, default=str)))


def sent(request: dict[str, Any]) -> list[dict[str, Any]]:
    """The events, as Amplitude reads them."""
    return [event for one in deliveries(request) for event in decode(one.body)["events"]]
