"""The present state: what the fleet wrote into the state table, and what CloudWatch counted. Reads only.

No message is read: dead letters are only for people who may see users' data.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ops.operate.pause import Pause
from ops.operate.stack import Stack
from ops.operate.suspensions import Suspended, summed_up
from shared.state import FLOW, PARTNER, SUSPENDED, Item
from worker_fn.accounts.clearing import SWEEP
from worker_fn.accounts.suspension import by_account
from worker_fn.clients.mapping import HOLD, MAPPING
from worker_fn.limits.flow import Flow

LATELY_S = 900
"""How far back CloudWatch is asked: its figures are a few minutes late."""
ACCOUNT_FLOWS = "account#"
URL = "url"


@dataclass(frozen=True, slots=True)
class Now:
    """`now_ms` is when it was looked at; other times are ms since the epoch, too."""

    now_ms: int
    pause: Pause | None = None
    """An operator's pause."""
    flow: Flow | None = None
    """None: no worker has called the partner yet."""
    account_flows: Mapping[str, Flow] = field(default_factory=dict)
    """If the partner limits accounts: what is known of each, by its key in the state table."""
    suspended: Sequence[Suspended] = ()
    swept_ms: int | None = None
    """When a tick last swept the parking queue."""
    ticked: bool = True
    """Whether any tick ever ran."""
    changed_ms: int | None = None
    """When the stack was last deployed."""
    oldest_s: float | None = None
    """How long the oldest message of the main queue has waited."""
    errors: Mapping[str, int] = field(default_factory=dict)
    """Invocations that failed lately, by function."""
    url_errors: int = 0
    """Calls of the Function URL that were answered with 5xx lately."""


Noted = Callable[[str, Callable[[], Any], Any], Any]
"""Reads, or notes that it was not allowed to: Look.at."""


def look_now(found: Stack, names: Mapping[str, str], noted: Noted) -> Now:
    """Read the present state. `names` are the deployed functions'."""
    now_ms = int(time.time() * 1_000)
    rows, suspended = noted("dynamodb:Query", lambda: _rows(found), ({}, {}))
    accounts = noted("dynamodb:Scan", lambda: _account_flows(found), {})
    figures = _figures(found, names, noted)
    return Now(
        now_ms=now_ms,
        pause=Pause.from_value(rows.get(HOLD, Item()).value),
        flow=Flow.of(rows[FLOW]) if FLOW in rows else None,
        account_flows=accounts,
        suspended=sorted(
            map(summed_up, by_account(suspended).values()), key=lambda one: (one.since_ms, one.account_id)
        ),
        swept_ms=rows.get(SWEEP, Item()).value.get("looked_ms"),
        ticked=not rows or bool(rows.get(MAPPING)),
        changed_ms=found.changed_ms,
        oldest_s=figures.pop("oldest", None),
        url_errors=int(figures.pop(URL, 0)),
        errors={name: int(count) for name, count in figures.items()},
    )


def _rows(found: Stack) -> tuple[dict[str, Item], dict[str, Item]]:
    """The items under the partner's key, and the suspensions."""
    state = found.state()

    async def read() -> tuple[dict[str, Item], dict[str, Item]]:
        return await state.listed(PARTNER), await state.listed(SUSPENDED)

    return asyncio.run(read())


def _account_flows(found: Stack) -> dict[str, Flow]:
    items = asyncio.run(found.state().under(ACCOUNT_FLOWS))
    return {pk.removeprefix(ACCOUNT_FLOWS): Flow.of(item) for (pk, sk), item in items.items() if sk == FLOW}


def _figures(found: Stack, names: Mapping[str, str], noted: Noted) -> dict[str, float]:
    """The newest figure of the oldest message's age, and sums of failed invocations and of failed calls of the URL."""
    queue = found.outputs.get("QueueUrl", "").rpartition("/")[2]
    asked = [_asked("oldest", ("AWS/SQS", "ApproximateAgeOfOldestMessage"), ("QueueName", queue), "Maximum")]
    asked += [_asked(name, ("AWS/Lambda", "Errors"), ("FunctionName", full), "Sum") for name, full in names.items()]
    asked += [
        _asked(URL, ("AWS/Lambda", "Url5xxCount"), ("FunctionName", full), "Sum")
        for name, full in names.items()
        if name == "ingest"
    ]
    until = datetime.now(UTC)

    def read() -> list[dict[str, Any]]:
        answer = found.client("cloudwatch").get_metric_data(
            MetricDataQueries=asked,
            StartTime=until - timedelta(seconds=LATELY_S),
            EndTime=until,
            ScanBy="TimestampDescending",
        )
        return list(answer["MetricDataResults"])

    results = {one["Id"]: one["Values"] for one in noted("cloudwatch:GetMetricData", read, []) if one.get("Values")}
    return {name: values[0] if name == "oldest" else sum(values) for name, values in results.items()}


def _asked(name: str, metric: tuple[str, str], of: tuple[str, str], statistic: str) -> dict[str, Any]:
    """A query to CloudWatch: a metric by namespace and name, for a dimension's value."""
    dimensions = [{"Name": of[0], "Value": of[1]}]
    found = {"Namespace": metric[0], "MetricName": metric[1], "Dimensions": dimensions}
    return {"Id": name, "MetricStat": {"Metric": found, "Period": 60, "Stat": statistic}}
