"""SQS records of requests, as the tests of the worker need them."""

from collections.abc import Mapping
from typing import Any

from shared.message import Head, encode, to_json


def record(
    number: int,
    names: list[str],
    *,
    receives: int = 1,
    account: int = 7,
    fields: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """An SQS record of a request whose events are named as given."""
    events = [{"type": "custom_event", "id": f"{number}.{i}", "name": name} for i, name in enumerate(names)]
    request_id = f"r-{number}"
    request = {
        "type": "event_processing_request",
        "id": request_id,
        "account": {"account_id": account},
        "events": events,
        **(fields or {}),
    }
    head = Head(request_id, "event_processing_request", str(account), more.pop("received_at_ms", 1_700_000_000_000))
    [body] = encode(head, to_json(request))
    return raw_record(number, body, receives=receives, **more)


def raw_record(number: int, body: str, *, receives: int = 1, group: str | None = None) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": str(receives), "ApproximateFirstReceiveTimestamp": "1700000000000"}
    if group:
        attributes["MessageGroupId"] = group
    return {
        "messageId": f"m-{number}",
        "receiptHandle": f"h-{number}",
        "body": body,
        "attributes": attributes,
    }
