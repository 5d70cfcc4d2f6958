"""A worker from its settings: everything real, made once for a Lambda environment."""

import random
import threading
import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from partners import load_partner
from shared.queue import WorkerQueue
from shared.state import Patient, State
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
from worker_fn.clients.signed_state import SignedState
from worker_fn.clients.threaded_queue import ThreadedQueue
from worker_fn.limits.clock import FleetClock, Once, agree
from worker_fn.limits.registry import Registry
from worker_fn.settings import Settings

CALLS_TO_AWS = 32
"""Simultaneous calls to AWS: the progress of a batch's messages is read side by side."""
COUNTS_NEED_S = 10.0
"""How long reading the counts may take: one page, and one retry of it."""


class Boto3Client:
    """A boto3 client that is made at its first call: importing boto3 would be most of a cold start."""

    _making = threading.Lock()

    def __init__(self, service: str) -> None:
        self._service = service
        self._made: Any = None

    def __getattr__(self, operation: str) -> Any:
        with self._making:
            if self._made is None:
                import boto3  # noqa: PLC0415 - see the class's docstring
                from botocore.config import Config  # noqa: PLC0415

                retries = {"mode": "standard", "total_max_attempts": 2}
                config = Config(connect_timeout=1, read_timeout=2, max_pool_connections=CALLS_TO_AWS, retries=retries)
                self._made = boto3.client(self._service, config=config)
        return getattr(self._made, operation)


def build(settings: Settings, stored: Iterable[tuple[str, str]] = ()) -> Worker:
    """Make the worker, without any call; `stored` are the partner's settings that are kept elsewhere."""
    partner = load_partner({**settings.env, **dict(stored)})
    rng = random.Random()  # noqa: S311 - jitter, not a secret
    clock = FleetClock(lambda: int(time.time() * 1_000))
    limits, now_ms = partner.limits, clock.now_ms
    client = HttpClient(
        max_in_flight=settings.max_in_flight + CALLS_TO_AWS,
        connect_timeout_s=settings.connect_timeout_s,
        keep_headers=limits.rate_headers.names if limits.rate_headers else frozenset(),
    )
    table = SignedState(
        client.make,
        settings.state_table,
        endpoint=settings.dynamodb_endpoint,
        region=settings.region,
        credentials=settings.credentials,
        on_date=partial(observe, clock),
    )
    queue = WorkerQueue(
        Boto3Client("sqs"),
        queue_url=settings.queue_url,
        dead_letter_url=settings.dead_letter_url,
        parking_url=settings.parking_url,
        log=_log,
    )
    state = Patient(table, now_ms=clock.local_ms)
    share, call_timeout_s = 1 / settings.max_concurrency, settings.call_timeout_s
    limiters = Registry(state, limits, share=share, call_timeout_s=call_timeout_s, now_ms=now_ms, rng=rng)
    limited = any((limits.rate, limits.account_rate, *(bulk.rate for bulk in limits.bulk.values())))
    return Worker(
        partner=partner,
        send=client.send,
        queue=ThreadedQueue(queue, visibility_s=settings.visibility_s),
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
        close=client.aclose,
    )


def stored(settings: Settings) -> Stored:
    """The partner's settings that are kept in SSM or Secrets Manager. Raises InvalidSettings for a bad reference."""

    def tell(problem: str) -> None:
        _log("a stored setting could not be read anew", error=problem)

    return Stored(references(settings.env), read_stored, on_trouble=tell)


def read_stored(reference: Reference) -> str:
    """Read one text. Raises Unreadable."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - few deployments have such settings

    client = Boto3Client(reference.service)
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
    return LambdaMapping(Boto3Client("lambda"), mapping_id)


def counts(settings: Settings) -> Counts:
    queue, parking = (url.rpartition("/")[2] for url in (settings.queue_url, settings.parking_url))
    return Counts(Boto3Client("cloudwatch"), queue=queue, parking=parking, stage=settings.stage)


def _log(message: str, **fields: Any) -> None:
    logger.warning(message, extra=fields)


def observe(clock: FleetClock, asked_s: float, heard_s: float, date: str) -> None:
    """Let the fleet's clock learn from an HTTP date; ignore one that cannot be read."""
    try:
        date_ms = int(parsedate_to_datetime(date).timestamp() * 1_000)
    except (ValueError, OverflowError):
        return
    clock.observe(asked_ms=int(asked_s * 1_000), heard_ms=int(heard_s * 1_000), date_ms=date_ms)
