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
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

NAMESPACE = "Spillway"

SAFE_FIELDS = frozenset(
    {
        # what Lambda and Powertools say of themselves
        "level", "location", "message", "timestamp", "service", "stage", "cold_start", "function_name",
        "function_memory_size", "function_arn", "function_request_id", "xray_trace_id", "sampling_rate",
        # what the message is, never what it says
        "request_id", "subject_request_id", "message_id", "part", "type", "account_id", "size_bytes", "receive_count",
        # what happened
        "partner", "status", "attempts", "error", "reason", "where", "item", "wait_s", "age_s", "retry_after_s",
        "delivered", "waiting", "dead_lettered", "refused", "records", "exception_name",
    }
)  # fmt: skip


class Metric(StrEnum):
    """Every metric that Spillway emits; unit Count unless it says otherwise."""

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
    """Parts of requests that could not be read; they are delivered as they came, where the partner passes them on."""
    LEFT_OUT = "LeftOut"
    """Parts of requests that the partner's mapping makes no call of, although somebody may look for them."""
    STATE_UNAVAILABLE = "StateUnavailable"
    """Calls to the state table that failed; deliveries go on without it."""
    LIMIT = "Limit"
    """The adaptive limit, calls a second."""
    BREAKER_OPEN = "BreakerOpen"


def safe(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields whose names are on the allow-list and that are set."""
    return {name: value for name, value in fields.items() if name in SAFE_FIELDS and value is not None}


def log(level: str, message: str, *, service: str, **fields: Any) -> None:
    """Print one JSON log line. `message` is a constant text; what varies goes into fields."""
    line = {"level": level, "message": message, "service": service, **safe(fields)}
    print(json.dumps(line, default=str), file=sys.stdout, flush=True)  # noqa: T201 - Lambda's log is standard output


def count(metric: Metric, value: int = 1, *, service: str, stage: str, now_ms: int | None = None) -> None:
    """Print one metric in the embedded metric format, with dimensions stage and service."""
    line = {
        "_aws": {
            "Timestamp": int(time.time() * 1000) if now_ms is None else now_ms,
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["stage", "service"]],
                    "Metrics": [{"Name": str(metric), "Unit": "Count"}],
                }
            ],
        },
        "stage": stage,
        "service": service,
        str(metric): value,
    }
    print(json.dumps(line), file=sys.stdout, flush=True)  # noqa: T201 - as above
