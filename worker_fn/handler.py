"""Lambda entry of stage 3: a batch of SQS records in, the records that must come back out; and a tick each minute."""

import gc

gc.disable()  # imports leave no garbage: looking for it would be a twentieth of a cold start

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, cast

from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.errors import StateUnavailable
from shared.stored import Stored
from worker_fn.batch.context import Worker
from worker_fn.batch.drain import drain
from worker_fn.clients.counts import CountsUnavailable
from worker_fn.clients.logs import logger
from worker_fn.clients.mapping import remember_mapping
from worker_fn.clients.threaded_queue import ThreadedQueue
from worker_fn.maintenance import gap
from worker_fn.metrics import measure, measure_tick, name_stage
from worker_fn.settings import Settings
from worker_fn.wiring import CALLS_TO_AWS, COUNTS_NEED_S, build, counts, event_source_mapping, stored

if TYPE_CHECKING:
    from worker_fn.maintenance.ticker import TickReport

gc.freeze()
gc.enable()


@lru_cache(maxsize=1)
def _settings() -> Settings:
    return Settings.from_env()


@lru_cache(maxsize=1)
def _stored() -> Stored:
    return stored(_settings())


_made: list[Worker] = []
"""The worker in use: its connections belong to the loop, and stay open until they are closed."""


@lru_cache(maxsize=1)
def _worker(stored_texts: tuple[tuple[str, str], ...]) -> Worker:
    """The worker, made anew when a setting in SSM or Secrets Manager has changed, which happens a few times a year."""
    worker = build(_settings(), stored_texts)
    for before in _made:
        _loop().run_until_complete(before.close())
    _made[:] = [worker]
    gc.freeze()  # what was imported stays: the collector need not look through it at each batch
    return worker


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    """One loop for the life of the environment: connections and locks belong to their loop."""
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(CALLS_TO_AWS, thread_name_prefix="aws"))
    return loop


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Drain one batch, or run the minute's tick. Raises InvalidSettings: then the whole batch stays in the queue."""

    def remaining_s() -> float:
        return context.get_remaining_time_in_millis() / 1_000

    name_stage(_settings().stage)
    worker = _worker(_stored().texts())
    if "tick" in event:
        return asdict(_loop().run_until_complete(_tick(worker, event["tick"], remaining_s)))
    report = _loop().run_until_complete(drain(event["Records"], worker, remaining_s))
    measure(report, worker)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in report.failures]}


async def _tick(worker: Worker, asked: Mapping[str, Any], remaining_s: Callable[[], float]) -> "TickReport":
    from worker_fn.maintenance.tick import tick  # noqa: PLC0415 - a batch needs none of it
    from worker_fn.maintenance.ticker import Ticker, tell  # noqa: PLC0415

    mapping_id = str(asked["mapping_id"])
    with suppress(StateUnavailable):
        await remember_mapping(worker.state, mapping_id)
    ticker = Ticker(
        worker,
        queues=cast(ThreadedQueue, worker.queue),  # as worker_fn.wiring made it
        mapping=event_source_mapping(mapping_id),
        most=_settings().max_concurrency,
        probe_now=bool(asked.get("probe")),
        measure=partial(measure, worker=worker),
    )
    report = await tick(ticker, remaining_s)
    tell(report, worker)
    measure_tick(report, await _gap(worker, remaining_s))
    return report


async def _gap(worker: Worker, remaining_s: Callable[[], float]) -> int | None:
    """The ledger's gap, once an hour; None in all other minutes, or if it cannot be counted."""
    if not gap.is_due(worker.now_ms()) or remaining_s() < COUNTS_NEED_S:
        return None
    try:
        return gap.missing(await counts(_settings()).of_a_day(worker.now_ms()))
    except CountsUnavailable as error:
        worker.log("the ledger's gap could not be counted", error=str(error))
        return None
