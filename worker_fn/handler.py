"""Lambda entry of stage 3: a batch of SQS records in, the records that must come back out."""

from functools import lru_cache
from typing import Any

import boto3
from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from partners import load_partner
from shared.queue import WorkerQueue
from shared.telemetry import NAMESPACE, Metric
from worker_fn.drain import Worker, drain
from worker_fn.http_client import HttpClient
from worker_fn.logs import logger
from worker_fn.settings import Settings

metrics = Metrics(namespace=NAMESPACE, service="worker")


@lru_cache(maxsize=1)
def _worker() -> Worker:
    settings = Settings.from_env()
    metrics.set_default_dimensions(stage=settings.stage)
    client = HttpClient(
        max_in_flight=settings.max_in_flight,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
    )
    config = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 3})
    return Worker(
        partner=load_partner(settings.env),
        send=lambda delivery, key, timeout_s: client.send(delivery, idempotency_key=key, timeout_s=timeout_s),
        queue=WorkerQueue(
            boto3.client("sqs", config=config),
            queue_url=settings.queue_url,
            dead_letter_url=settings.dead_letter_url,
        ),
        max_in_flight=settings.max_in_flight,
        attempts=settings.attempts,
        settle_reserve_s=settings.settle_reserve_s,
        call_timeout_s=settings.connect_timeout_s + settings.read_timeout_s,
    )


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, list[dict[str, str]]]:
    """Drain one batch. Raises InvalidSettings: then Lambda keeps the whole batch in the queue."""
    report = drain(event["Records"], _worker(), lambda: context.get_remaining_time_in_millis() / 1000)
    metrics.add_metric(Metric.DELIVERED, MetricUnit.Count, report.delivered)
    metrics.add_metric(Metric.WAITING, MetricUnit.Count, report.waiting)
    metrics.add_metric(Metric.DEAD_LETTERED, MetricUnit.Count, report.dead_lettered)
    metrics.add_metric(Metric.SETTLE_FAILED, MetricUnit.Count, report.unsettled)
    metrics.flush_metrics()
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in report.failures]}
