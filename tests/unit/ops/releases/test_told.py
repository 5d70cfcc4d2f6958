from typing import Any

import pytest

from ops.releases.told import check

ENV = {"WEBHOOK_URL": "https://partner.example/hook"}
REFERENCE = {"Ref": "Queue"}
WORKER: dict[str, Any] = {"QUEUE_URL": REFERENCE, "DLQ_URL": REFERENCE, "PARKING_QUEUE_URL": REFERENCE}
WORKER |= {"STATE_TABLE": {"Ref": "StateTable"}, "MAX_IN_FLIGHT": 10, "ATTEMPTS": "", **ENV}
INGEST: dict[str, Any] = {"QUEUE_URL": REFERENCE, "STATE_TABLE": {"Ref": "StateTable"}, "TOKEN_SOURCE": None, **ENV}


def test_what_can_start_passes() -> None:
    """References of the template stand for what will be there."""
    assert check(ENV, {"ingest": INGEST, "worker": WORKER}) == []


@pytest.mark.parametrize(
    ("env", "function", "more", "identity"),
    [
        ({}, "worker", {"ATTEMPTS": "0"}, "settings.invalid"),
        ({}, "worker", {"MAX_IN_FLIGHT": "1_0"}, "settings.invalid"),
        ({}, "worker", {"MAX_CONCURRENCY": "\uff15"}, "settings.invalid"),
        ({}, "worker", {"ERASURE_MAX_AGE_S": "1e400"}, "settings.invalid"),
        ({}, "ingest", {"TOKEN_SOURCE": "canary"}, "settings.invalid"),
        ({}, "ingest", {"X_SECRET_HEADERS": "canary"}, "settings.invalid"),
        ({"WEBHOOK_RATE": "canary"}, "ingest", {}, "settings.invalid"),
        ({"WEBHOOK_SING": "canary"}, "ingest", {}, "settings.unread"),
        ({"WEBHOOK_HEADERS": '{"Content-Type": ""}'}, "ingest", {}, "body.untyped"),
    ],
)
def test_what_cannot_work_is_found(env: dict[str, str], function: str, more: dict[str, str], identity: str) -> None:
    """By the rule that it breaks; no value is repeated."""
    told = {"ingest": INGEST, "worker": WORKER}
    found = check({**ENV, **env}, {**told, function: {**told[function], **more}})
    assert {one.id for one in found} == {identity}
    assert "canary" not in str(found)


def test_headers_that_are_kept_elsewhere_are_not_needed() -> None:
    """A deploy reads no secret."""
    assert check({**ENV, "WEBHOOK_SECRET_HEADERS": "ssm:/acme/headers"}, {}) == []
