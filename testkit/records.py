"""Messages as SQS hands them to the worker."""

from collections.abc import Mapping
from typing import Any

from shared.message import EVENTS, Head, encode, to_json

RECEIVED_MS = 1_700_000_000_000
"""When a message was received and sent, unless a test says otherwise."""


def record(
    number: int,
    names: list[str],
    *,
    receives: int = 1,
    account: int = 7,
    received_at_ms: int = RECEIVED_MS,
    fields: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A record of a request whose events are named as given; `fields` of the request, `more` of the record."""
    events = [{"type": "custom_event", "id": f"{number}.{place}", "name": name} for place, name in enumerate(names)]
    request_id = f"r-{number}"
    request = {"type": EVENTS, "id": request_id, "account": {"account_id": account}, "events": events, **(fields or {})}
    [body] = encode(Head(request_id, EVENTS, str(account), received_at_ms), to_json(request))
    return raw_record(number, body, receives=receives, **more)


def raw_record(
    number: int, body: str, *, receives: int = 1, first_ms: int = RECEIVED_MS, **more: Any
) -> dict[str, Any]:
    """A record of any text; its number is in its id and its receipt handle. `more` is of sqs_record."""
    return sqs_record(id_of(number), f"h-{number}", body, receives=receives, first_ms=first_ms, **more)


def id_of(number: int) -> str:
    return f"m-{number}"


def sqs_record(
    message_id: str,
    handle: str,
    body: str,
    *,
    receives: int,
    first_ms: int,
    sent_ms: int | None = None,
    group: str | None = None,
    attributes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A message that was received `receives` times, the first time at `first_ms`."""
    told = {
        "ApproximateReceiveCount": str(receives),
        "ApproximateFirstReceiveTimestamp": str(first_ms),
        "SentTimestamp": None if sent_ms is None else str(sent_ms),
        "MessageGroupId": group,
    }
    return {
        "messageId": message_id,
        "receiptHandle": handle,
        "body": body,
        "attributes": {name: value for name, value in told.items() if value is not None},
        "messageAttributes": {
            name: {"dataType": "String", "stringValue": value} for name, value in (attributes or {}).items()
        },
        "eventSource": "aws:sqs",
    }
