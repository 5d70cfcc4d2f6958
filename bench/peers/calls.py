"""What the peers send for a message: the calls that Spillway makes of the same one, of the same size."""

import json
import os
from collections.abc import Iterator
from typing import Any

Call = tuple[str, dict[str, str], bytes]
"""URL, headers, body."""

URL = os.environ.get("WEBHOOK_URL", "")
ITERABLE_URL = os.environ.get("BENCH_ITERABLE_URL", "")


def calls_of(body: str) -> Iterator[Call]:
    request = json.loads(body)
    settings = request["account"].pop("account_settings")
    events = request.pop("events")
    if ITERABLE_URL:
        yield from iterable_calls(request, events, settings["apiKey"])
    else:
        yield from (webhook_call(request, event, settings["apiKey"]) for event in events)


def webhook_call(request: dict[str, Any], event: dict[str, Any], key: str) -> Call:
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {key}",
        "Idempotency-Key": f"{request['id']}/{event['id']}",
    }
    content = {"kind": "event", "request_id": request["id"], "event": event, "context": request}
    return URL, headers, json.dumps(content).encode()


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
