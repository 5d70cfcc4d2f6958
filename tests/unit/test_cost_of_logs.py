"""What a million requests cost in logs, by the bytes of the very lines that are written for them."""

import random
import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from ingest_fn.accepted import Accepted, Figures, tell
from shared.message import Head
from shared.telemetry import Fact, fact
from worker_fn.batch.settle import Report
from worker_fn.limits.flow import Flow
from worker_fn.metrics import measure, name_stage

OVERHEAD = 26
"""CloudWatch Logs counts so many bytes for each event beside its text (PutLogEvents, API reference)."""
DOLLARS_A_GB = 0.50
"""CloudWatch Logs, standard class, ingested, us-east-1 (aws.amazon.com/cloudwatch/pricing); a GB as 10^9 bytes."""
BATCH = 50
"""serverless.yml, batchSize."""
DICE = random.Random(7)


def an_id() -> str:
    return str(uuid.UUID(int=DICE.getrandbits(128), version=4))


def request() -> Accepted:
    return Accepted(Head(an_id(), "event_processing_request", "12345", 1), [an_id()], 12, 24_680)


def written(capsys: pytest.CaptureFixture[str]) -> int:
    """Bytes of all that was printed, as CloudWatch counts them."""
    return sum(len(line.encode()) + OVERHEAD for line in capsys.readouterr().out.splitlines())


def of_ingest(capsys: pytest.CaptureFixture[str]) -> float:
    """Bytes a request that ingest writes, its share of the metrics included."""
    figures = Figures("production", now_ms=lambda: 1_800_000_000_000)
    for _ in range(100):
        one, took_ms = request(), DICE.uniform(5, 99)
        tell(one, took_ms, fact)
        figures.add(one, took_ms)
    return written(capsys) / 100


def of_worker(capsys: pytest.CaptureFixture[str]) -> tuple[float, float]:
    """Bytes a delivered message that the worker writes: in facts, and in metrics."""
    fact(Fact.DELIVERED, messages=[f"{an_id()} {an_id()[:8]} 12" for _ in range(BATCH)])
    facts = written(capsys) / BATCH
    name_stage("test")  # one name in a process of tests; a longer one is a tenth of a byte a message
    worker: Any = SimpleNamespace(limiters=SimpleNamespace(partner=SimpleNamespace(flow=Flow())))
    times = [DICE.randint(900, 3_000) for _ in range(BATCH)]
    measure(Report(delivered=BATCH, delivered_after_ms=times, call_ms=[one // 9 for one in times]), worker)
    return facts, written(capsys) / BATCH


def test_an_accepted_request_is_one_line_of_at_most_200_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    """Ids, type, account, size and time of a request with ids as mParticle and SQS make them, CloudWatch's overhead
    included.
    """
    tell(request(), 199.4, fact)
    assert written(capsys) <= 200


def test_a_delivered_message_takes_at_most_60_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    """A batch's messages share one line."""
    facts, _ = of_worker(capsys)
    assert facts <= 60


def test_a_million_requests_cost_at_most_14_cents_in_logs(capsys: pytest.CaptureFixture[str]) -> None:
    """Facts and metrics of both functions; Lambda's own START, END and REPORT are apart."""
    a_request = of_ingest(capsys) + sum(of_worker(capsys))
    assert a_request * 1_000_000 / 1e9 * DOLLARS_A_GB <= 0.14


def test_what_ids_cost_is_as_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    """LOG_EVENTS=ids: 39 bytes an event, 200 a message, 240 a call."""
    head = {"request_id": an_id(), "account_id": "12345", "message_id": an_id(), "type": "events"}
    fact(Fact.CONTENT, **head, event_ids=[an_id() for _ in range(10)])
    assert written(capsys) <= 200 + 10 * 39
    called = {"request_id": an_id(), "message_id": an_id(), "status": 200, "ms": 187, "attempt": 1, "items": 1}
    fact(Fact.ATTEMPT, **called, keys=[uuid.UUID(int=DICE.getrandbits(128)).hex])
    assert written(capsys) <= 240
