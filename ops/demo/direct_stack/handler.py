"""The direct design: every event is sent to the partner while mParticle waits for the answer.

It is what a careful author makes of the usual sample: one kept-alive connection for each execution environment, a
time-out, the customer's key as a bearer token, an idempotency key. The demo compares Spillway with it, so it stays as
good as a design without a queue can be.
"""

import http.client
import json
import os
import time
from typing import Any
from urllib.parse import urlsplit

CALL_TIMEOUT_S = 20
_address = urlsplit(os.environ["PARTNER_URL"])
_connection = http.client.HTTPConnection(_address.hostname or "", _address.port, timeout=CALL_TIMEOUT_S)


class PartnerRefused(Exception):
    """The partner did not take an event: the invocation fails, and whether mParticle tries again is not documented."""


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    if event["type"] == "module_registration_request":
        return {"type": "module_registration_response", "name": "Direct", "version": "1.0.0", **_head(event)}
    settings = (event.get("account") or {}).get("account_settings") or {}
    for one in event.get("events") or []:
        _post(one, str(settings.get("apiKey", "")))
    return {"type": "event_processing_response", **_head(event)}


def _head(event: dict[str, Any]) -> dict[str, Any]:
    return {"id": event["id"], "timestamp_ms": int(time.time() * 1000), "firehose_version": "3.2.0"}


def _post(event: dict[str, Any], api_key: str) -> None:
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {api_key}",
        "Idempotency-Key": str(event["id"]),
    }
    body = json.dumps({"event": event})
    try:
        _connection.request("POST", _address.path, body, headers)
        answer = _connection.getresponse()
        answer.read()
    except (http.client.HTTPException, OSError):
        _connection.close()  # the next request opens it anew
        raise
    if answer.status >= 300:
        raise PartnerRefused(f"the partner answered {answer.status}")
