"""A worker from its settings: everything real, made once for a Lambda environment."""

import random
import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from partners import load_partner
from shared.queue import WorkerQueue
from shared.state import DynamoState, Patient, State
from shared.stored import Reference, Stored, Unreadable, references
from worker_fn.accounts.fingerprint import fingerprint
from worker_fn.accounts.suspensions import Suspensions
from worker_fn.batch.context import Worker, no_need
from worker_fn.batch.disposition import Budgets
from worker_fn.batch.memory import Room
from worker_fn.clients.counts import Counts
from worker_fn.clients.http import HttpClient
from worker_fn.clients.logs import logger
from worker_fn.clients.mapping import EventSourceMapping, Held, LambdaMapping, known_mapping
from worker_fn.clients.threaded_queue import ThreadedQueue
from worker_fn.limits.clock import FleetClock, Once, agree
from worker_fn.limits.registry import Registry
from worker_fn.settings import Settings

THREADS = 32
"""Calls to AWS at once: the progress of a batch's messages is read side by side."""

CONFIG = Config(
    connect_timeout=1,
    read_timeout=2,
    max_pool_connections=THREADS,
    retries={"mode": "standard", "total_max_attempts": 2},
)
STATE_CONFIG = Config(
    connect_timeout=0.5,
    read_timeout=1,
    max_pool_connections=THREADS,
    retries={"mode": "standard", "total_max_attempts": 2},
)
"""Shorter, as the worker can do without the state table's answers."""
COUNTS_NEED_S = 10.0
"""What reading the counts may take: a page, and its repetition."""


def build(settings: Settings, stored: Iterable[tuple[str, str]] = ()) -> Worker:
    """Make the worker, without any call; `stored` are the partner's settings from SSM or Secrets Manager. Raises
    InvalidSettings.
    """
    sqs = boto3.client("sqs", config=CONFIG)
    partner = load_partner({**settings.env, **dict(stored)})
    rng = random.Random()  # noqa: S311 - jitter, not a secret
    clock = FleetClock(lambda: int(time.time() * 1_000))
    dynamodb = boto3.client("dynamodb", config=STATE_CONFIG)
    state = Patient(DynamoState(dynamodb, settings.state_table, on_date=partial(observe, clock)), now_ms=clock.local_ms)
    limits, now_ms = partner.limits, clock.now_ms
    limiters = Registry(
        state,
        limits,
        share=1 / settings.max_concurrency,
        call_timeout_s=settings.call_timeout_s,
        now_ms=now_ms,
        rng=rng,
    )
    client = HttpClient(
        max_in_flight=settings.max_in_flight,
        connect_timeout_s=settings.connect_timeout_s,
        keep_headers=limits.rate_headers.names if limits.rate_headers else frozenset(),
    )
    queue = WorkerQueue(
        sqs,
        queue_url=settings.queue_url,
        dead_letter_url=settings.dead_letter_url,
        parking_url=settings.parking_url,
        log=_log,
    )
    limited = any((limits.rate, limits.account_rate, *(bulk.rate for bulk in limits.bulk.values())))
    return Worker(
        partner=partner,
        send=client.send,
        queue=ThreadedQueue(queue, visibility_s=int(settings.visibility_s)),
        state=state,
        limiters=limiters,
        suspensions=Suspensions(state, now_ms=now_ms, on_trouble=limiters.trouble, rng=rng, in_groups=settings.fifo),
        held=Held(state, now_ms=now_ms, on_trouble=limiters.trouble),
        max_in_flight=settings.max_in_flight,
        attempts=settings.attempts,
        settle_reserve_s=settings.settle_reserve_s,
        call_timeout_s=settings.call_timeout_s,
        budgets=Budgets(settings.max_age_s, settings.erasure_max_age_s, settings.max_failed_attempts),
        agree_on_time=Once(partial(agree, clock, state)) if limited else no_need,
        mapping=Feed(state),
        fingerprint=partial(fingerprint, key=settings.fingerprint_key),
        in_groups=settings.fifo,
        room=Room.of_function(settings.memory_mib),
        now_ms=now_ms,
        rng=rng,
        log=_log,
        facts=settings.facts,
        tells_ids=settings.tells_ids,
        measured_accounts=settings.measured_accounts,
    )


def stored(settings: Settings) -> Stored:
    """The partner's settings that are kept in SSM or Secrets Manager. Raises InvalidSettings for a bad reference."""
    return Stored(
        references(settings.env),
        read_stored,
        on_trouble=lambda problem: _log("a stored setting could not be read anew", error=problem),
    )


def read_stored(reference: Reference) -> str:
    """Read one text. Raises Unreadable."""
    client = boto3.client(reference.service, config=CONFIG)
    try:
        if reference.service == "ssm":
            value = client.get_parameter(Name=reference.name, WithDecryption=True)["Parameter"]["Value"]
        else:
            value = client.get_secret_value(SecretId=reference.name).get("SecretString")
    except ClientError as error:
        raise Unreadable(error.response["Error"]["Code"]) from None
    except BotoCoreError as error:
        raise Unreadable(type(error).__name__) from None
    if not isinstance(value, str):
        raise Unreadable("what is kept there is no text")
    return value


class Feed:
    """The mapping that feeds the worker, by the id that the tick wrote into the state table."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._found: LambdaMapping | None = None

    async def __call__(self) -> EventSourceMapping | None:
        if self._found is None and (mapping_id := await known_mapping(self._state)) is not None:
            self._found = event_source_mapping(mapping_id)
        return self._found


def event_source_mapping(mapping_id: str) -> LambdaMapping:
    return LambdaMapping(boto3.client("lambda", config=CONFIG), mapping_id)


def counts(settings: Settings) -> Counts:
    """CloudWatch's counts of the queues and of the ends."""
    queue, parking = (url.rpartition("/")[2] for url in (settings.queue_url, settings.parking_url))
    client = boto3.client("cloudwatch", config=CONFIG)
    return Counts(client, queue=queue, parking=parking, stage=settings.stage)


def _log(message: str, **fields: Any) -> None:
    logger.warning(message, extra=fields)


def observe(clock: FleetClock, asked_s: float, heard_s: float, date: str) -> None:
    """Let the fleet's clock learn from an HTTP date."""
    date_ms = int(parsedate_to_datetime(date).timestamp() * 1_000)
    clock.observe(asked_ms=int(asked_s * 1_000), heard_ms=int(heard_s * 1_000), date_ms=date_ms)
