"""The requests that the bench sends: an Android device's events, as many as fit a size. The same arguments give the
same requests.
"""

import json
import uuid
from collections.abc import Iterator
from functools import cache
from itertools import count
from typing import Any

from testkit.requests import EVENT_TYPES, make_request

SEED = 7
EVENTS = "event_processing_request"
OPTIONAL = ("user_attributes", "platform_fields", "integration_attributes", "consent_state")


@cache
def request_of(size_bytes: int, *, random: bool = False) -> bytes:
    """An event request of about that size: an app's events repeated, each with an id and a time of its own. With
    `random` the attributes differ, too: no app sends such a request, and it hardly compresses.
    """
    request = _request(seed=SEED, events=1)
    for field in OPTIONAL if len(text_of(request)) > size_bytes else ():
        request.pop(field, None)
    left = size_bytes - len(text_of(request))
    for event in _random(left) if random else _repeated():
        left -= len(text_of(event)) + 1
        if left < 0:
            break
        request["events"].append(event)
    return text_of(request)


def _random(size_bytes: int) -> Iterator[dict[str, Any]]:
    a_hundred_bytes = len(text_of(_request(seed=SEED, events=100)["events"]))
    yield from _request(seed=SEED + 1, events=150 * size_bytes // a_hundred_bytes + 2)["events"]


def _repeated() -> Iterator[dict[str, Any]]:
    kinds = _request(seed=SEED, events=len(EVENT_TYPES))["events"]
    for number in count():
        event = kinds[number % len(kinds)]
        own = {"id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))), "timestamp_ms": event["timestamp_ms"] + number}
        yield event | own | {"session_id": kinds[0]["session_id"]}


@cache
def single_events(many: int) -> tuple[dict[str, Any], ...]:
    """Requests with one custom event each, all of one account and its credentials, and each about another user."""
    made = [_request(seed=SEED + number, events=1) for number in range(many)]
    for number, one in enumerate(made):
        one.pop("system_notifications", None)  # each notification would be a call of its own
        one["events"] = [_custom(one["events"][0], number)]
        one["account"] = made[0]["account"]
    return tuple(made)


def _custom(event: dict[str, Any], number: int) -> dict[str, Any]:
    kept = {name: event[name] for name in ("id", "timestamp_ms", "source_id", "session_id")}
    attributes = {"tour": f"tour {number}", "distance_km": 12.5, "height_m": 431, "wheels": "two", "surface": "gravel"}
    return {"type": "custom_event", "name": "ride ended", "custom_event_type": "other", "attributes": attributes} | kept


def _request(*, seed: int, events: int) -> dict[str, Any]:
    return make_request(EVENTS, seed=seed, events=events, environment="android", account_id=12_345)


def text_of(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
