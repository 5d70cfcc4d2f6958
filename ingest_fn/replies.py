"""The five answers to mParticle, built by hand: pydantic costs more than a whole invocation here.

Field by field they follow the SDK's writer, level 3.2.0: `suspend_subscription` is always in the answer to an audience
change and only when true in the answer to events.
"""

from collections.abc import Mapping
from typing import Any

from shared.message import AUDIENCE, ERASURE, EVENTS

FIREHOSE_VERSION = "3.2.0"

REGISTRATION = "module_registration_request"
SUBSCRIPTION = "audience_subscription_request"

_ANSWER = {
    EVENTS: "event_processing_response",
    AUDIENCE: "audience_membership_change_response",
    ERASURE: "dsr_processing_response",
    SUBSCRIPTION: "audience_subscription_response",
}


def accepted(kind: str, *, request_id: str, now_ms: int, suspend: bool = False) -> dict[str, Any]:
    """Answer a request that is durably queued, or a probe. `id` is the request's, so that the two can be matched."""
    answer: dict[str, Any] = {
        "type": _ANSWER[kind],
        "id": request_id,
        "timestamp_ms": now_ms,
        "firehose_version": FIREHOSE_VERSION,
    }
    if kind == AUDIENCE or (kind == EVENTS and suspend):
        answer["suspend_subscription"] = suspend
    return answer


def subscribed(settings: Mapping[str, str], *, request_id: str, now_ms: int) -> dict[str, Any]:
    """Answer an audience subscription with the settings to store with it; none are left out, as the SDK does."""
    answer = accepted(SUBSCRIPTION, request_id=request_id, now_ms=now_ms)
    if settings:
        answer["audience_subscription_settings"] = dict(settings)
    return answer
