"""The worker's metrics, in one line a batch; shared/telemetry.py names them."""

from functools import lru_cache

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from shared.telemetry import NAMESPACE, Metric
from worker_fn.batch.context import Worker
from worker_fn.batch.settle import Report

metrics = Metrics(namespace=NAMESPACE, service="worker")


@lru_cache(maxsize=1)
def name_stage(stage: str) -> None:
    """Put the stage into every metric's dimensions."""
    metrics.set_default_dimensions(stage=stage)


def measure(report: Report, worker: Worker) -> None:
    """Write what a batch came to, and how the fleet stands with the partner."""
    counts = {
        Metric.DELIVERED: report.delivered,
        Metric.WAITING: report.waiting,
        Metric.PARKED: report.parked,
        Metric.DEAD_LETTERED: report.dead_lettered,
        Metric.SETTLE_FAILED: report.unsettled,
        Metric.MALFORMED: report.malformed,
        Metric.LEFT_OUT: report.left_out,
        Metric.STATE_UNAVAILABLE: report.state_trouble,
    }
    for metric, count in counts.items():
        metrics.add_metric(metric, MetricUnit.Count, count)
    flow = worker.limiters.partner.flow
    if flow.limit.per_second is not None:
        metrics.add_metric(Metric.LIMIT, MetricUnit.CountPerSecond, flow.limit.per_second)
        metrics.add_metadata("limit_moved", flow.limit.why)
    metrics.add_metric(Metric.BREAKER_OPEN, MetricUnit.Count, int(flow.breaker.is_open))
    metrics.flush_metrics()
