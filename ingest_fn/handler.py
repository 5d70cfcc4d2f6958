"""Lambda entry of stage 1: mParticle's request in, mParticle's answer out.

An exception reaches mParticle as a function error, or by the Function URL as a status. The error's text names the field
or the cause, and holds nothing of the payload. docs/flow.md says what mParticle does then.
"""

import gc
import time
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from ingest_fn.accepted import Accepted, Figures, tell
from ingest_fn.ingest import ingest
from ingest_fn.payload import came_by_url, keep_bytes
from ingest_fn.settings import Settings
from ingest_fn.suspended import Suspended
from shared.aws_http import AwsHttp
from shared.errors import InvalidRequest, QueueUnavailable, SpillwayError, SubscriptionFailed, TokensUnavailable
from shared.message import Head
from shared.queue import Sender
from shared.telemetry import Metric, count, log

if TYPE_CHECKING:
    from ingest_fn.function_url import FunctionUrl
    from ingest_fn.receipts import Receipts
    from shared.stored import Stored

keep_bytes()
gc.set_threshold(100_000)
"""A large request has this many objects, none of them garbage: collecting meanwhile would take a tenth of its time."""


@lru_cache(maxsize=1)
def _settings() -> Settings:
    return Settings.from_env()


@lru_cache(maxsize=1)
def _queue() -> Sender:
    return Sender(_settings().queue_url, _http("sqs", _settings().sqs_endpoint), trace=_settings().trace)


@lru_cache(maxsize=1)
def _suspended() -> Suspended:
    return Suspended(_http("dynamodb", _settings().dynamodb_endpoint), _settings().state_table)


@lru_cache(maxsize=1)
def _receipts() -> "Receipts":
    from ingest_fn.receipts import Receipts  # noqa: PLC0415 - a cold start has no use for what is rare

    return Receipts(_http("dynamodb", _settings().dynamodb_endpoint), _settings().state_table)


@lru_cache(maxsize=1)
def _function_url() -> "FunctionUrl":
    from ingest_fn.function_url import FunctionUrl  # noqa: PLC0415 - as above
    from ingest_fn.tokens import Tokens  # noqa: PLC0415

    kept = _settings().token_store
    return FunctionUrl(Tokens(_store(kept.service), kept) if kept else None, stage=_settings().stage)


@lru_cache(maxsize=1)
def _stored() -> "Stored":
    from ingest_fn.store import read  # noqa: PLC0415 - as above
    from shared.stored import Stored, references  # noqa: PLC0415

    return Stored(references(_settings().env), lambda one: read(_store(one.service), one), on_trouble=_note_trouble)


@lru_cache
def _store(service: str) -> AwsHttp:
    return _http(service, _settings().store_endpoints[service])


def _note_trouble(problem: str) -> None:
    log("WARNING", "a stored setting could not be read anew", service="ingest", error=problem)


def _http(service: str, endpoint: str) -> AwsHttp:
    return AwsHttp(service, endpoint=endpoint, region=_settings().region, credentials=_settings().credentials)


@lru_cache(maxsize=1)
def _figures() -> Figures:
    return Figures(_settings().stage)


def _ingest(request: object, context: object) -> dict[str, Any]:
    left_ms = getattr(context, "get_remaining_time_in_millis", lambda: 5_000)
    began_s = time.perf_counter()
    accepted: list[Accepted] = []
    answer = ingest(
        request,
        remaining_s=left_ms() / 1_000,
        settings=_settings(),
        queue=_queue(),
        suspended=_suspended(),
        note_erasure=_note_erasure,
        note_accepted=accepted.append,
        stored=lambda: _stored().texts(),
    )
    took_ms = (time.perf_counter() - began_s) * 1_000
    for one in accepted:
        tell(one, took_ms, _settings().facts)
        _figures().add(one, took_ms)
    return answer


def _note_erasure(head: Head, request: Mapping[str, Any]) -> None:
    _receipts().accepted(head, request)


def handler(event: object, context: object) -> dict[str, Any]:
    """Answer one request. Raises SpillwayError, unless it came by the Function URL."""
    report = partial(_report, request_id=getattr(context, "aws_request_id", None))
    try:
        if came_by_url(event):
            return _function_url().answer(event, partial(_ingest, context=context), report)
        if isinstance(event, InvalidRequest):  # what `keep_bytes` could not read
            raise event
        return _ingest(event, context)
    except SpillwayError as error:
        report(error)
        raise error.with_traceback(None) from None


def _report(error: SpillwayError, request_id: str | None) -> None:
    where = error.where or None if isinstance(error, InvalidRequest) else None
    log("ERROR", "request refused", service="ingest", error=str(error), where=where, function_request_id=request_id)
    metric = {
        InvalidRequest: Metric.INVALID_REQUEST,
        QueueUnavailable: Metric.QUEUE_UNAVAILABLE,
        TokensUnavailable: Metric.TOKENS_UNAVAILABLE,
        SubscriptionFailed: Metric.SUBSCRIPTION_FAILED,
    }
    for kind, name in metric.items():
        if isinstance(error, kind):
            count(name, service="ingest", stage=_settings().stage)
