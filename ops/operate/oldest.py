"""When the oldest message that waits or is parked was accepted, by CloudWatch's metrics of the last minutes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from ops.operate.stack import Stack
from shared.telemetry import NAMESPACE, Metric

TOLD_WITHIN_S = 1_200
"""The tick measures parked messages every ten minutes, at least."""


def accepted_ms(stack: Stack, now_ms: int) -> int | None:
    """The earliest acceptance that a metric of age implies; None if there was none. Raises botocore's errors.

    A worker's metric is the age of a message that it had, since the request was accepted. SQS's is that of a message in
    the queue, since it was sent to that queue, and leaves out messages that were received three times.
    """
    until = datetime.fromtimestamp(now_ms / 1_000, UTC)
    answer = stack.client("cloudwatch").get_metric_data(
        MetricDataQueries=list(_asked(stack)), StartTime=until - timedelta(seconds=TOLD_WITHIN_S), EndTime=until
    )
    moments = [
        round(1_000 * (moment.timestamp() - age_s))
        for one in answer["MetricDataResults"]
        for moment, age_s in zip(one["Timestamps"], one["Values"], strict=True)
        if age_s > 0
    ]
    return min(moments, default=None)


def _asked(stack: Stack) -> Iterator[dict[str, Any]]:
    ours = {"stage": _dimension_of(stack), "service": "worker"}
    yield _query("worker", NAMESPACE, Metric.OLDEST_WAITING, ours)
    for name in ("QueueUrl", "ParkingQueueUrl"):
        queue = {"QueueName": stack.output(name).rpartition("/")[2]}
        yield _query(name[0].lower() + name[1:], "AWS/SQS", "ApproximateAgeOfOldestMessage", queue)


def _query(name: str, namespace: str, metric: str, dimensions: dict[str, str]) -> dict[str, Any]:
    named = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    found = {"Namespace": namespace, "MetricName": str(metric), "Dimensions": named}
    return {"Id": name, "MetricStat": {"Metric": found, "Period": 60, "Stat": "Maximum"}}


def _dimension_of(stack: Stack) -> str:
    """The stage as the functions name it: two pods in a region have one each."""
    return stack.stage + stack.name.removeprefix("spillway").removesuffix(f"-{stack.stage}")
