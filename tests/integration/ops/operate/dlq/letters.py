"""Customers' dead letters, on a queue as SQS might have it. No output may contain what is in them."""

from typing import Any

from shared.message import EVENTS, Head, encode, to_json

KEY = "CANARY-api-key"


def message(request_id: str, account: int = 7, *, events: int = 1, kind: str = EVENTS, key: str = KEY) -> str:
    request = {
        "type": kind,
        "id": request_id,
        "account": {"account_id": account, "account_settings": {"apiKey": key}},
        "user_identities": [{"type": "email", "value": "CANARY@example.com"}],
        "user_attributes": {"CANARY-name": "CANARY-value"},
        "events": [{"type": "custom_event", "id": f"e{n}", "name": "CANARY-event"} for n in range(events)],
    }
    (body,) = encode(Head(request_id, kind, str(account), 1_789_999_000_000), to_json(request))
    return body


def rejected(account: str = "7", **more: str) -> dict[str, str]:
    said = {"reason": "rejected", "error": "HTTP 422 for 1 of 1 deliveries", "status": "422", "attempts": "1"}
    return {**said, "account_id": account, "type": EVENTS, **more}


def depth(queues: Any, url: str) -> tuple[int, int]:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = queues.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return int(found[names[0]]), int(found[names[1]])
