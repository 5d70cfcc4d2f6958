"""The calls that the peers make for a message: the same calls as Spillway's, of the same size."""

import json
import os
from collections.abc import Iterator
from typing import Any

Call = tuple[str, dict[str, str], bytes]
"""URL, headers, body."""

URL = os.environ.get("WEBHOOK_URL", "")
ITERABLE_URL = os.environ.get("BENCH_ITERABLE_URL", "")
AMPLITUDE_URL = os.environ.get("BENCH_AMPLITUDE_URL", "")
PER_REQUEST = os.environ.get("WEBHOOK_PER") == "request"


def calls_of(body: str) -> Iterator[Call]:
    request = json.loads(body)
    settings = request["account"].pop("account_settings")
    events = request.pop("events")
    if ITERABLE_URL:
        yield from iterable_calls(request, events, settings["apiKey"])
    elif AMPLITUDE_URL:
        yield from amplitude_calls(request, events, settings["apiKey"])
    elif PER_REQUEST:
        yield (
            URL,
            webhook_headers(settings["apiKey"], request["id"]),
            json.dumps({**request, "events": events}).encode(),
        )
    else:
        yield from (webhook_call(request, event, settings["apiKey"]) for event in events)


def webhook_call(request: dict[str, Any], event: dict[str, Any], key: str) -> Call:
    content = {"kind": "event", "request_id": request["id"], "event": event, "context": request}
    return URL, webhook_headers(key, f"{request['id']}/{event['id']}"), json.dumps(content).encode()


def webhook_headers(key: str, idempotency_key: str) -> dict[str, str]:
    bearer = f"Bearer {key}"
    return {"Content-Type": "application/json", "Authorization": bearer, "Idempotency-Key": idempotency_key}


def iterable_calls(request: dict[str, Any], events: list[dict[str, Any]], key: str) -> Iterator[Call]:
    """The user's profile, then each event."""
    email = next((one["value"] for one in request["user_identities"] if one["type"] == "email"), None)
    user = {"email": email or f"{request['device_application_stamp']}@placeholder.email"}
    headers = {"Content-Type": "application/json", "Api-Key": key}
    profile = {**user, "dataFields": request.get("user_attributes", {})}
    yield f"{ITERABLE_URL}/api/users/update", headers, json.dumps(profile).encode()
    for event in events:
        content = {
            **user,
            "eventName": event["name"],
            "id": event["id"],
            "createdAt": event["timestamp_ms"] // 1_000,
            "dataFields": event["attributes"],
        }
        yield f"{ITERABLE_URL}/api/events/track", headers, json.dumps(content).encode()


def amplitude_calls(request: dict[str, Any], events: list[dict[str, Any]], key: str) -> Iterator[Call]:
    """The user's properties, then each event."""
    headers, user = {"Content-Type": "application/json"}, {"device_id": request["device_application_stamp"]}
    known = {**user, "event_type": "$identify", "user_properties": request.get("user_attributes", {})}
    named = [
        {
            **user,
            "event_type": event["name"],
            "time": event["timestamp_ms"],
            "insert_id": event["id"],
            "event_properties": event["attributes"],
        }
        for event in events
    ]
    for one in (known, *named):
        yield f"{AMPLITUDE_URL}/batch", headers, json.dumps({"api_key": key, "events": [one]}).encode()
