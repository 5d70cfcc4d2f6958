"""The only module that talks to DynamoDB: what the fleet remembers together.

One table, keys `pk` and `sk`; every item is small, and all but the partner's own expire by TTL (`expires_at`, seconds):

    partner       flow        rate, limit, cool-down, breaker of the partner        worker_fn/limits/agreement.py
    account#7     flow        the same for one account, where the partner limits accounts
    account#7#events/bulk flow  and for its calls of one bulk endpoint, where that has a rate of its own
    partner       lease#4#0   one of several books of a rate, once one is too hot   worker_fn/limits/branches.py
    suspended     7#<fingerprint> credentials of an account that the partner refuses worker_fn/accounts/suspensions.py
    cleared       7#<fingerprint> when they were cleared last, and whether by a message that arrived
    progress#7 <id> <part>    which deliveries of a message are done                worker_fn/batch/progress.py
    dsr#<id>      7 <request> when an erasure was accepted and what became of it    shared/receipts.py

An account's id, of an account that has none the empty text, stands in every key that is made of a request's id: two
accounts may have requests of one id.

Everything here can be lost, or out of reach, without losing a message: callers catch StateUnavailable and go on
without it.
"""

import asyncio
import json
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from shared.errors import StateRefused, StateSilent, StateThrottled, StateUnavailable

T = TypeVar("T")

ANSWER_WITHIN_S = 1.0
"""DynamoDB answers in milliseconds: what takes longer is not worth a batch's time."""

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
"""DynamoDB's codes for a call that it would take at no time, and that says nothing of the next one.

A table that is not there, or not ours to use (ResourceNotFound, AccessDenied), takes none: that is an outage, which
ends when somebody mends the deployment.
"""

FLOW = "flow"
PARTNER = "partner"
SUSPENDED = "suspended"
CLEARED = "cleared"


def account_key(account_id: str, endpoint: str | None = None) -> str:
    name = account_id.replace("%", "%25").replace("#", "%23")  # which no account of mParticle's has in its id
    return f"account#{name}" if endpoint is None else f"account#{name}#{endpoint}"


def of_account(account_id: str | None, request_id: str) -> str:
    """A request, told from another account's of the same id; an account's id has no blank in it."""
    return f"{account_id or ''} {request_id}"


def progress_key(account_id: str | None, request_id: str) -> str:
    return f"progress#{of_account(account_id, request_id)}"


def former_progress_key(request_id: str) -> str:
    """As the release before had it, for whichever account the request was."""
    return f"message#{request_id}"


@dataclass(frozen=True, slots=True)
class Item:
    """What stands under a key: JSON values, and the revision that the next writer has to name. None yet: revision 0."""

    rev: int = 0
    value: Mapping[str, Any] = field(default_factory=dict)


class Conflict(Exception):  # no failure: somebody else was first, and `current` is what they wrote
    """Another writer was first."""

    def __init__(self, current: Item) -> None:
        super().__init__("another writer was first")
        self.current = current


class Contended(StateUnavailable):
    """Others were first too often. The table is well; `current` is what it holds."""

    def __init__(self, current: Item) -> None:
        super().__init__("others were first too often")
        self.current = current


class State(Protocol):
    """The table as the worker uses it: DynamoDB, or a dictionary in tests. Every call may raise StateUnavailable."""

    async def read(self, pk: str, sk: str) -> Item:
        """Read one item, as it was written last."""

    async def swap(self, pk: str, sk: str, item: Item, value: Mapping[str, Any], *, expires_at: int | None) -> Item:
        """Replace `item`, as it was read, by a new value. Raises Conflict with what stands there instead."""

    async def delete(self, pk: str, sk: str) -> None:
        """Remove an item; one that is not there is removed already."""

    async def listed(self, pk: str) -> dict[str, Item]:
        """Read all items under a key, by their `sk`."""


OnDate = Callable[[float, float, str], None]
"""Told of the time that an answer carried: when it was asked for and when it came (epoch seconds), and the HTTP date.
"""


class DynamoState:
    """State in DynamoDB. `client` is a boto3 client; each call runs in a thread, so that others go on meanwhile."""

    def __init__(self, client: Any, table: str, *, on_date: OnDate = lambda *_: None) -> None:
        self._client = client
        self._table = table
        self._on_date = on_date

    async def read(self, pk: str, sk: str) -> Item:
        answer = await self._call(self._client.get_item, Key=_key(pk, sk), ConsistentRead=True)
        return _item(answer.get("Item"))

    async def swap(self, pk: str, sk: str, item: Item, value: Mapping[str, Any], *, expires_at: int | None) -> Item:
        new, by = Item(item.rev + 1, value), {"S": secrets.token_hex(8)}
        text = json.dumps(value, separators=(",", ":"))
        row = {**_key(pk, sk), "rev": {"N": str(new.rev)}, "value": {"S": text}, "by": by}
        if expires_at is not None:
            row["expires_at"] = {"N": str(expires_at)}
        if item.rev:
            condition = {
                "ConditionExpression": "rev = :rev",
                "ExpressionAttributeValues": {":rev": {"N": str(item.rev)}},
            }
        else:
            condition = {"ConditionExpression": "attribute_not_exists(pk)"}
        try:
            await self._call(
                self._client.put_item, Item=row, ReturnValuesOnConditionCheckFailure="ALL_OLD", **condition
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            found = error.response.get("Item")
            if found and found.get("by") == by:  # made, its answer lost, and boto3 has tried again
                return new
            raise Conflict(_item(found) if found else await self.read(pk, sk)) from None
        return new

    async def delete(self, pk: str, sk: str) -> None:
        await self._call(self._client.delete_item, Key=_key(pk, sk))

    async def listed(self, pk: str) -> dict[str, Item]:
        rows = await self._all(
            self._client.query,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
        )
        return {row["sk"]["S"]: _item(row) for row in rows}

    async def under(self, prefix: str) -> dict[tuple[str, str], Item]:
        """Read all items whose `pk` begins so, by both their keys: reads the whole table, for a person who asks."""
        return {
            (row["pk"]["S"], row["sk"]["S"]): _item(row)
            for row in await self._all(
                self._client.scan,
                FilterExpression="begins_with(pk, :prefix)",
                ExpressionAttributeValues={":prefix": {"S": prefix}},
            )
        }

    async def _all(self, operation: Callable[..., Any], **arguments: Any) -> list[Mapping[str, Any]]:
        """The rows of all pages, as they were written last."""
        rows: list[Mapping[str, Any]] = []
        start: dict[str, Any] = {}
        while True:
            answer = await self._call(operation, ConsistentRead=True, **arguments, **start)
            rows += answer.get("Items", [])
            if "LastEvaluatedKey" not in answer:
                return rows
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def _call(self, operation: Callable[..., Any], **arguments: Any) -> Any:
        from botocore.exceptions import (  # noqa: PLC0415 - ingest reads this module without boto3
            BotoCoreError,
            ClientError,
            ParamValidationError,
        )

        def call() -> Any:
            asked_s = time.time()
            answer = operation(TableName=self._table, **arguments)
            date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
            if date:
                self._on_date(asked_s, time.time(), date)
            return answer

        try:
            return await asyncio.to_thread(call)
        except self._client.exceptions.ConditionalCheckFailedException:
            raise
        except (ParamValidationError, UnicodeError):
            raise StateRefused("the state table has no form for this item") from None
        except (BotoCoreError, ClientError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
            if code in THROTTLES:
                raise StateThrottled("the state table is throttled") from None
            if code in REFUSALS:
                raise StateRefused(f"the state table does not take this item ({code})") from None
            raise StateUnavailable(f"the state table does not answer ({type(error).__name__})") from None


class Patient:
    """A state table that is left alone for a while after it did not answer: its callers' time is worth more than a try.

    One call that fails costs a batch its time-out; without this, fifty messages would cost it fifty.
    """

    def __init__(
        self, state: State, *, now_ms: Callable[[], int], first_pause_ms: int = 500, longest_pause_ms: int = 5_000
    ) -> None:
        self._state = state
        self._now_ms = now_ms
        self._first_pause_ms = first_pause_ms
        self._longest_pause_ms = longest_pause_ms
        self._failures = 0
        self._silent_until_ms = 0
        self._is_throttled = False

    async def read(self, pk: str, sk: str) -> Item:
        return await self._try(self._state.read, pk, sk)

    async def swap(self, pk: str, sk: str, item: Item, value: Mapping[str, Any], *, expires_at: int | None) -> Item:
        return await self._try(self._state.swap, pk, sk, item, value, expires_at=expires_at)

    async def delete(self, pk: str, sk: str) -> None:
        await self._try(self._state.delete, pk, sk)

    async def listed(self, pk: str) -> dict[str, Item]:
        return await self._try(self._state.listed, pk)

    async def _try(self, operation: Callable[..., Awaitable[T]], *arguments: Any, **named: Any) -> T:
        if (wait_ms := self._silent_until_ms - self._now_ms()) > 0:
            raise StateSilent(wait_ms, is_throttled=self._is_throttled)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                answer = await operation(*arguments, **named)
        except StateRefused:  # an answer: the table is there
            self._failures = 0
            raise
        except (StateUnavailable, TimeoutError) as error:  # no Contended comes from a single call
            pause_ms = min(self._longest_pause_ms, self._first_pause_ms * 2 ** min(self._failures, 10))
            self._failures += 1
            self._silent_until_ms = self._now_ms() + pause_ms
            self._is_throttled = isinstance(error, StateThrottled)
            if self._is_throttled:
                raise
            raise StateUnavailable("the state table does not answer") from None
        self._failures = 0
        return answer


async def change(
    state: State,
    pk: str,
    sk: str,
    function: Callable[[Mapping[str, Any]], tuple[Mapping[str, Any], T]],
    *,
    rng: random.Random,
    known: Item | None = None,
    expires_at: int | None = None,
    tries: int = 10,
    on_lost: Callable[[], None] = lambda: None,
) -> tuple[Item, T]:
    """Run `function` on an item's value and write what it makes of it, again on what others wrote if they were first.

    `known` saves the read when it is still what stands there. Nothing is written when nothing changes. `on_lost` is
    called for each race that is lost. Raises StateUnavailable; of these, Contended when others are first `tries` times
    in a row.
    """
    item = known if known is not None else await state.read(pk, sk)
    for attempt in range(tries):
        value, result = function(item.value)
        if value == item.value:
            return item, result
        try:
            return await state.swap(pk, sk, item, value, expires_at=expires_at), result
        except Conflict as conflict:
            item = conflict.current
            if attempt or known is None:  # else it was only old, what was known
                on_lost()
            await asyncio.sleep(rng.uniform(0, 0.02 * (attempt + 1)))
    raise Contended(item)


def _key(pk: str, sk: str) -> dict[str, dict[str, str]]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _item(row: Mapping[str, Any] | None) -> Item:
    return Item(int(row["rev"]["N"]), json.loads(row["value"]["S"])) if row else Item()
