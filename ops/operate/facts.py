"""The facts that both functions wrote, read from CloudWatch Logs, within bounds on time and pages."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from ops.operate.stack import Stack, StackUnavailable

FUNCTIONS = ("ingest", "worker")
ALL = "{ $.fact = * }"
"""CloudWatch's filter pattern for every fact."""
PAGE = 10_000
"""CloudWatch's most for one page, or 1 MB."""
MOST_PAGES, LONGEST_S = 1_000, 60.0
"""The most pages of each function's log that a look reads, and the longest time."""
PAUSES_S = (2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses of a command that waits while CloudWatch takes no call: longer each time, the last one again and again."""
BUSY = frozenset({"LimitExceededException", "ServiceUnavailableException", "Throttling", "ThrottlingException"})
"""CloudWatch's codes for a call that it would take at another time."""
SERVER_ERROR = 500
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
MOST_PARTS = 9_999
"""The most parts of a request; ingest makes a few hundred at most."""
LISTS, NUMBERS = ("messages", "keys", "event_ids"), ("parts", "events", "bytes", "retry_after_s", "age_s")
"""The fields of a fact that are lists or numbers, not texts."""
MOST_COUNTED = 10**12
"""The largest number in a line: no bytes, events or seconds of Spillway's are more, and sums of them stay numbers."""
ADDED_BY_LAMBDA = frozenset({"timestamp", "level", "requestId"})
"""Fields that Lambda may add to a line in its JSON format; no fact has them."""
MOST_CHARS = 1_000
"""The longest id: a filter pattern takes 1,024 characters."""


_PLAIN = re.compile(r"[ !#-\[\]-~]+")


class LogsBusy(StackUnavailable):
    """CloudWatch takes no call now, or is out of reach, because of `cause`: the same call may succeed later."""

    def __init__(self, text: str, cause: str) -> None:
        super().__init__(text)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Told:
    """A fact that `function` wrote, as the log has it."""

    at_ms: int
    function: str
    kind: str
    fields: Mapping[str, Any]


@dataclass(slots=True)
class Reading:
    """How far a look through the logs got."""

    pages: int = 0
    lines: int = 0
    bounded_by: str = ""
    """The bound that ended it before all was read."""


def phrase(text: str) -> str:
    """A filter pattern for all lines that hold a text: its longest run of characters that neither JSON nor patterns
    change. Raises StackUnavailable for a text that can be no id.
    """
    if not 0 < len(text) <= MOST_CHARS or not text.isprintable():
        raise StackUnavailable("an id is a text of at most 1,000 printable characters")
    run = max(_PLAIN.findall(text), key=len, default="")
    return f'"{run}"' if run.strip() else ALL


@dataclass(frozen=True, slots=True)
class Logs:
    """CloudWatch Logs, and what AWS calls each function."""

    client: Any
    names: Mapping[str, str]

    @classmethod
    def of(cls, stack: Stack) -> Self:
        return cls(stack.client("logs"), names_in(stack.outputs))


def names_in(outputs: Mapping[str, str]) -> dict[str, str]:
    """What AWS calls each function, by the outputs of a stack."""
    return {one: outputs[f"{one.title()}AliasArn"].split(":")[6] for one in FUNCTIONS}


def read(
    logs: Logs,
    *,
    since_ms: int,
    until_ms: int | None = None,
    pattern: str = ALL,
    reading: Reading | None = None,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float, str], None] | None = None,
) -> Iterator[Told]:
    """Yield the facts of a time range, function by function. Raises StackUnavailable.

    `wait` makes it wait, for as long as CloudWatch takes no call, and go on where it was; it is told for how long, and
    the cause.
    """
    reading = reading or Reading()
    ends_s = clock() + LONGEST_S

    def page(asked: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal ends_s
        pauses_s = chain(PAUSES_S, repeat(PAUSES_S[-1]))
        while True:
            try:
                return _page(logs.client, asked)
            except LogsBusy as busy:
                if wait is None:
                    raise
                began_s = clock()
                wait(next(pauses_s), busy.cause)
                ends_s += clock() - began_s

    for function, name in logs.names.items():
        asked = {"logGroupName": f"/aws/lambda/{name}", "startTime": since_ms, "limit": PAGE, "filterPattern": pattern}
        if until_ms is not None:
            asked["endTime"] = until_ms
        for event in _events(page, asked, reading, lambda: clock() > ends_s):
            for told in facts_in(event["message"], function, event["timestamp"]):
                reading.lines += 1
                yield told


def facts_in(message: str, function: str, at_ms: int) -> Iterator[Told]:
    """The facts in an event of the log, which may hold several lines; lines that are no facts, such as those of a
    partner's code, are ignored.
    """
    for line in message.splitlines():
        if '"fact"' not in line:
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(fields, dict) and isinstance(fields.get("fact"), str) and _is_of_ours(fields):
            own = {name: value for name, value in fields.items() if name not in ADDED_BY_LAMBDA}
            yield Told(at_ms, function, own.pop("fact"), own)


def _is_of_ours(fields: Mapping[str, Any]) -> bool:
    lists, numbers = ([fields[name] for name in names if name in fields] for names in (LISTS, NUMBERS))
    return (
        all(isinstance(one, list) for one in lists)
        and all(_counts(one) for one in numbers)
        and fields.get("parts", 1) in range(1, MOST_PARTS + 1)
    )


def _counts(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MOST_COUNTED


def _events(
    page: Callable[[Mapping[str, Any]], dict[str, Any]],
    asked: dict[str, Any],
    reading: Reading,
    is_late: Callable[[], bool],
) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()  # of the last page
    while True:
        if reading.pages >= MOST_PAGES or is_late():
            reading.bounded_by = f"{MOST_PAGES:,} pages" if reading.pages >= MOST_PAGES else f"{LONGEST_S:.0f} s"
            return
        answer = page(asked)
        reading.pages += 1
        fresh = [event for event in answer["events"] if _identity(event) not in seen]
        yield from fresh
        if token := answer.get("nextToken"):
            asked["nextToken"] = token
        elif len(answer["events"]) == PAGE and fresh:  # an embedded AWS gives no token: go on from the last one
            asked["startTime"] = answer["events"][-1]["timestamp"]
            seen = set(map(_identity, answer["events"]))
        else:
            return


def _identity(event: Mapping[str, Any]) -> str:
    """Tells an event from others; an embedded AWS gives them no ids."""
    return str(event.get("eventId") or (event["timestamp"], event.get("logStreamName"), event["message"]))


def _page(client: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = client.filter_log_events(**asked)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ResourceNotFoundException":  # a function that was never called has no log yet
            return {"events": []}
        what = "logs:FilterLogEvents is needed, as infra/operator-policy.json has it"
        what = what if code in DENIED else "give the same command again"
        is_busy = code in BUSY or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= SERVER_ERROR
        text = f"the log {asked['logGroupName']} cannot be read ({code}): {what}"
        raise (LogsBusy(text, code) if is_busy else StackUnavailable(text)) from None
    except BotoCoreError as error:
        name, is_busy = type(error).__name__, isinstance(error, HTTPClientError | NoConnection)
        text = f"the log {asked['logGroupName']} cannot be read ({name}): give the same command again"
        raise (LogsBusy(text, name) if is_busy else StackUnavailable(text)) from None
    return answer
