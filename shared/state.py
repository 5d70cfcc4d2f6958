"""The only module that talks to DynamoDB: what the fleet remembers together.

One table, keys `pk` and `sk`; every item is small, and all but the partner's own expire by TTL (`expires_at`, seconds):

    partner       flow        rate, limit, cool-down, breaker of the partner        worker_fn/limits/agreement.py
    account#7     flow        the same for one account, where the partner limits accounts
    account#7#events/bulk flow  and for its calls of one bulk endpoint, where that has a rate of its own
    suspended     7#<fingerprint> credentials of an account that the partner refuses worker_fn/accounts/suspensions.py
    cleared       7#<fingerprint> when they were cleared last, and whether by a message that arrived
    progress#7 <id> <part>    which deliveries of a message are done                worker_fn/batch/progress.py
    trail         <ms>#<hex>  what an operator did, who and why                     ops/operate/trail.py
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
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
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
TRAIL = "trail"


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


COOL_UNTIL, COOL_FROM = "cu", "cf"
"""The counts of a cool-down: until when, and when that was asked for (ms since the epoch)."""


@dataclass(frozen=True, slots=True)
class Item:
    """What stands under a key: JSON values, and the revision that the next writer has to name. None yet: revision 0.

    `counts` are numbers beside the value, by short names. They can be added to whoever else does, and without naming
    a revision.
    """

    rev: int = 0
    value: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


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


NO_COUNTS: Mapping[str, int] = MappingProxyType({})


class State(Protocol):
    """The table as the worker uses it: DynamoDB, or a dictionary in tests. Every call may raise StateUnavailable."""

    async def read(self, pk: str, sk: str) -> Item:
        """Read one item, as it was written last."""

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
        """Replace the value of `item`, as it was read, by a new one; add to its counts and drop some of them, which may
        have changed since. Raises Conflict with what stands there instead.
        """

    async def add(
        self, pk: str, sk: str, counts: Mapping[str, int], *, drop: Collection[str] = (), expires_at: int | None
    ) -> Item:
        """Add to counts, whoever else does, and drop some others; gives the item as it is then."""

    async def raise_to(
        self, pk: str, sk: str, until_ms: int, *, since_ms: int, counts: Mapping[str, int], expires_at: int | None
    ) -> Item:
        """Make a cool-down last until then, and add to counts. Raises Conflict where a longer one stands."""

    async def delete(self, pk: str, sk: str) -> None:
        """Remove an item; one that is not there is removed already."""

    async def listed(self, pk: str) -> dict[str, Item]:
        """Read all items under a key, by their `sk`."""


Sets = Mapping[str, int | str | None]
"""What an update sets, by attribute; None: nothing."""

FIRST_REV = 1
FIRST: Mapping[str, int | str] = MappingProxyType({"rev": FIRST_REV, "value": "{}"})
"""What an item has beside its first counts: releases before that of the counts read no item without it."""

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
        except self._client.exceptions.ConditionalCheckFailedException as error:
            found = error.response.get("Item")
            if found and found.get("by") == {"S": by}:  # made, its answer lost, and boto3 has tried again
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
        except self._client.exceptions.ConditionalCheckFailedException as error:
            found = error.response.get("Item")
            raise Conflict(item_of(found) if found else await self.read(pk, sk)) from None

    async def _update(
        self,
        key: Mapping[str, Any],
        sets: "Sets",
        counts: Mapping[str, int],
        drop: Collection[str],
        *,
        first: Mapping[str, int | str] = NO_COUNTS,
        condition: str = "",
        expected: Mapping[str, int] = NO_COUNTS,
    ) -> Mapping[str, Any]:
        """One UpdateItem; gives the row as it is then. `first` is set where it is missing; `expected` are the values
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
            self._client.update_item,
            Key=key,
            UpdateExpression=" ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts),
            ExpressionAttributeNames={f"#{name}": name for name in (*given, *first, *counts, *drop)},
            ReturnValues="ALL_NEW",
            **arguments,
        )
        row: Mapping[str, Any] = answer.get("Attributes", {})
        return row

    async def delete(self, pk: str, sk: str) -> None:
        await self._call(self._client.delete_item, Key=_key(pk, sk))

    async def listed(self, pk: str) -> dict[str, Item]:
        rows = await self._all(
            self._client.query,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
        )
        return {row["sk"]["S"]: item_of(row) for row in rows}

    async def under(self, prefix: str) -> dict[tuple[str, str], Item]:
        """Read all items whose `pk` begins so, by both their keys: reads the whole table, for a person who asks."""
        return {
            (row["pk"]["S"], row["sk"]["S"]): item_of(row)
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
        return await self._try(self._state.swap, pk, sk, item, value, expires_at=expires_at, counts=counts, drop=drop)

    async def add(
        self, pk: str, sk: str, counts: Mapping[str, int], *, drop: Collection[str] = (), expires_at: int | None
    ) -> Item:
        return await self._try(self._state.add, pk, sk, counts, drop=drop, expires_at=expires_at)

    async def raise_to(
        self, pk: str, sk: str, until_ms: int, *, since_ms: int, counts: Mapping[str, int], expires_at: int | None
    ) -> Item:
        return await self._try(
            self._state.raise_to, pk, sk, until_ms, since_ms=since_ms, counts=counts, expires_at=expires_at
        )

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
) -> tuple[Item, T]:
    """Run `function` on an item's value and write what it makes of it, again on what others wrote if they were first.

    `known` saves the read when it is still what stands there. Nothing is written when nothing changes. Raises
    StateUnavailable; of these, Contended when others are first `tries` times in a row.
    """

    def on_item(item: Item) -> tuple[Item, T]:
        value, result = function(item.value)
        return replace(item, value=value), result

    return await change_item(state, pk, sk, on_item, rng=rng, known=known, expires_at=expires_at, tries=tries)


async def change_item(
    state: State,
    pk: str,
    sk: str,
    function: Callable[[Item], tuple[Item, T]],
    *,
    rng: random.Random,
    known: Item | None = None,
    expires_at: int | None = None,
    tries: int = 10,
) -> tuple[Item, T]:
    """Do what `change` does to an item with its counts: what the function took from them or added is taken and added,
    and what others added meanwhile stays.
    """
    item = known if known is not None else await state.read(pk, sk)
    for attempt in range(tries):
        after, result = function(item)
        if (after.value, after.counts) == (item.value, item.counts):
            return item, result
        moved = {name: count - item.counts.get(name, 0) for name, count in after.counts.items()}
        counts = {name: count for name, count in moved.items() if count}
        drop = sorted(set(item.counts) - set(after.counts))
        try:
            written = await state.swap(pk, sk, item, after.value, expires_at=expires_at, counts=counts, drop=drop)
        except Conflict as conflict:
            item = conflict.current
            await asyncio.sleep(rng.uniform(0, 0.02 * (attempt + 1)))
        else:
            return written, result
    raise Contended(item)


def _key(pk: str, sk: str) -> dict[str, dict[str, str]]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def item_of(row: Mapping[str, Any] | None) -> Item:
    """An item out of DynamoDB's attributes."""
    if not row:
        return Item()
    rev, value = row.get("rev", {"N": "0"}), row.get("value", {"S": "{}"})
    counts = {name: int(cell["N"]) for name, cell in row.items() if "N" in cell and name not in NO_COUNT}
    return Item(int(rev["N"]), json.loads(value["S"]), counts)


NO_COUNT = frozenset({"rev", "expires_at"})
"""The attributes that are numbers and no counts."""


def _typed(value: int | str) -> dict[str, str]:
    return {"S": value} if isinstance(value, str) else {"N": str(value)}
