"""Everything that the doctor judges, read from AWS once. Reads only.

A part that may not be read is noted and judged as such, so that one missing permission does not hide the rest.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ops.doctor.look_now import Now, look_now
from ops.operate.stack import Stack
from shared.errors import StateUnavailable

FUNCTION_NAMES = ("ingest", "worker")
ALIAS = "production"
FUNCTION_URL = "url"
QUEUES = {"messages": "QueueUrl", "parking": "ParkingQueueUrl", "dlq": "DlqUrl"}
NOT_THERE = frozenset(
    {
        "ResourceNotFoundException",
        "NotFound",
        "NotFoundException",
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "ValidationError",
    }
)


@dataclass(frozen=True, slots=True)
class Function:
    """A deployed function. `live` is the version that the alias serves, None without an alias; `invokers` are the
    principals that may invoke the alias.
    """

    name: str
    runtime: str
    architecture: str
    timeout_s: int
    code_sha256: str
    env: Mapping[str, str] = field(repr=False)
    reserved: int | None = None
    live: str | None = None
    newest: str | None = None
    invokers: frozenset[str] = frozenset()
    log_level: str | None = None
    """The least level of its lines that Lambda keeps; None: all are kept, as in the text format."""


@dataclass(frozen=True, slots=True)
class DeployedFeed:
    """The event source mapping between queue and worker."""

    state: str
    function_arn: str
    concurrency: int | None
    partial_responses: bool
    window_s: int


@dataclass(frozen=True, slots=True)
class Account:
    """Concurrent executions that an account may have in a region, and those of them that no function has reserved."""

    concurrency: int
    unreserved: int


@dataclass(frozen=True, slots=True)
class Alarms:
    """The number of alarms, and the confirmed and unconfirmed subscriptions of their topics."""

    count: int = 0
    heard: int = 0
    unconfirmed: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """`denied`: the parts that could not be read, as operation and AWS's name of the error."""

    stage: str
    name: str
    """The stack's name."""
    region: str
    account: Account | None
    status: str | None = None
    functions: Mapping[str, Function] = field(default_factory=dict)
    mapping: DeployedFeed | None = None
    queues: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    urls: Mapping[str, str] = field(default_factory=dict)
    """The queues' URLs."""
    table_status: str | None = None
    table_has_ttl: bool = True
    tick_state: str | None = None
    tick_targets: tuple[str, ...] = ()
    alarms: Alarms | None = None
    retention_days: Mapping[str, int | None] = field(default_factory=dict)
    now: Now | None = None
    """None if there is no state table to read it from."""
    denied: tuple[tuple[str, str], ...] = ()


class Look:
    """Reads, and remembers what it was not allowed to read."""

    def __init__(self) -> None:
        self.denied: list[tuple[str, str]] = []

    def at(self, what: str, read: Callable[[], Any], otherwise: Any) -> Any:
        """AWS's answer; `otherwise` if there is no such thing, or the caller may not read it."""
        try:
            return read()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in NOT_THERE:
                self.denied.append((what, code))
        except BotoCoreError as error:
            self.denied.append((what, type(error).__name__))
        except StateUnavailable as error:
            self.denied.append((what, str(error)))
        return otherwise


def account(session: Any, look: Look) -> Account | None:
    """Read the account's limit in the session's region."""
    limits = look.at("lambda:GetAccountSettings", lambda: session.client("lambda").get_account_settings(), {})
    found = limits.get("AccountLimit", {})
    if "ConcurrentExecutions" not in found:
        return None
    concurrency = int(found["ConcurrentExecutions"])
    return Account(concurrency, int(found.get("UnreservedConcurrentExecutions", concurrency)))


def stack(found: Stack, status: str, look: Look) -> Facts:
    """Read a deployed stack."""
    prefix = found.name
    lambdas, sqs, logs = found.client("lambda"), found.client("sqs"), found.client("logs")
    functions = {name: _function(lambdas, f"{prefix}-{name}", look) for name in FUNCTION_NAMES}
    queues = {
        name: look.at("sqs:GetQueueAttributes", partial(_attributes, sqs, found.outputs.get(url, "")), {})
        for name, url in QUEUES.items()
    }
    status_of_table, has_ttl = _table(found, look)
    names = {name: one.name for name, one in functions.items() if one is not None}
    now = look_now(found, names, look.at) if status_of_table is not None else None
    state, targets = _tick(found.client("events"), f"{prefix}-tick", look)
    return Facts(
        stage=found.stage,
        name=found.name,
        region=found.region,
        account=account(found.session, look),
        status=status,
        functions={name: one for name, one in functions.items() if one is not None},
        mapping=look.at(
            "lambda:GetEventSourceMapping", lambda: _mapping(lambdas, found.outputs.get("WorkerMappingId", "")), None
        ),
        queues=queues,
        urls={name: found.outputs.get(url, "") for name, url in QUEUES.items()},
        table_status=status_of_table,
        table_has_ttl=has_ttl,
        tick_state=state,
        tick_targets=targets,
        alarms=_alarms(found, prefix, look),
        retention_days={
            name: look.at("logs:DescribeLogGroups", partial(_retention, logs, f"{prefix}-{name}"), None)
            for name in FUNCTION_NAMES
        },
        now=now,
        denied=tuple(dict.fromkeys(look.denied)),
    )


def _function(lambdas: Any, name: str, look: Look) -> Function | None:
    found = look.at(
        "lambda:GetFunctionConfiguration", lambda: lambdas.get_function_configuration(FunctionName=name), None
    )
    if found is None:
        return None
    alias = look.at("lambda:GetAlias", lambda: lambdas.get_alias(FunctionName=name, Name=ALIAS), {})
    live = alias.get("FunctionVersion")
    served = found
    if live is not None:
        served = look.at(
            "lambda:GetFunctionConfiguration",
            lambda: lambdas.get_function_configuration(FunctionName=name, Qualifier=live),
            found,
        )
    reserved = look.at(
        "lambda:GetFunctionConcurrency", lambda: lambdas.get_function_concurrency(FunctionName=name), {}
    ).get("ReservedConcurrentExecutions")
    return Function(
        name=name,
        runtime=served.get("Runtime", ""),
        architecture=(served.get("Architectures") or ["x86_64"])[0],
        timeout_s=int(served.get("Timeout", 3)),
        code_sha256=served.get("CodeSha256", ""),
        env=served.get("Environment", {}).get("Variables", {}),
        reserved=reserved,
        live=live,
        newest=look.at("lambda:ListVersionsByFunction", lambda: _newest(lambdas, name), None),
        invokers=look.at("lambda:GetPolicy", lambda: _invokers(lambdas, name), frozenset()),
        log_level=served.get("LoggingConfig", {}).get("ApplicationLogLevel"),
    )


def _newest(lambdas: Any, name: str) -> str | None:
    pages = lambdas.get_paginator("list_versions_by_function").paginate(FunctionName=name)
    versions = [one["Version"] for page in pages for one in page["Versions"] if one["Version"] != "$LATEST"]
    return max(versions, key=int, default=None)


def _invokers(lambdas: Any, name: str) -> frozenset[str]:
    """Accounts and services that may invoke the alias; `*` is everybody, FUNCTION_URL whoever calls its URL."""
    policy = json.loads(lambdas.get_policy(FunctionName=name, Qualifier=ALIAS)["Policy"])
    found = set[str]()
    for statement in policy.get("Statement", ()):
        if statement.get("Effect") != "Allow":
            continue
        principal = statement.get("Principal", {})
        if isinstance(principal, str):
            found.add(FUNCTION_URL if "FunctionUrl" in json.dumps(statement.get("Condition", {})) else principal)
            continue
        for named in principal.values():
            for one in [named] if isinstance(named, str) else named:
                is_url = one == "*" and "FunctionUrl" in json.dumps(statement.get("Condition", {}))
                found.add(FUNCTION_URL if is_url else one.split(":")[4] if one.startswith("arn:") else one)
    return frozenset(found)


def _mapping(lambdas: Any, mapping_id: str) -> DeployedFeed:
    found = lambdas.get_event_source_mapping(UUID=mapping_id)
    return DeployedFeed(
        state=found["State"],
        function_arn=found["FunctionArn"],
        concurrency=(found.get("ScalingConfig") or {}).get("MaximumConcurrency"),
        partial_responses="ReportBatchItemFailures" in found.get("FunctionResponseTypes", ()),
        window_s=int(found.get("MaximumBatchingWindowInSeconds") or 0),
    )


def _attributes(sqs: Any, url: str) -> dict[str, str]:
    return dict(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"])


def _table(found: Stack, look: Look) -> tuple[str | None, bool]:
    dynamodb, name = found.client("dynamodb"), found.outputs.get("StateTableName", "")
    status = look.at(
        "dynamodb:DescribeTable", lambda: str(dynamodb.describe_table(TableName=name)["Table"]["TableStatus"]), None
    )
    if status is None:
        return None, True
    ttl = look.at("dynamodb:DescribeTimeToLive", lambda: dynamodb.describe_time_to_live(TableName=name), None)
    known = None if ttl is None else ttl["TimeToLiveDescription"].get("TimeToLiveStatus")
    return status, known in {None, "ENABLED", "ENABLING"}


def _tick(events: Any, rule: str, look: Look) -> tuple[str | None, tuple[str, ...]]:
    state = look.at("events:DescribeRule", lambda: str(events.describe_rule(Name=rule)["State"]), None)
    targets = look.at("events:ListTargetsByRule", lambda: events.list_targets_by_rule(Rule=rule)["Targets"], [])
    return state, tuple(one["Arn"] for one in targets)


def _alarms(found: Stack, prefix: str, look: Look) -> Alarms | None:
    cloudwatch, sns = found.client("cloudwatch"), found.client("sns")
    answer = look.at(
        "cloudwatch:DescribeAlarms", lambda: cloudwatch.describe_alarms(AlarmNamePrefix=f"{prefix}-"), None
    )
    if answer is None:
        return None
    alarms = answer.get("MetricAlarms", [])
    topics = {action for alarm in alarms for action in alarm.get("AlarmActions", ()) if ":sns:" in action}
    subscriptions = [
        one["SubscriptionArn"]
        for topic in sorted(topics)
        for one in look.at(
            "sns:ListSubscriptionsByTopic",
            partial(_subscriptions, sns, topic),
            [],
        )
    ]
    heard = sum(arn.startswith("arn:") for arn in subscriptions)
    return Alarms(len(alarms), heard, len(subscriptions) - heard)


def _subscriptions(sns: Any, topic: str) -> list[dict[str, Any]]:
    return list(sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"])


def _retention(logs: Any, function: str) -> int | None:
    name = f"/aws/lambda/{function}"
    groups = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return next((one.get("retentionInDays") for one in groups if one["logGroupName"] == name), None)
