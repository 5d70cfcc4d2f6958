"""What may be logged and measured, in both stages.

Logs are JSON lines whose fields come from an allow-list: identities, attributes, account settings, headers and bodies
have no name on it, so no caller can log them by mistake. Metrics are CloudWatch's embedded metric format, printed to
the log.

Ingest uses this module alone (no Powertools: 20 ms of a cold start); the worker's Powertools logger filters by the
same list.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import orjson

NAMESPACE = "Spillway"

SAFE_FIELDS = frozenset(
    {
        # fields that Lambda and Powertools add
        "level", "location", "message", "timestamp", "service", "stage", "cold_start", "function_name",
        "function_memory_size", "function_arn", "function_request_id", "xray_trace_id", "sampling_rate",
        # what the message is, never what it says
        "request_id", "subject_request_id", "message_id", "part", "type", "account_id", "size_bytes", "receive_count",
        # what happened
        "partner", "status", "attempts", "error", "reason", "where", "item", "wait_s", "age_s", "retry_after_s",
        "delivered", "waiting", "dead_lettered", "refused", "records", "exception_name",
        # facts: what became of a message, and how the fleet stands
        "fact", "messages", "parts", "events", "bytes", "ms", "attempt", "items", "why", "until_ms", "from_s", "to_s",
        "is_open", "is_paused", "concurrency", "keys", "event_ids",
    }
)  # fmt: skip


class Fact(StrEnum):
    """Every kind of fact that is logged; docs/flow.md lists the fields of each."""

    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    """The delivered messages of a batch, in one line."""
    WAIT = "wait"
    PARKED = "parked"
    DEAD_LETTER = "dead_letter"
    UNSETTLED = "unsettled"
    """A message whose end could not be carried out: it comes back as it was."""
    ATTEMPT = "attempt"
    """A call that did not deliver all that was in it; LOG_EVENTS=ids: every call."""
    CONTENT = "content"
    """The ids of a message's events; LOG_EVENTS=ids alone."""
    SUSPENDED = "suspended"
    CLEARED = "cleared"
    UNPARKED = "unparked"
    BREAKER = "breaker"
    COOL_DOWN = "cool_down"
    LIMIT = "limit"
    INTAKE = "intake"


SHORT_ID = 8
"""Characters of SQS's id that tell the copies of a request apart; the whole id would double the cost of logging a
delivery, and add an eighth to that of an accepted request.
"""

LOG_EVENTS = ("on", "off", WITH_IDS := "ids")
"""How much is logged: everything but contents, trouble alone, or also the ids of what requests hold."""
OF_EACH_REQUEST = frozenset({Fact.ACCEPTED, Fact.DELIVERED})
"""The facts of normal operation: LOG_EVENTS=off leaves them out."""


class Metric(StrEnum):
    """Every metric that Spillway emits; UNITS has their units, docs/flow.md their meaning."""

    ACCEPTED = "Accepted"
    """Requests, counted by an environment and written together; those not written when it ends are missing."""
    ANSWER_TIME = "AnswerTime"
    """From the beginning of the invocation to mParticle's answer."""
    ENQUEUED_BYTES = "EnqueuedBytes"
    """The size of the requests as they came."""
    ATTEMPTS = "Attempts"
    """Calls to the partner that were answered or failed."""
    ALLOWANCE_USED = "AllowanceUsed"
    """The share that was taken of the calls that the rate allowed in the nine seconds before a tick."""
    ACCEPTED_TO_DELIVERED = "AcceptedToDelivered"
    PARTNER_LATENCY = "PartnerLatency"
    """The time of single calls, failed ones included."""
    WAITS = "Waits"
    """By `cause`."""
    DEAD_LETTERS = "DeadLetters"
    """By `reason`."""
    OLDEST_WAITING = "OldestWaiting"
    """The age of the oldest message that waits or is parked, since mParticle's request was accepted."""
    OLDEST_ERASURE = "OldestErasure"
    """The same, for erasures alone."""
    LEDGER_GAP = "LedgerGap"
    """Messages that left the queues in a day without an end that a worker logged, as far as counts can prove it."""

    INVALID_REQUEST = "InvalidRequest"
    QUEUE_UNAVAILABLE = "QueueUnavailable"
    UNAUTHORIZED = "Unauthorized"
    """Calls of the Function URL without one of its tokens."""
    TOKENS_UNAVAILABLE = "TokensUnavailable"
    SUBSCRIPTION_FAILED = "SubscriptionFailed"
    DELIVERED = "Delivered"
    WAITING = "Waiting"
    PARKED = "Parked"
    DEAD_LETTERED = "DeadLettered"
    SETTLE_FAILED = "SettleFailed"
    MALFORMED = "Malformed"
    """Parts of requests that could not be read; a partner that passes them on delivers them as they came."""
    LEFT_OUT = "LeftOut"
    """Parts of requests for which the partner's mapping makes no call, although somebody may look for them."""
    STATE_UNAVAILABLE = "StateUnavailable"
    """Calls to the state table that failed; deliveries go on without it."""
    LIMIT = "Limit"
    """The adaptive limit, calls a second."""
    BREAKER_OPEN = "BreakerOpen"


UNITS: Mapping[Metric, str] = {
    Metric.ANSWER_TIME: "Milliseconds",
    Metric.ENQUEUED_BYTES: "Bytes",
    Metric.ACCEPTED_TO_DELIVERED: "Milliseconds",
    Metric.PARTNER_LATENCY: "Milliseconds",
    Metric.ALLOWANCE_USED: "Percent",
    Metric.OLDEST_WAITING: "Seconds",
    Metric.OLDEST_ERASURE: "Seconds",
    Metric.LIMIT: "Count/Second",
}
"""Units other than Count."""


def safe(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields whose names are on the allow-list and that are set."""
    return {name: value for name, value in fields.items() if name in SAFE_FIELDS and value is not None}


def log(level: str, message: str, *, service: str, **fields: Any) -> None:
    """Print one JSON log line. `message` is a constant text; what varies goes into fields. In Lambda's JSON format only
    lines with a time in RFC 3339 keep their own level.
    """
    now_s = time.time()
    timestamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now_s))}.{int(now_s % 1 * 1_000):03}Z"
    line = {"level": level, "message": message, "timestamp": timestamp, "service": service, **safe(fields)}
    print(json.dumps(line, default=str), file=sys.stdout, flush=True)  # noqa: T201 - Lambda's log is standard output


def fact(kind: Fact, **fields: Any) -> None:
    """Print a fact as one JSON line, as short as possible: a million requests write two million lines."""
    sys.stdout.write(f"{_short({'fact': str(kind), **safe(fields)})}\n")  # print would write twice
    sys.stdout.flush()


def _short(content: Mapping[str, Any]) -> str:
    """JSON in ASCII. orjson writes it in a tenth of json's time, except text that has to be escaped.

    An object is written as its `str`, which leaves out what it hides: orjson would write all fields of a dataclass.
    """
    try:
        text = orjson.dumps(content, default=str, option=orjson.OPT_PASSTHROUGH_DATACLASS).decode()
    except TypeError:  # an int over 64 bit, a lone surrogate
        text = ""
    return text if text and text.isascii() else json.dumps(content, separators=(",", ":"), default=str)


def facts_for(log_events: str) -> Callable[..., None]:
    """The function that writes facts under a setting of LOG_EVENTS: with `off`, only facts of trouble."""
    return _only_trouble if log_events == "off" else fact


def _only_trouble(kind: Fact, **fields: Any) -> None:
    if kind not in OF_EACH_REQUEST:
        fact(kind, **fields)


def spread(values: Sequence[int], most: int) -> list[int]:
    """At most `most` of the values, evenly spread from the least to the largest: percentiles of many such lines are
    what they were, or a little higher.
    """
    if len(values) <= most:
        return list(values)
    ordered = sorted(values)
    return [ordered[index * (len(ordered) - 1) // (most - 1)] for index in range(most)]


def measured(values: Mapping[Metric, Any], *, service: str, stage: str, now_ms: int, **more: str) -> str:
    """Several metrics in one line of the embedded metric format; a list holds up to 100 values of one. `more` are
    dimensions beside stage and service.
    """
    return json.dumps(
        {
            "_aws": {
                "Timestamp": now_ms,
                "CloudWatchMetrics": [
                    {
                        "Namespace": NAMESPACE,
                        "Dimensions": [["stage", "service", *more]],
                        "Metrics": [{"Name": one, "Unit": UNITS.get(one, "Count")} for one in values],
                    }
                ],
            },
            "stage": stage,
            "service": service,
            **more,
            **values,
        },
        separators=(",", ":"),
    )


def count(metric: Metric, value: int = 1, *, service: str, stage: str, now_ms: int | None = None) -> None:
    """Print one metric in the embedded metric format, with dimensions stage and service."""
    now_ms = int(time.time() * 1000) if now_ms is None else now_ms
    line = measured({metric: value}, service=service, stage=stage, now_ms=now_ms)
    print(line, file=sys.stdout, flush=True)  # noqa: T201 - as above
