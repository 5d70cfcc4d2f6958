"""How a worker is built from its settings."""

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
    """A worker starts without a call to AWS, so a cold start while SQS is slow costs no batch."""

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("AWS was asked")

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", asked)
    env = {**ENV, "PARTNER": "partners.webhook", "WEBHOOK_URL": "https://partner.example"}
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    worker = build(Settings.from_env(env))
    assert worker.partner.name == "webhook"
    assert worker.close == worker.send.__self__.aclose  # type: ignore[attr-defined]


NOT_AT_A_COLD_START = {
    *("boto3", "botocore.session", "tenacity", "worker_fn.maintenance.tick", "importlib.metadata"),
    *(f"shared.firehose.{name}" for name in ("environments", "events", "notifications", "registration", "rules")),
}
"""Half of a cold start each, or a tenth; `importlib.metadata` is where pydantic would look for plugins."""


def test_a_first_delivery_needs_nothing_that_only_other_messages_need() -> None:
    """A worker that passes an event on does not import what only trouble, ticks and other partners need."""
    env = {**ENV, "WEBHOOK_URL": "https://partner.example", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    request = {
        "type": "event_processing_request",
        "id": "r",
        "account": {"account_id": 1, "account_settings": {"apiKey": "k"}},
        "runtime_environment": {"type": "ios"},
        "events": [{"type": "custom_event", "id": "e"}],
        "system_notifications": [],
    }
    code = (
        "import sys, worker_fn.handler\n"
        "from shared.firehose import parse_request\n"
        "from worker_fn.settings import Settings\n"
        "from worker_fn.wiring import build\n"
        f"partner = build(Settings.from_env({env!r})).partner\n"
        f"print(len(list(partner.deliveries(parse_request({request!r}, only=partner.reads)))))\n"
        f"print({NOT_AT_A_COLD_START!r} & sys.modules.keys())\n"
    )
    # -S: what an editable install imports as Python starts is no part of a function
    paths = {"PYTHONPATH": ":".join(sys.path[1:])}
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, env=paths)
    assert done.stdout.split("\n")[:2] == ["1", "set()"]


def test_the_garbage_collector_rests_while_the_function_is_loaded_and_works_afterwards() -> None:
    """The garbage collector is off during the import and on afterwards; imported objects are frozen, so no collection
    scans them.
    """
    code = "import gc, worker_fn.handler; print(gc.isenabled(), gc.get_freeze_count() > 10_000)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


@pytest.mark.parametrize("date", ["", "soon", "Tue, 31 Feb 2023 22:13:20 GMT", "Thu, 01 Jan 9999999 00:00:00 GMT"])
def test_a_date_that_nobody_can_read_changes_no_clock(date: str) -> None:
    """An answer with an unreadable date changes no clock, and the batch goes on."""
    clock = FleetClock(lambda: 1_000_000)
    observe(clock, 1_000.0, 1_000.1, date)
    assert clock.now_ms() == 1_000_000
