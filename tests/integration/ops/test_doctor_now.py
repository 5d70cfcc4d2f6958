"""What the doctor reads of the present state, from a state table and a CloudWatch that answer as AWS does."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from ops.console.findings import Severity
from ops.doctor.look import Look
from ops.doctor.look_now import look_now
from ops.doctor.run import _tried
from ops.operate.stack import Stack
from shared.state import DynamoState, Item
from tests.integration.state_table import state_table
from worker_fn.limits.adaptive import Limit
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.flow import Flow

SUSPENSION = {"status": 401, "since_ms": 5, "probe_id": "m", "probe_at_ms": 6, "account_id": "7", "kind": "e"}


@pytest.fixture
def stack(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    session = boto3.session.Session(region_name="us-east-1")
    outputs = {"StateTableName": "doctor-state", "QueueUrl": "http://sqs/0/spillway-doctor-messages"}
    with state_table(session.client("dynamodb"), "doctor-state"):
        yield Stack("doctor", "us-east-1", outputs, session, name="spillway-doctor", changed_ms=77)


@pytest.fixture
def put(stack: Stack) -> Callable[..., None]:
    state = DynamoState(stack.client("dynamodb"), "doctor-state")

    def write(pk: str, sk: str, **value: Any) -> None:
        asyncio.run(state.swap(pk, sk, Item(), value, expires_at=None))

    return write


def test_an_empty_table_tells_of_nothing(stack: Stack) -> None:
    """An empty table, as just after a deploy, gives no findings."""
    look = Look()
    now = look_now(stack, {"worker": "spillway-doctor-worker"}, look.at)
    assert (now.pause, now.flow, list(now.suspended), now.swept_ms, look.denied) == (None, None, [], None, [])
    assert now.changed_ms == 77


def test_everything_that_the_fleet_wrote_is_read(stack: Stack, put: Callable[..., None]) -> None:
    """The doctor reads pause, flow, accounts' flows, suspensions and ticks, and CloudWatch's counts."""
    put("partner", "hold", why="moving", since_ms=3)
    put("partner", "sweep", wanted_ms=0, looked_ms=9)
    put("partner", "mapping", id="x")
    put("partner", "flow", **Flow(breaker=Breaker(opened_ms=4), limit=Limit(per_second=2.0)).to_item())
    put("account#7#bulk", "flow", **Flow(cool_until_ms=8).to_item())
    put("suspended", "7#ab", **SUSPENSION, fingerprint="ab")
    put("suspended", "7#cd", **SUSPENSION, fingerprint="cd")
    put("message#1", "1/1", done=[])
    cloudwatch = stack.client("cloudwatch")
    for namespace, metric, dimension, value, figure in (
        ("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", "spillway-doctor-messages", 700.0),
        ("AWS/Lambda", "Errors", "FunctionName", "spillway-doctor-worker", 2.0),
        ("AWS/Lambda", "Url5xxCount", "FunctionName", "spillway-doctor-ingest", 4.0),
    ):
        datum = {"MetricName": metric, "Value": figure, "Dimensions": [{"Name": dimension, "Value": value}]}
        cloudwatch.put_metric_data(
            Namespace=namespace, MetricData=[{**datum, "Timestamp": datetime.now(UTC) - timedelta(minutes=2)}]
        )
    look = Look()
    now = look_now(stack, {name: f"spillway-doctor-{name}" for name in ("ingest", "worker")}, look.at)
    assert now.pause is not None
    assert now.flow is not None
    assert (now.pause.why, now.flow.breaker.opened_ms, now.swept_ms, now.ticked) == ("moving", 4, 9, True)
    assert {key: flow.cool_until_ms for key, flow in now.account_flows.items()} == {"7#bulk": 8}
    assert [(one.account_id, one.credentials) for one in now.suspended] == [("7", 2)]
    assert (now.oldest_s, now.errors, now.url_errors) == (700.0, {"worker": 2}, 4)
    assert look.denied == []


def test_what_may_not_be_read_is_noted_and_hides_nothing(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that does not answer is one finding, and everything else is still read."""
    monkeypatch.setitem(stack.outputs, "StateTableName", "no-such-table")  # type: ignore[arg-type]
    look = Look()
    now = look_now(stack, {}, look.at)
    assert [what for what, _ in look.denied] == ["dynamodb:Query", "dynamodb:Scan"]
    assert now.changed_ms == 77


@pytest.mark.parametrize("partner", ["integrations.not_here", "tests.fixtures.no_such"])
def test_a_partner_that_is_not_here_is_a_finding_and_no_end(partner: str) -> None:
    """A partner that is not in this checkout is a finding, and no call is made; before a deploy it is an error, because
    the deploy would fail.
    """
    for severity in Severity:
        (finding,) = _tried({"PARTNER": partner}, {}, lambda *_: [], severity)
        assert (finding.id, finding.severity) == ("partner.not-loaded", severity)
        assert partner in finding.message


def test_a_partner_that_breaks_is_a_finding_and_no_end(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partner with a syntax error is a finding that names the place."""
    (tmp_path / "broken_partner_of_doctor.py").write_text("def (:\n")
    (tmp_path / "raising_partner_of_doctor.py").write_text("raise KeyError('canary@example.com')\n")
    monkeypatch.syspath_prepend(tmp_path)
    (finding,) = _tried({"PARTNER": "broken_partner_of_doctor"}, {}, lambda *_: [], Severity.WARNING)
    assert "SyntaxError" in finding.message
    (finding,) = _tried({"PARTNER": "raising_partner_of_doctor"}, {}, lambda *_: [], Severity.WARNING)
    assert "KeyError in raising_partner_of_doctor.py:1" in finding.message
    assert "canary" not in finding.message
