"""Lambda entry of stage 3: a batch of SQS records in, the records that must come back out; and a tick each minute."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from typing import Any, cast

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.errors import StateUnavailable
from shared.stored import Stored
from shared.telemetry import NAMESPACE, Metric
from worker_fn.drain import drain
from worker_fn.intake import remember_mapping
from worker_fn.logs import logger
from worker_fn.settings import Settings
from worker_fn.settle import Report
from worker_fn.setup import THREADS, build, intake, stored
from worker_fn.threads import ThreadedQueue
from worker_fn.tick import Ticker, TickReport, tick
from worker_fn.worker import Worker

metrics = Metrics(namespace=NAMESPACE, service="worker")


@lru_cache(maxsize=1)
def _settings() -> Settings:
    return Settings.from_env()


@lru_cache(maxsize=1)
def _stored() -> Stored:
    return stored(_settings())


@lru_cache(maxsize=1)
def _worker(stored_texts: tuple[tuple[str, str], ...]) -> Worker:
    """Made anew when a setting that is kept elsewhere was changed there, which happens some times a year."""
    return build(_settings(), stored_texts)


@lru_cache(maxsize=1)
def _name_stage() -> None:
    metrics.set_default_dimensions(stage=_settings().stage)


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    """One loop for the life of the environment: what waits on it belongs to it."""
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="aws"))
    return loop


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Drain one batch, or do what is due each minute. Raises InvalidSettings: then Lambda keeps the whole batch."""

    def remaining_s() -> float:
        return context.get_remaining_time_in_millis() / 1_000

    _name_stage()
    worker = _worker(_stored().texts())
    if "tick" in event:
        return asdict(_loop().run_until_complete(_tick(worker, event["tick"], remaining_s)))
    report = _loop().run_until_complete(drain(event["Records"], worker, remaining_s))
    _measure(report, worker)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in report.failures]}


async def _tick(worker: Worker, asked: Mapping[str, Any], remaining_s: Callable[[], float]) -> TickReport:
    mapping_id = str(asked["mapping_id"])
    with suppress(StateUnavailable):
        await remember_mapping(worker.state, mapping_id)
    queues = cast(ThreadedQueue, worker.queue)  # as worker_fn.setup made it
    most, probe_now = _settings().max_concurrency, bool(asked.get("probe"))
    return await tick(Ticker(worker, queues, intake(mapping_id), most, probe_now), remaining_s)


def _measure(report: Report, worker: Worker) -> None:
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
    flow = worker.gates.partner.flow
    if flow.limit.per_second is not None:
        metrics.add_metric(Metric.LIMIT, MetricUnit.CountPerSecond, flow.limit.per_second)
        metrics.add_metadata("limit_moved", flow.limit.why)
    metrics.add_metric(Metric.BREAKER_OPEN, MetricUnit.Count, int(flow.breaker.is_open))
    metrics.flush_metrics()
