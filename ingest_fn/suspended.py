"""Suspended accounts: the worker writes them down, and the answer to the account's next audience change says so.

`suspend_subscription: true` makes mParticle stop sending and tell the customer, who then renews the credentials. It is
only for an account all of whose credentials are refused: if another one was accepted since, the customer has renewed
them already. Suspensions are read at most once a minute, and only for audience changes; if the state table cannot be
read, the answer is the normal one.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import orjson

from shared.aws_http import AwsHttp

REFRESH_S = 60.0
KINDS = {"account_id": str, "fingerprint": str, "status": int, "since_ms": int, "probe_id": str, "probe_at_ms": int}
"""The fields of each suspension (worker_fn/accounts/suspension.py); the previous release lacked the first two."""
LOOK_TIMEOUT_S = 0.1
"""Half of the time that mParticle gives the whole call."""


class Suspended:
    """The suspended accounts as this environment read them last."""

    def __init__(self, dynamodb: AwsHttp, table: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._dynamodb = dynamodb
        self._query = orjson.dumps(
            {
                "TableName": table,
                "KeyConditionExpression": "pk = :pk",
                "ExpressionAttributeValues": {":pk": {"S": "suspended"}},
                "ExpressionAttributeNames": {"#value": "value"},
                "ProjectionExpression": "sk, #value",
            }
        )
        self._clock = clock
        self._accounts: frozenset[str] = frozenset()
        self._read_s: float | None = None

    def __contains__(self, account_id: object) -> bool:
        now_s = self._clock()
        if self._read_s is None or now_s - self._read_s >= REFRESH_S:
            self._read_s = now_s
            self._accounts = self._read()
        return account_id in self._accounts

    def _read(self) -> frozenset[str]:
        """Read the suspensions with one query; of over a megabyte (some thousand) it reads only the first ones."""
        try:
            status, answer = self._dynamodb.call("DynamoDB_20120810.Query", self._query, timeout_s=LOOK_TIMEOUT_S)
            if status != 200:
                return frozenset()
            return frozenset(_accounts(orjson.loads(answer)["Items"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return frozenset()


def _accounts(items: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """The accounts that are suspended as a whole. An item of the previous release suspends its account; an item that is
    no suspension suspends nobody, as in the worker.
    """
    for item in items:
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            value = orjson.loads(item["value"]["S"])
            written = {"account_id": item["sk"]["S"], "fingerprint": "", **value}
            is_one = all(type(written.get(name)) is kind for name, kind in KINDS.items())
            if is_one and not written.get("superseded_ms"):
                yield written["account_id"]
