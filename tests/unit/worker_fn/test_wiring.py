"""A worker from its settings."""

import pytest

from worker_fn.settings import Settings
from worker_fn.wiring import build

ENV = {
    "QUEUE_URL": "https://sqs/1/q",
    "DLQ_URL": "https://sqs/1/d",
    "PARKING_QUEUE_URL": "https://sqs/1/p",
    "STATE_TABLE": "state",
}


def test_a_worker_begins_without_asking_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cold start while SQS is slow costs no batch: nothing is asked that the settings do not say."""

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("AWS was asked")

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", asked)
    env = {**ENV, "PARTNER": "partners.webhook", "WEBHOOK_URL": "https://partner.example"}
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert build(Settings.from_env(env)).partner.name == "webhook"
