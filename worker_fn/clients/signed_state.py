"""The state table without boto3: signed calls over the worker's own HTTP client.

boto3 would be half of a cold start, and its calls, in threads, would cost several times as much (docs/adr/0053).
"""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from shared.partner_http import Answer, Request, request_of
from shared.sigv4 import Credentials, signed_headers
from shared.state import ANSWER_WITHIN_S, NotAsExpected, OnDate, StateTable, failure_of

TIMES_TRIED = 2
"""A call that broke off, or that failed on DynamoDB's side, is made once more, while its caller still waits."""

Make = Callable[[Request, float], Awaitable[Answer]]
"""Makes one call within a number of seconds; worker_fn.clients.http has it."""


class SignedState(StateTable):
    """The table at an `endpoint`, as the role of `credentials`."""

    def __init__(
        self,
        make: Make,
        table: str,
        *,
        endpoint: str,
        region: str,
        credentials: Callable[[], Credentials],
        on_date: OnDate = lambda *_: None,
    ) -> None:
        self._make = make
        self._table = table
        self._endpoint = request_of("POST", endpoint, {}, b"").url
        self._host = urlsplit(self._endpoint).netloc  # as the client writes it, which names no usual port
        self._region = region
        self._credentials = credentials
        self._on_date = on_date

    async def _call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        target = f"DynamoDB_20120810.{operation.title().replace('_', '')}"
        body = json.dumps({"TableName": self._table, **arguments}).encode()
        for _ in range(TIMES_TRIED):
            answer = await self._ask(target, body)
            if answer.status is not None and answer.status < 500:
                break
        said = _read(answer)
        if answer.status == 200 and said is not None:
            return said
        code = str((said or {}).get("__type", "")).rpartition("#")[2]
        if code == "ConditionalCheckFailedException":
            row = (said or {}).get("Item")
            raise NotAsExpected(row if isinstance(row, Mapping) else None)
        raise failure_of(code, answer.fault or f"HTTP {answer.status}")

    async def _ask(self, target: str, body: bytes) -> Answer:
        try:
            credentials = self._credentials()
        except Exception as error:  # on Lambda they are variables; elsewhere botocore's chain may raise anything
            raise failure_of("", type(error).__name__) from None
        headers = signed_headers(
            credentials,
            host=self._host,
            region=self._region,
            service="dynamodb",
            target=target,
            body=body,
            now=datetime.now(UTC),
        )
        del headers["host"]  # the client writes it
        asked_s = time.time()
        answer = await self._make(request_of("POST", self._endpoint, headers, body), ANSWER_WITHIN_S)
        if "date" in answer.headers:
            self._on_date(asked_s, time.time(), answer.headers["date"])
        return answer


def _read(answer: Answer) -> Mapping[str, Any] | None:
    """The JSON object in an answer; None if there is none, or the answer is cut off."""
    try:
        said = json.loads(answer.body) if answer.is_whole else None
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, Mapping) else None
