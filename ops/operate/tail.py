"""`spillway tail`: follow what both functions write of messages and of the fleet, a line a fact."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.console.moments import moment_of
from ops.operate import facts
from ops.operate.facts import Logs, Reading, Told
from shared.telemetry import Fact

EVERY_S = 2.0
OVERLAP_MS = 15_000
"""CloudWatch takes in a line some seconds after it was written: so far back each look begins."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is followed; empty: everything. A line of many messages has no account: it is shown where none is asked."""

    accounts: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()

    def has(self, told: Told) -> bool:
        return (
            (not self.accounts or str(told.fields.get("account_id")) in self.accounts)
            and (not self.ends or told.kind in self.ends)
            and (not self.functions or told.function in self.functions)
        )


@dataclass(slots=True)
class _Seen:
    """What was shown already: lines come in late, so looks overlap."""

    told: dict[tuple[int, str, str], None] = field(default_factory=dict)

    def is_new(self, one: Told) -> bool:
        key = (one.at_ms, one.function, repr(sorted(one.fields.items())) + one.kind)
        if key in self.told:
            return False
        self.told[key] = None
        return True

    def forget(self, before_ms: int) -> None:
        self.told = {key: None for key in self.told if key[0] >= before_ms}


def follow(
    logs: Logs,
    wanted: Wanted,
    *,
    since_ms: int,
    looks: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Told]:
    """Yield facts as they come, for ever or for so many looks. Raises StackUnavailable."""
    seen, from_ms = _Seen(), since_ms
    while looks is None or looks > 0:
        reading = Reading()
        found = sorted(facts.read(logs, since_ms=from_ms, reading=reading), key=lambda told: told.at_ms)
        yield from (told for told in found if seen.is_new(told) and wanted.has(told))
        if found:
            from_ms = max(from_ms, found[-1].at_ms - OVERLAP_MS)
            seen.forget(from_ms)
        looks = None if looks is None else looks - 1
        if looks != 0:
            sleep(EVERY_S)


def line_of(told: Told) -> str:
    """A fact in one line: the time, who, what, and its fields as they were written."""
    moment = moment_of(told.at_ms)
    clock = f"{moment:%H:%M:%S}" if moment else "no time"
    return f"{clock} {told.function:<6} {told.kind:<11} {_fields(told.kind, told.fields)}"


def _fields(kind: str, fields: Mapping[str, Any]) -> str:
    if kind == Fact.DELIVERED:
        messages: Collection[Any] = fields.get("messages", ())
        first = next(iter(messages), "")
        return f"{len(messages)} messages, {first} first" if len(messages) > 1 else str(first)
    return " ".join(f"{name}={_value(value)}" for name, value in fields.items())


def _value(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
