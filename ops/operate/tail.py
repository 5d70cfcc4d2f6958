"""`spillway tail`: follow the facts that both functions write about messages and the fleet, a line for each."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rich.text import Text

from ops.console.moments import moment_of
from ops.console.screen import BAD, DIM, WARN
from ops.console.terminal import safe, say
from ops.operate import facts
from ops.operate.dlq.forecast import only_its_name
from ops.operate.facts import Logs, Reading, Told
from ops.operate.stack import Stack, refusal_as
from shared.errors import InvalidSettings
from shared.ledger import read_entry
from shared.telemetry import Fact

EVERY_S = 2.0
REQUESTS_KNOWN = 100_000
"""The most requests that are remembered of the accounts that are followed."""
OVERLAP_MS = 15_000
"""How far back each look begins: CloudWatch takes in a line some seconds after it was written."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The facts to follow; empty: everything."""

    accounts: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()

    def has(self, told: Told) -> bool:
        """Whether to show a line, without regard to its account."""
        return (not self.ends or told.kind in self.ends) and (not self.functions or told.function in self.functions)


@dataclass(slots=True)
class _Accounts:
    """Which account each request belongs to, by the facts so far: a line of many messages names no account."""

    wanted: frozenset[str]
    requests: dict[str, None] = field(default_factory=dict)
    """Those of the wanted accounts, the last ones."""

    def part_of(self, told: Told) -> Told | None:
        """The line with only the messages of these accounts; None if there are none."""
        account_id, messages = told.fields.get("account_id"), told.fields.get("messages")
        if not self.wanted:
            return told
        if told.kind == Fact.ACCEPTED or told.fields.get("request_id"):
            if str(account_id) in self.wanted:
                self.requests[str(told.fields.get("request_id"))] = None
                if len(self.requests) > REQUESTS_KNOWN:
                    del self.requests[next(iter(self.requests))]
                return told
            is_theirs = account_id is None and str(told.fields.get("request_id")) in self.requests
            return told if is_theirs else None
        theirs = [one for one in messages or () if _request_of(told.kind, str(one)) in self.requests]
        return replace(told, fields={**told.fields, "messages": theirs}) if theirs else None


def _request_of(kind: str, entry: str) -> str:
    """The request of a message in a line of several."""
    if kind != Fact.DELIVERED:
        return entry.rpartition(" ")[0]
    read = read_entry(entry)
    return read[0][0] if read is not None else ""


@dataclass(slots=True)
class _Seen:
    """The lines that were shown already: lines come in late, so looks overlap."""

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
    """Yield facts as they come, for ever or for a number of looks; while CloudWatch takes no call, wait. Raises
    StackUnavailable.
    """

    def wait(pause_s: float, cause: str) -> None:
        say(safe(f"CloudWatch Logs takes no call now ({cause}): it is asked again in {pause_s:.0f} s"), err=True)
        sleep(pause_s)

    seen, accounts, from_ms = _Seen(), _Accounts(wanted.accounts), since_ms
    while looks is None or looks > 0:
        reading = Reading()
        found = sorted(facts.read(logs, since_ms=from_ms, reading=reading, wait=wait), key=lambda told: told.at_ms)
        theirs = filter(None, (accounts.part_of(told) for told in found if seen.is_new(told)))
        yield from filter(wanted.has, theirs)
        if found:
            from_ms = max(from_ms, found[-1].at_ms - OVERLAP_MS)
            seen.forget(from_ms)
        looks = None if looks is None else looks - 1
        if looks != 0:
            sleep(EVERY_S)


def check_partner(stack: Stack, asked: str) -> None:
    """Check that the stage's only partner is the expected one. Raises InvalidSettings, StackUnavailable."""
    with refusal_as("which partner the stage has is not known: the worker's settings cannot be read ({})"):
        found = stack.client("lambda").get_function_configuration(FunctionName=stack.output("WorkerAliasArn"))
    name = only_its_name(found.get("Environment", {}).get("Variables", {}))
    if asked not in {name, name.rpartition(".")[2]}:
        raise InvalidSettings(f"the stage {stack.stage} delivers to {name}: choose another --stage")


def line_of(told: Told) -> Text:
    """A fact in one line: the time, the function, the kind, and its fields as they were written, the account first."""
    moment = moment_of(told.at_ms)
    clock = f"{moment:%H:%M:%S}" if moment else "no time"
    kind = (safe(f"{told.kind:<11}"), _STYLES.get(told.kind, ""))
    return Text.assemble((clock, DIM), f" {told.function:<6} ", kind, " ", safe(_fields(told.kind, told.fields)))


_STYLES: Mapping[str, str] = {
    Fact.DEAD_LETTER: BAD,
    Fact.UNSETTLED: BAD,
    Fact.WAIT: WARN,
    Fact.PARKED: WARN,
    Fact.ATTEMPT: WARN,
    Fact.SUSPENDED: WARN,
    Fact.BREAKER: WARN,
}
_IDS = frozenset({"request_id", "message_id", "messages", "keys"})


def _fields(kind: str, fields: Mapping[str, Any]) -> str:
    if kind == Fact.DELIVERED:
        messages: Collection[Any] = fields.get("messages", ())
        first = next(iter(messages), "")
        return f"{len(messages)} messages, {first} first" if len(messages) > 1 else str(first)
    ordered = sorted(fields, key=lambda name: (name != "account_id", name in _IDS))
    return " ".join(f"{name}={_value(fields[name])}" for name in ordered)


def _value(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
