"""Audience subscriptions: the one request that the partner's own code answers while mParticle waits.

Imported only when one arrives, which is when a customer connects, changes or disconnects an audience.
"""

from collections.abc import Mapping
from typing import Any

from ingest_fn.replies import subscribed
from partners import load_partner
from shared.errors import InvalidRequest
from shared.firehose import AudienceSubscriptionRequest, parse_request


def subscribe(env: Mapping[str, str], payload: bytes, *, request_id: str, now_ms: int) -> dict[str, Any]:
    """Answer with the settings to store with the subscription. Raises InvalidRequest, InvalidSettings."""
    request = parse_request(payload)
    if not isinstance(request, AudienceSubscriptionRequest):
        raise InvalidRequest("must be an audience subscription", "type")
    settings = load_partner(env).subscribe(request)
    return subscribed(settings, request_id=request_id, now_ms=now_ms)
