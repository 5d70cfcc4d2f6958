"""A worker from its settings."""

import subprocess
import sys

import pytest

from worker_fn.limits.clock import FleetClock
from worker_fn.settings import Settings
from worker_fn.wiring import build, observe

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


def test_a_worker_begins_without_what_only_trouble_needs() -> None:
    """boto3, tenacity and the tick would be half of a cold start: a worker is made without any of them."""
    env = {**ENV, "WEBHOOK_URL": "https://partner.example", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    code = (
        "import sys, worker_fn.handler\n"
        "from worker_fn.settings import Settings\n"
        "from worker_fn.wiring import build\n"
        f"build(Settings.from_env({env!r}))\n"
        "print({'boto3', 'botocore.session', 'tenacity', 'worker_fn.maintenance.tick'} & sys.modules.keys())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("date", ["", "soon", "Tue, 31 Feb 2023 22:13:20 GMT", "Thu, 01 Jan 9999999 00:00:00 GMT"])
def test_a_date_that_nobody_can_read_changes_no_clock(date: str) -> None:
    """Whoever answers in the table's place: the batch goes on."""
    clock = FleetClock(lambda: 1_000_000)
    observe(clock, 1_000.0, 1_000.1, date)
    assert clock.now_ms() == 1_000_000
