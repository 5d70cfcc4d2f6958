"""A redrive in a process of its own, which is stopped: by kill -9, or by Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops.operate.stack import Stack
from tests.integration.ops.operate.dlq.letters import depth, message, rejected

ROOT = Path(__file__).parents[5]

REDRIVE = """
import sys, boto3
from ops.console.screen import Screen
from ops.operate.dlq import forecast, look, order, queues
from ops.operate.dlq.desk import Desk
from ops.operate.dlq.filters import Filter
from ops.operate.stack import Stack
queues.POLL_S, look.HIDDEN_S, order.HIDDEN_S = 0, 2, 2
env = {"PARTNER": "partners.webhook", "WEBHOOK_URL": "http://127.0.0.1:9/h"}
forecast.deployed_partner = lambda *_: forecast.partner_of(env)
outputs = dict(zip(("QueueUrl", "DlqUrl", "StateTableName"), sys.argv[1:4]))
stack = Stack("test", "us-east-1", outputs, boto3.session.Session(region_name="us-east-1"))
asked = order.Order(Filter(reasons={"rejected"}), is_yes=True, per_s=float(sys.argv[4]))
print("begins", flush=True)
sys.exit(order.redrive(Desk(stack, Screen()), asked))
"""


@pytest.fixture
def redrive(queues: Any, stack: Stack) -> Callable[..., subprocess.Popen[str]]:
    """Begin a redrive in a process of its own."""

    def begin(per_s: float) -> subprocess.Popen[str]:
        arguments = [queues.url, queues.dead_letter_url, "state", str(per_s)]
        return subprocess.Popen(
            [sys.executable, "-c", REDRIVE, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return begin


def drained(queues: Any, url: str) -> list[str]:
    """The ids of all requests in a queue."""
    found: list[str] = []
    while received := queues.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [json.loads(one["Body"])["id"] for one in received]
    return found


def sent_at_least(queues: Any, count: int) -> bool:
    return bool(depth(queues, queues.url)[0] >= count)


def wait_for(is_so: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not is_so() and process.poll() is None:
        time.sleep(0.02)


def test_a_redrive_that_is_killed_loses_nothing_and_the_same_command_goes_on(
    redrive: Callable[..., subprocess.Popen[str]], put: Callable[..., str], queues: Any
) -> None:
    """After two kills with SIGKILL at most ten letters for each are sent twice, and letters that do not match are still
    there.
    """
    for number in range(60):
        put(message(f"r{number}"), **rejected(reason="rejected" if number % 3 else "unmappable"))
    for at_least in (3, 15):
        process = redrive(30)
        wait_for(lambda least=at_least: sent_at_least(queues, least), process)  # type: ignore[misc]
        process.kill()
        process.communicate()
        assert not sent_at_least(queues, 40)
        while depth(queues, queues.dead_letter_url)[1]:  # what it held is back by itself
            time.sleep(0.1)
    for _ in range(3):  # SQS may answer who is dead by then, and hides what nobody holds
        process = redrive(500)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        if not depth(queues, queues.dead_letter_url)[1]:
            break
        while depth(queues, queues.dead_letter_url)[1]:
            time.sleep(0.1)
    sent, left = drained(queues, queues.url), drained(queues, queues.dead_letter_url)
    assert set(sent) == {f"r{number}" for number in range(60) if number % 3}
    assert sorted(left) == sorted(f"r{number}" for number in range(60) if not number % 3)
    assert len(sent) - len(set(sent)) <= 20


def test_a_redrive_that_is_interrupted_doubles_nothing(
    redrive: Callable[..., subprocess.Popen[str]], put: Callable[..., str], queues: Any
) -> None:
    """After Ctrl-C the command says what was sent and makes the letters that it held visible; the same command then
    goes on.
    """
    for number in range(30):
        put(message(f"r{number}"), **rejected())
    process = redrive(10)
    wait_for(lambda: sent_at_least(queues, 3), process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "stopped by hand" in output
    assert "the same command goes on" in output
    assert depth(queues, queues.dead_letter_url)[1] == 0
    process = redrive(500)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert sorted(drained(queues, queues.url)) == sorted(f"r{number}" for number in range(30))
