"""The worker's metrics, in one line a batch; shared/telemetry.py names them."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from aws_lambda_powertools import Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from shared.telemetry import NAMESPACE, Metric, measured, spread
from worker_fn.batch.context import Worker
from worker_fn.batch.settle import Report

if TYPE_CHECKING:
    from worker_fn.maintenance.ticker import TickReport

OF_AN_ACCOUNT = (Metric.DELIVERED, Metric.WAITING, Metric.PARKED, Metric.DEAD_LETTERED, Metric.SETTLE_FAILED)
"""Metrics that the accounts in METRICS_ACCOUNTS also have of their own."""
TIMES_A_BATCH = 16
"""The most latencies of a batch that are written; more would cost as much as its messages' own log lines."""

metrics = Metrics(namespace=NAMESPACE, service="worker")


@lru_cache(maxsize=1)
def name_stage(stage: str) -> None:
    """Put the stage into every metric's dimensions."""
    metrics.set_default_dimensions(stage=stage)


def measure(report: Report, worker: Worker) -> None:
    """Write the outcome of a batch, and what the fleet knows of the partner."""
    counts = {
        Metric.DELIVERED: report.delivered,
        Metric.WAITING: report.waiting,
        Metric.PARKED: report.parked,
        Metric.DEAD_LETTERED: report.dead_lettered,
        Metric.SETTLE_FAILED: report.unsettled,
        Metric.MALFORMED: report.malformed,
        Metric.LEFT_OUT: report.left_out,
        Metric.STATE_UNAVAILABLE: report.state_trouble,
        Metric.ATTEMPTS: len(report.call_ms),
    }
    for metric, count in counts.items():
        metrics.add_metric(metric, MetricUnit.Count, count)
    for metric, values in (
        (Metric.ACCEPTED_TO_DELIVERED, report.delivered_after_ms),
        (Metric.PARTNER_LATENCY, report.call_ms),
    ):
        for value in spread(values, TIMES_A_BATCH):
            metrics.add_metric(metric, MetricUnit.Milliseconds, value)
    _ages(report.oldest_waiting_s, report.oldest_erasure_s)
    flow = worker.limiters.partner.flow
    if flow.limit.per_second is not None:
        metrics.add_metric(Metric.LIMIT, MetricUnit.CountPerSecond, flow.limit.per_second)
        metrics.add_metadata("limit_moved", flow.why)
    metrics.add_metric(Metric.BREAKER_OPEN, MetricUnit.Count, int(flow.breaker.is_open))
    metrics.flush_metrics()
    _by_name(Metric.WAITS, "cause", report.waits)
    _by_name(Metric.DEAD_LETTERS, "reason", report.letters)
    for account_id, ends in report.by_account.items():
        counted = {metric: ends[metric] for metric in OF_AN_ACCOUNT}
        print(  # noqa: T201 - Lambda's log is standard output
            measured(counted, service="worker", stage=_stage(), now_ms=worker.now_ms(), account=account_id)
        )


def measure_tick(report: "TickReport", gap: int | None = None) -> None:
    """Write the tick's metrics: the breaker, which no batch may see for hours, the oldest parked messages, the share of
    the rate that is used, and the ledger's gap.
    """
    _ages(report.oldest_parked_s, report.oldest_parked_erasure_s)
    if report.breaker_open is not None:
        metrics.add_metric(Metric.BREAKER_OPEN, MetricUnit.Count, int(report.breaker_open))
    if report.allowance_used is not None:
        metrics.add_metric(Metric.ALLOWANCE_USED, MetricUnit.Percent, round(100 * report.allowance_used, 1))
    if gap is not None:
        metrics.add_metric(Metric.LEDGER_GAP, MetricUnit.Count, gap)
    if metrics.metric_set:
        metrics.flush_metrics()


def _ages(waiting_s: float, erasure_s: float) -> None:
    for metric, age_s in ((Metric.OLDEST_WAITING, waiting_s), (Metric.OLDEST_ERASURE, erasure_s)):
        if age_s:
            metrics.add_metric(metric, MetricUnit.Seconds, age_s)


def _by_name(metric: Metric, dimension: str, counts: Mapping[str, int]) -> None:
    """Write a metric by cause or by reason: one line for each, and they are few."""
    for name, count in counts.items():
        with single_metric(metric, MetricUnit.Count, count, namespace=NAMESPACE) as one:
            one.add_dimension("stage", _stage())
            one.add_dimension("service", "worker")
            one.add_dimension(dimension, name)


def _stage() -> str:
    return str(metrics.default_dimensions.get("stage", "none"))
