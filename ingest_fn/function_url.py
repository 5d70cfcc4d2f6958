"""mParticle's HTTP integration: the same requests, wrapped by the Function URL, and the same answers with a status.

Lambda adds the wrapping, so no caller can leave it out. A wrapped request has to show its token, except the request for
the registration, which mParticle sends before it has one.

This module is imported only when a call comes: a function that is invoked does not need it.

mParticle repeats, a limited number of times, a request that is answered with 408, 429, 500, 502, 503 or 504, and drops
it after anything else. So a request that may succeed later is answered with 503.
"""

import base64
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from ingest_fn import payload, replies
from ingest_fn.tokens import Tokens
from shared.errors import InvalidRequest, InvalidSettings, RequestTooLarge, SpillwayError
from shared.message import QUEUED_TYPES
from shared.telemetry import Metric, count, log

REGISTRATION_BYTES = 4_096
"""A registration request is no larger than its envelope. Larger requests without a token are not parsed."""

TELL_EVERY_S = 10.0
"""Refused callers are logged and counted together, once in this time at most: they must not fill the log."""


class FunctionUrl:
    """One environment's side of the Function URL. Without tokens there should be no URL, and only a request for the
    registration is answered.
    """

    def __init__(
        self,
        tokens: Tokens | None,
        *,
        stage: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._stage = stage
        self._clock = clock
        self._strangers = 0
        self._told_s = float("-inf")

    def answer(
        self,
        event: Mapping[str, Any],
        ingest: Callable[[object], dict[str, Any]],
        report: Callable[[SpillwayError], None],
    ) -> dict[str, Any]:
        """Answer one call in the form that Lambda turns into an HTTP answer.

        `ingest` answers the request in it, `report` logs and counts why it was not accepted.
        """
        refused = _refused(event)
        if refused is not None:
            return refused
        try:
            body = _body(event)
            request = _registration(body)
            if request is None:
                if not self._may_call(event):
                    return _response(401, {"error": "the token is missing or not known"}, WWW_Authenticate="Token")
                request = payload.read(body)
            kind = request.get("type") if isinstance(request, dict) else None
            return _response(202 if kind in QUEUED_TYPES else 200, ingest(request))
        except SpillwayError as error:
            report(error)
            return _response(
                _status(error), {"error": str(error) if isinstance(error, InvalidRequest) else "try again"}
            )

    def _may_call(self, event: Mapping[str, Any]) -> bool:
        """Whether the caller shows a token of ours. Raises TokensUnavailable, InvalidSettings."""
        if self._tokens is None:
            raise InvalidSettings("there is a Function URL, and TOKEN_SOURCE does not say where its tokens are kept")
        scheme, _, token = _header(event, "authorization").strip().partition(" ")
        if scheme.lower() == "token" and self._tokens.know(token.strip()):
            return True
        self._strangers += 1
        now_s = self._clock()
        if now_s - self._told_s >= TELL_EVERY_S:
            log("WARNING", "callers without one of our tokens", service="ingest", refused=self._strangers)
            count(Metric.UNAUTHORIZED, self._strangers, service="ingest", stage=self._stage)
            self._strangers, self._told_s = 0, now_s
        return False


def _refused(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer to a call that is refused before its token is checked; None for any other call."""
    if not payload.came_by_url(event):
        return _response(400, {"error": "this is no call of a Function URL"})
    asked = event["requestContext"]["http"]
    if event.get("rawPath", "/") != "/":
        return _response(404, {"error": "there is nothing but /"})
    if asked.get("method") != "POST":
        return _response(405, {"error": "requests are sent by POST"}, Allow="POST")
    content_type = _header(event, "content-type").partition(";")[0].strip().lower()
    if content_type not in {"", "application/json"} or _header(event, "content-encoding").lower() not in {
        "",
        "identity",
    }:
        return _response(415, {"error": "a request is application/json, without a content encoding"})
    return None


def _registration(body: bytes) -> Any:
    """The request, if it asks for the registration; None for everything else, JSON or not."""
    if len(body) > REGISTRATION_BYTES:
        return None
    try:
        request = payload.read(body)
    except InvalidRequest:
        return None
    is_one = isinstance(request, dict) and request.get("type") == replies.REGISTRATION
    return request if is_one else None


def _body(event: Mapping[str, Any]) -> bytes:
    """The bytes that were sent. Raises InvalidRequest."""
    body, in_base64 = event.get("body"), event.get("isBase64Encoded")
    if not isinstance(body, str | None) or not isinstance(in_base64, bool | None):
        raise InvalidRequest("the request must be JSON in UTF-8")
    if not in_base64:
        return (body or "").encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body or "", validate=True)
    except ValueError:
        raise InvalidRequest("the request must be JSON in UTF-8") from None


def _header(event: Mapping[str, Any], name: str) -> str:
    """One header, whose names Lambda writes in small letters."""
    headers = event.get("headers")
    return str(headers.get(name, "")) if isinstance(headers, Mapping) else ""


def _status(error: SpillwayError) -> int:
    if isinstance(error, RequestTooLarge):
        return 413
    return 400 if isinstance(error, InvalidRequest) else 503


def _response(status: int, content: Mapping[str, Any], **headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", **named},
        "body": orjson.dumps(content).decode(),
    }
