"""The doctor on a real deploy: it finds nothing while all is well, and finds each thing that is broken by hand."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.local.aws import LocalAws, without_aws

ROOT = Path(__file__).parents[2]
STAGE = "doctor"
INGEST, WORKER = f"spillway-{STAGE}-ingest", f"spillway-{STAGE}-worker"


@pytest.fixture(scope="module")
def doctored(aws: LocalAws, partner: Any) -> Iterator[dict[str, str]]:
    env = {"WEBHOOK_URL": partner.url, "ALARM_EMAIL": "oncall@example.com"}
    try:
        yield aws.deploy(STAGE, env=env)
    finally:
        aws.serverless("remove", stage=STAGE, env=env)


def doctor(aws: LocalAws, *arguments: str, **env: str) -> tuple[int, set[str]]:
    """Run the doctor as a person does; returns its exit status and the ids of its findings."""
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "doctor", "--stage", STAGE, "--json", *arguments],
        cwd=ROOT, env={**without_aws(os.environ), **aws.client_settings(), "PKG_TARGET": "local", **env},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    assert document["passed"] is (done.returncode == 0)
    assert all(one["mend"] for one in document["findings"])
    return done.returncode, {one["id"] for one in document["findings"]}


def test_nothing_is_wrong_with_what_was_just_deployed(aws: LocalAws, doctored: dict[str, str]) -> None:
    """After a deploy the doctor finds nothing; asked before one, it finds only that the new partner's address does not
    answer.
    """
    assert doctor(aws) == (0, set())
    assert doctor(aws, "--before", WEBHOOK_URL="http://127.0.0.1:1/") == (1, {"partner.unreachable"})


def _strangers(aws: LocalAws, outputs: dict[str, str]) -> Callable[[], None]:
    lambdas = aws.client("lambda")
    named = {"FunctionName": INGEST, "Qualifier": "production", "StatementId": "stranger"}
    lambdas.add_permission(**named, Action="lambda:InvokeFunction", Principal="999999999999")
    return lambda: lambdas.remove_permission(**named)


def _silent_tick(aws: LocalAws, outputs: dict[str, str]) -> Callable[[], None]:
    events, rule = aws.client("events"), f"spillway-{STAGE}-tick"
    events.disable_rule(Name=rule)
    return lambda: events.enable_rule(Name=rule)


def _short_visibility(aws: LocalAws, outputs: dict[str, str]) -> Callable[[], None]:
    sqs, url = aws.client("sqs"), outputs["QueueUrl"]
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "30"})
    return lambda: sqs.set_queue_attributes(QueueUrl=url, Attributes=before)


def _forgetful_letters(aws: LocalAws, outputs: dict[str, str]) -> Callable[[], None]:
    sqs, url = aws.client("sqs"), outputs["DlqUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "345600"})
    return lambda: sqs.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "1209600"})


def _unheard_alarms(aws: LocalAws, outputs: dict[str, str]) -> Callable[[], None]:
    sns, topic = aws.client("sns"), outputs["AlarmTopicArn"]
    (heard,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    sns.unsubscribe(SubscriptionArn=heard["SubscriptionArn"])
    return lambda: sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="oncall@example.com")


def _reserved_worker(aws: LocalAws, outputs: dict[str, str]) -> Callable[[], None]:
    lambdas = aws.client("lambda")
    lambdas.put_function_concurrency(FunctionName=WORKER, ReservedConcurrentExecutions=2)
    return lambda: lambdas.delete_function_concurrency(FunctionName=WORKER)


def _paused(aws: LocalAws, outputs: dict[str, str]) -> Callable[[], None]:
    lambdas, mapping = aws.client("lambda"), outputs["WorkerMappingId"]
    lambdas.update_event_source_mapping(UUID=mapping, Enabled=False)
    return lambda: lambdas.update_event_source_mapping(UUID=mapping, Enabled=True)


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        (_strangers, "invokers.stranger"),
        (_silent_tick, "tick.disabled"),
        (_short_visibility, "queue.visibility-short"),
        (_forgetful_letters, "queue.dlq-retention-short"),
        (_unheard_alarms, "alarms.unheard"),
        (_reserved_worker, "worker.reservation-low"),
        (_paused, "mapping.paused"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_is_broken_by_hand_is_found(
    aws: LocalAws, doctored: dict[str, str], broken: Callable[..., Callable[[], None]], found: str
) -> None:
    """The doctor finds exactly the thing that was broken."""
    mend = broken(aws, doctored)
    try:
        _, ids = doctor(aws)
    finally:
        mend()
    assert ids == {found}


def test_an_account_that_is_too_small_is_found_before(aws: LocalAws) -> None:
    """Before a deploy the doctor finds an account whose limit is too small for the workers and the 100 unreserved
    executions.
    """
    status, ids = doctor(aws, "--before", MAX_CONCURRENCY="950", WEBHOOK_URL="http://127.0.0.1:1/")
    assert status == 1
    assert "account.concurrency-too-low" in ids
