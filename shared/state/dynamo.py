"""The state table in DynamoDB: calls, conditions and error codes."""

import asyncio
import json
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from shared.errors import StateRefused, StateThrottled, StateUnavailable
from shared.state.items import COOL_FROM, COOL_UNTIL, FIRST_REV, NO_COUNTS, Conflict, Item

THROTTLES = frozenset({"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"})
"""DynamoDB's codes for calls that it would take at another time."""

REFUSALS = frozenset(
    {
        "ValidationException",
        "SerializationException",
        "ItemCollectionSizeLimitExceededException",
        "RequestEntityTooLarge",
    }
)
"""DynamoDB's codes for a call that it will never take; they say nothing of the next call.

A missing table, or one that we may not use (ResourceNotFound, AccessDenied), is not among them: that is an outage,
which ends when somebody mends the deployment.
"""

ITEMS_A_PAGE = 500
"""Items in an answer: a page of DynamoDB's default size, 1 MB before it is written as JSON, would exceed what the
worker reads of an answer.
"""

Sets = Mapping[str, int | str | None]
"""The attributes that an update sets; one that is None is left as it is."""

FIRST: Mapping[str, int | str] = MappingProxyType({"rev": FIRST_REV, "value": "{}"})
"""What an item gets with its first counts: releases before the counts cannot read an item without it."""

OnDate = Callable[[float, float, str], None]
"""Called with an answer's time: when it was asked for and when it came (epoch seconds), and the HTTP date."""


class NotAsExpected(Exception):
    """A condition did not hold; `row` is the item as it is."""

    def __init__(self, row: Mapping[str, Any] | None) -> None:
        super().__init__()
        self.row = row


class StateTable(ABC):
    """State in DynamoDB; subclasses make the calls."""

    async def read(self, pk: str, sk: str) -> Item:
        answer = await self._call("get_item", Key=_key(pk, sk), ConsistentRead=True)
        return item_of(answer.get("Item"))

    async def swap(
        self,
        pk: str,
        sk: str,
        item: Item,
        value: Mapping[str, Any],
        *,
        expires_at: int | None,
        counts: Mapping[str, int] = NO_COUNTS,
        drop: Collection[str] = (),
    ) -> Item:
        by, text = secrets.token_hex(8), json.dumps(value, separators=(",", ":"))
        sets: Sets = {"rev": item.rev + 1, "value": text, "by": by, "expires_at": expires_at}
        expected = {"known": item.rev} if item.rev else NO_COUNTS
        condition = "#rev = :known" if item.rev else "attribute_not_exists(#rev)"
        try:
            return item_of(await self._update(_key(pk, sk), sets, counts, drop, condition=condition, expected=expected))
        except NotAsExpected as error:
            found = error.row
            if found and found.get("by") == {"S": by}:  # made, its answer lost, and the call made again
                return item_of(found)
            raise Conflict(item_of(found) if found else await self.read(pk, sk)) from None

    async def add(
        self, pk: str, sk: str, counts: Mapping[str, int], *, drop: Collection[str] = (), expires_at: int | None
    ) -> Item:
        return item_of(await self._update(_key(pk, sk), {"expires_at": expires_at}, counts, drop, first=FIRST))

    async def raise_to(
        self, pk: str, sk: str, until_ms: int, *, since_ms: int, counts: Mapping[str, int], expires_at: int | None
    ) -> Item:
        sets: Sets = {COOL_UNTIL: until_ms, COOL_FROM: since_ms, "expires_at": expires_at}
        condition = f"attribute_not_exists(#{COOL_UNTIL}) OR #{COOL_UNTIL} < :{COOL_UNTIL}"
        try:
            return item_of(await self._update(_key(pk, sk), sets, counts, (), first=FIRST, condition=condition))
        except NotAsExpected as error:
            found = error.row
            raise Conflict(item_of(found) if found else await self.read(pk, sk)) from None

    async def _update(
        self,
        key: Mapping[str, Any],
        sets: Sets,
        counts: Mapping[str, int],
        drop: Collection[str],
        *,
        first: Mapping[str, int | str] = NO_COUNTS,
        condition: str = "",
        expected: Mapping[str, int] = NO_COUNTS,
    ) -> Mapping[str, Any]:
        """Make one UpdateItem; returns the row after it. `first` is set where it is missing; `expected` are the values
        that its condition names.
        """
        given = {name: value for name, value in sets.items() if value is not None}
        clauses = {
            "SET": [
                *(f"#{name} = :{name}" for name in given),
                *(f"#{name} = if_not_exists(#{name}, :{name})" for name in first),
            ],
            "ADD": [f"#{name} :{name}" for name in counts],
            "REMOVE": [f"#{name}" for name in drop],
        }
        values = {f":{name}": _typed(value) for name, value in {**given, **first, **counts, **expected}.items()}
        arguments: dict[str, Any] = {"ExpressionAttributeValues": values} if values else {}
        if condition:
            arguments |= {"ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        answer = await self._call(
            "update_item",
            Key=key,
            UpdateExpression=" ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts),
            ExpressionAttributeNames={f"#{name}": name for name in (*given, *first, *counts, *drop)},
            ReturnValues="ALL_NEW",
            **arguments,
        )
        row: Mapping[str, Any] = answer.get("Attributes", {})
        return row

    async def delete(self, pk: str, sk: str) -> None:
        await self._call("delete_item", Key=_key(pk, sk))

    async def listed(self, pk: str) -> dict[str, Item]:
        rows = await self._all(
            "query",
            Limit=ITEMS_A_PAGE,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
        )
        return {row["sk"]["S"]: item for row, item in _ours(rows)}

    async def under(self, prefix: str) -> dict[tuple[str, str], Item]:
        """Read all items whose `pk` has a prefix, by both their keys: reads the whole table, for a person who asks."""
        rows = await self._all(
            "scan",
            FilterExpression="begins_with(pk, :prefix)",
            ExpressionAttributeValues={":prefix": {"S": prefix}},
        )
        return {(row["pk"]["S"], row["sk"]["S"]): item for row, item in _ours(rows)}

    async def _all(self, operation: str, **arguments: Any) -> list[Mapping[str, Any]]:
        """The rows of all pages, read consistently."""
        rows: list[Mapping[str, Any]] = []
        start: dict[str, Any] = {}
        while True:
            answer = await self._call(operation, ConsistentRead=True, **arguments, **start)
            rows += answer.get("Items", [])
            if "LastEvaluatedKey" not in answer:
                return rows
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    @abstractmethod
    async def _call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """Make the call that boto3 names so, and return its answer. Raises NotAsExpected and StateUnavailable."""


class DynamoState(StateTable):
    """State through boto3's `client`; each call runs in a thread, so that other work goes on meanwhile."""

    def __init__(self, client: Any, table: str, *, on_date: OnDate = lambda *_: None) -> None:
        self._client = client
        self._table = table
        self._on_date = on_date

    async def _call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        from botocore.exceptions import (  # noqa: PLC0415 - the simulation runs without boto3
            BotoCoreError,
            ClientError,
            ParamValidationError,
        )

        function = getattr(self._client, operation)

        def call() -> Mapping[str, Any]:
            asked_s = time.time()
            answer: Mapping[str, Any] = function(TableName=self._table, **arguments)
            date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
            if date:
                self._on_date(asked_s, time.time(), date)
            return answer

        try:
            return await asyncio.to_thread(call)
        except self._client.exceptions.ConditionalCheckFailedException as error:
            raise NotAsExpected(error.response.get("Item")) from None
        except (ParamValidationError, UnicodeError):
            raise StateRefused("the state table has no form for this item") from None
        except (BotoCoreError, ClientError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
            raise failure_of(code, type(error).__name__) from None


def failure_of(code: str, otherwise: str) -> StateUnavailable:
    """The exception for an error of DynamoDB; `otherwise` describes an error whose code is not handled here."""
    if code in THROTTLES:
        return StateThrottled("the state table is throttled")
    if code in REFUSALS:
        return StateRefused(f"the state table does not take this item ({code})")
    return StateUnavailable(f"the state table does not answer ({otherwise})")


def _key(pk: str, sk: str) -> dict[str, dict[str, str]]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def item_of(row: Mapping[str, Any] | None) -> Item:
    """An item from DynamoDB's attributes. Raises StateRefused if they are no item of Spillway."""
    if not row:
        return Item()
    try:
        rev, value = row.get("rev", {"N": "0"}), row.get("value", {"S": "{}"})
        counts = {name: int(cell["N"]) for name, cell in row.items() if "N" in cell and name not in NO_COUNT}
        return Item(int(rev["N"]), dict(json.loads(value["S"])), counts)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        raise StateRefused("the state table holds what is no item of Spillway's") from None


def _ours(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], Item]]:
    """The rows that are items of Spillway; any other row does not hide them."""
    for row in rows:
        with suppress(StateRefused):
            yield row, item_of(row)


NO_COUNT = frozenset({"rev", "expires_at"})
"""Attributes that are numbers but no counts."""


def _typed(value: int | str) -> dict[str, str]:
    return {"S": value} if isinstance(value, str) else {"N": str(value)}
