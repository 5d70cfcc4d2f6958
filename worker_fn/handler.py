"""Lambda entry of stage 3: a batch of SQS records in, the records that must come back out; and a tick each minute."""

import asyncio
from functools import lru_cache
from typing import Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.telemetry import NAMESPACE, Metric
from worker_fn.drain import Worker, drain
from worker_fn.logs import logger
from worker_fn.settings import Settings
from worker_fn.settle import Report
from worker_fn.setup import build

metrics = Metrics(namespace=NAMESPACE, service="worker")


@lru_cache(maxsize=1)
def _worker() -> Worker:
    settings = Settings.from_env()
    metrics.set_default_dimensions(stage=settings.stage)
    return build(settings)


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    """One loop for the life of the environment: what waits on it belongs to it."""
    return asyncio.new_event_loop()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, list[dict[str, str]]]:
    """Drain one batch. Raises InvalidSettings: then Lambda keeps the whole batch in the queue."""
    worker = _worker()
    report = _loop().run_until_complete(
        drain(event["Records"], worker, lambda: context.get_remaining_time_in_millis() / 1_000)
    )
    _measure(report, worker)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in report.failures]}


def _measure(report: Report, worker: Worker) -> None:
    counts = {
        Metric.DELIVERED: report.delivered,
        Metric.WAITING: report.waiting,
        Metric.PARKED: report.parked,
        Metric.DEAD_LETTERED: report.dead_lettered,
        Metric.SETTLE_FAILED: report.unsettled,
        Metric.MALFORMED: report.malformed,
        Metric.STATE_UNAVAILABLE: report.state_trouble,
    }
    for metric, count in counts.items():
        metrics.add_metric(metric, MetricUnit.Count, count)
    flow = worker.gates.partner.flow
    if flow.limit.per_second is not None:
        metrics.add_metric(Metric.LIMIT, MetricUnit.CountPerSecond, flow.limit.per_second)
        metrics.add_metadata("limit_moved", flow.limit.why)
    metrics.add_metric(Metric.BREAKER_OPEN, MetricUnit.Count, int(flow.breaker.is_open))
    metrics.flush_metrics()
