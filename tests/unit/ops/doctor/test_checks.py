import json
from dataclasses import replace
from typing import Any

import pytest

from ops.console.findings import Finding, Severity
from ops.doctor.checks import Plan, after, before, denied
from ops.doctor.look import Account, Alarms, DeployedFeed, Facts, Function
from ops.doctor.look_now import Now
from ops.operate.pause import Pause

ACCOUNTS = frozenset({"338661164609", "457804467337"})
PLAN = Plan(accounts=ACCOUNTS, max_concurrency=10, zips={"ingest": "hash-i", "worker": "hash-w"})
FEED = DeployedFeed("Enabled", "arn:aws:lambda:us-east-1:1:function:spillway-dev-worker:production", 10, True, 1)
QUEUE = {"MessageRetentionPeriod": "1209600", "SqsManagedSseEnabled": "true", "VisibilityTimeout": "365"}
INGEST = Function(
    "spillway-dev-ingest", "python3.13", "arm64", 5, "hash-i", {}, live="3", newest="3", invokers=ACCOUNTS
)
ENV = dict.fromkeys(("QUEUE_URL", "DLQ_URL", "PARKING_QUEUE_URL"), "https://sqs/1/q") | {
    "STATE_TABLE": "state",
    "WORKER_TIMEOUT_S": "60",
}
WORKER = Function("spillway-dev-worker", "python3.13", "arm64", 60, "hash-w", ENV, live="3", newest="3")
WIRED = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": "arn:dlq"})}
GOOD = Facts(
    stage="dev",
    name="spillway-dev",
    region="us-east-1",
    account=Account(1_000, 1_000),
    status="UPDATE_COMPLETE",
    functions={"ingest": INGEST, "worker": WORKER},
    mapping=FEED,
    queues={"messages": {**QUEUE, **WIRED}, "parking": QUEUE, "dlq": {**QUEUE, "QueueArn": "arn:dlq"}},
    table_status="ACTIVE",
    tick_state="ENABLED",
    tick_targets=("arn:aws:lambda:us-east-1:1:function:spillway-dev-worker:production",),
    alarms=Alarms(7, heard=1),
    retention_days={"ingest": 14, "worker": 14},
)


def ids(findings: list[Finding]) -> list[str]:
    return [one.id for one in findings]


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    """A stack as it is deployed, in an account that is large enough."""
    assert list(before(GOOD.account, PLAN, region=GOOD.region)) == []
    assert list(after(GOOD, PLAN)) == []


def with_function(name: str, **changed: Any) -> Facts:
    return replace(GOOD, functions={**GOOD.functions, name: replace(GOOD.functions[name], **changed)})


def with_queue(name: str, **changed: str) -> Facts:
    return replace(GOOD, queues={**GOOD.queues, name: {**GOOD.queues[name], **changed}})


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (replace(GOOD, status="UPDATE_IN_PROGRESS"), "stack.busy"),
        (replace(GOOD, status="UPDATE_ROLLBACK_COMPLETE"), "stack.rolled-back"),
        (replace(GOOD, functions={"ingest": INGEST}), "worker.missing"),
        (with_function("ingest", live=None), "ingest.alias-missing"),
        (with_function("worker", live="$LATEST"), "worker.alias-unpublished"),
        (with_function("worker", newest="4"), "worker.alias-behind"),
        (with_function("ingest", invokers=frozenset({"338661164609"})), "invokers.missing"),
        (with_function("ingest", invokers=ACCOUNTS | {"999999999999"}), "invokers.stranger"),
        (with_function("ingest", invokers=ACCOUNTS | {"*"}), "invokers.stranger"),
        (with_function("ingest", invokers=ACCOUNTS | {"url"}), "invokers.stranger"),
        (with_function("ingest", log_level="WARN"), "ingest.logs-dropped"),
        (with_function("worker", log_level="FATAL"), "worker.logs-dropped"),
        (with_function("worker", architecture="x86_64"), "worker.platform"),
        (with_function("ingest", runtime="python3.12"), "ingest.platform"),
        (with_function("worker", code_sha256="another"), "worker.code-differs"),
        (replace(GOOD, mapping=None), "mapping.missing"),
        (replace(GOOD, mapping=replace(FEED, function_arn="arn:x:spillway-dev-worker")), "mapping.not-on-alias"),
        (replace(GOOD, mapping=replace(FEED, state="Disabled")), "mapping.paused"),
        (replace(GOOD, mapping=replace(FEED, concurrency=None)), "mapping.unbounded"),
        (replace(GOOD, mapping=replace(FEED, concurrency=11)), "mapping.concurrency-high"),
        (replace(GOOD, mapping=replace(FEED, partial_responses=False)), "mapping.whole-batches"),
        (with_queue("messages", VisibilityTimeout="360"), "queue.visibility-short"),
        (with_function("worker", reserved=9), "worker.reservation-low"),
        (with_function("worker", timeout_s=50), "worker.timeout-changed"),
        (with_function("ingest", timeout_s=3), "ingest.timeout-short"),
        (with_function("worker", timeout_s=20, env={**ENV, "WORKER_TIMEOUT_S": "20"}), "worker.settings"),
        (with_function("worker", env={**ENV, "READ_TIMEOUT_S": "55"}), "worker.settings"),
        (with_function("worker", env={**ENV, "MAX_AGE_S": "3d"}), "worker.settings"),
        (with_function("worker", env={**ENV, "ERASURE_MAX_AGE_S": "59"}), "worker.settings"),
        (replace(GOOD, queues={**GOOD.queues, "parking": {}}), "queue.parking-missing"),
        (with_queue("dlq", SqsManagedSseEnabled="false"), "queue.dlq-unencrypted"),
        (with_queue("dlq", MessageRetentionPeriod="345600"), "queue.dlq-retention-short"),
        (with_queue("messages", RedrivePolicy="{}"), "dlq.not-wired"),
        (with_queue("dlq", ApproximateNumberOfMessages="3"), "dlq.not-empty"),
        (with_queue("parking", ApproximateNumberOfMessages="270"), "parking.not-empty"),
        (with_queue("parking", ApproximateNumberOfMessagesNotVisible="1"), "parking.not-empty"),
        (with_function("worker", env={**ENV, "MAX_AGE_S": "1200000"}), "worker.max-age-s-too-long"),
        (replace(GOOD, now=Now(1, pause=Pause("moving", 0))), "mapping.paused"),
        (replace(GOOD, now=Now(1, errors={"worker": 1})), "worker.failing"),
        (replace(GOOD, table_status=None), "table.missing"),
        (replace(GOOD, table_has_ttl=False), "table.no-ttl"),
        (replace(GOOD, tick_state=None), "tick.missing"),
        (replace(GOOD, tick_state="DISABLED"), "tick.disabled"),
        (replace(GOOD, tick_targets=("arn:other",)), "tick.not-on-alias"),
        (replace(GOOD, alarms=Alarms()), "alarms.missing"),
        (replace(GOOD, alarms=Alarms(7)), "alarms.unheard"),
        (replace(GOOD, alarms=Alarms(7, unconfirmed=1)), "alarms.unconfirmed"),
        (replace(GOOD, retention_days={"ingest": None, "worker": 14}), "ingest.logs-for-ever"),
        (replace(GOOD, denied=(("sns:ListSubscriptionsByTopic", "AccessDenied"),)), "look.denied"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_one_thing_wrong_is_one_finding(facts: Facts, found: str) -> None:
    """Each fault alone is found, and says how to mend it."""
    findings = list(after(facts, PLAN))
    assert ids(findings) == [found]
    assert findings[0].mend


@pytest.mark.parametrize(
    ("why", "mend"),
    [("AccessDeniedException", "Allow sns:X"), ("EndpointConnectionError", "See that AWS can be reached")],
)
def test_what_could_not_be_looked_at_says_why(why: str, mend: str) -> None:
    """A permission that is missing asks for it; an AWS out of reach does not."""
    (finding,) = denied([("sns:X", why)])
    assert finding.severity is Severity.WARNING
    assert finding.mend.startswith(mend)


def test_a_function_url_that_is_meant_is_no_stranger() -> None:
    """With tokens to be shown, everybody may call the URL and nothing else."""
    facts = with_function("ingest", invokers=ACCOUNTS | {"url"}, env={"TOKEN_SOURCE": "ssm:/spillway/token"})
    assert list(after(facts, PLAN)) == []


def test_what_was_deployed_for_this_machine_has_no_platform() -> None:
    """The embedded AWS runs zips in our interpreter, whatever the function says."""
    local = replace(PLAN, built_for=None)
    assert list(after(with_function("worker", architecture="x86_64"), local)) == []


@pytest.mark.parametrize(
    ("limit", "plan", "found"),
    [
        (10, PLAN, "account.concurrency-too-low"),
        (100, PLAN, "account.concurrency-too-low"),
        (110, PLAN, "account.concurrency-below-mparticle"),
        (999, PLAN, "account.concurrency-below-mparticle"),
        (100, replace(PLAN, ingest_reserved=1), "account.reservation-impossible"),
        (1_000, replace(PLAN, ingest_reserved=950), "account.reservation-impossible"),
        (1_000, replace(PLAN, ingest_reserved=895), "account.concurrency-too-low"),
    ],
)
def test_an_account_that_is_too_small_asks_for_more(limit: int, plan: Plan, found: str) -> None:
    """The request for the quota is ready to be sent; 110 is enough for ten workers, and less than mParticle wishes."""
    (finding,) = before(Account(limit, limit), plan, region="eu-central-1")
    assert finding.id == found
    assert "aws service-quotas request-service-quota-increase" in finding.mend
    assert "--region eu-central-1" in finding.mend
    assert (finding.severity is Severity.WARNING) == (found == "account.concurrency-below-mparticle")


def test_an_account_that_is_large_enough_is_not_mentioned() -> None:
    """The default quota of an old account carries the default deployment."""
    assert list(before(Account(1_000, 1_000), PLAN, region="us-east-1")) == []
