"""A stack in moto whose dead letters are looked at and sent again."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from ops.operate.dlq import forecast
from ops.operate.stack import Stack


@pytest.fixture
def stack(queues: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stack]:
    outputs = {
        "QueueUrl": queues.url,
        "DlqUrl": queues.dead_letter_url,
        "ParkingQueueUrl": queues.parking_url,
        "StateTableName": "state",
        "WorkerAliasArn": "arn:aws:lambda:us-east-1:123456789012:function:worker:production",
    }
    session = boto3.session.Session(region_name="us-east-1")
    found = Stack("test", "us-east-1", outputs, session)
    env = {"PARTNER": "partners.webhook", "WEBHOOK_URL": "http://127.0.0.1:9/h", "WEBHOOK_RATE": "50", "STACK_ID": "s"}
    monkeypatch.setattr("ops.operate.stack.find_stack", lambda _: found)
    monkeypatch.setattr(forecast, "deployed_partner", lambda *_: forecast.partner_of(env))
    monkeypatch.setattr("ops.operate.dlq.queues.POLL_S", 0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    yield found
    for sent in (queues.url, queues.dead_letter_url):
        queues.sqs.purge_queue(QueueUrl=sent)


@pytest.fixture
def put(queues: Any) -> Callable[..., str]:
    def put(body: str, **said: str) -> str:
        given = {name: {"DataType": "String", "StringValue": value} for name, value in said.items()}
        sent = queues.sqs.send_message(QueueUrl=queues.dead_letter_url, MessageBody=body, MessageAttributes=given)
        return str(sent["MessageId"])

    return put
