"""`spillway status`: one screen that says what is wrong, how much is where, and why nothing moves. Reads only.

Rates are those of the last minutes that the facts tell of; depths are SQS's, which are rough.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.console.moments import ago, ahead, as_utc
from ops.console.screen import BAD, DIM, GOOD, WARN
from ops.console.terminal import safe
from ops.operate import by_hand, facts, oldest
from ops.operate.by_hand import Turned
from ops.operate.depth import Depth, depth
from ops.operate.facts import Logs, Reading
from ops.operate.pause import Pause
from ops.operate.stack import Stack
from ops.operate.suspensions import Suspended, summed_up
from shared.errors import StateUnavailable
from shared.ledger import WHOLE, read_entry
from shared.state import BY_HAND, FLOW, PARTNER, SUSPENDED, Item, account_key
from shared.telemetry import Fact
from worker_fn.accounts.suspension import by_account
from worker_fn.clients.mapping import HOLD
from worker_fn.limits import agreement
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.breaker import is_by_hand
from worker_fn.limits.flow import Flow

LATELY_MS = 300_000
"""Rates and reasons are of so long."""
MANY_LINES = 5
"""Accounts that are named; the others are counted."""
STATE, UNKNOWN = "state", "not known"
FAILS_OFTEN = 3
"""Messages of an account that wait for failed calls, from which on it is named."""


@dataclass(frozen=True, slots=True)
class Lately:
    """What the facts tell of the last minutes; `minutes` is how many."""

    minutes: float = 5.0
    accepted: int = 0
    delivered: int = 0
    """In messages."""
    dead: Mapping[str, int] = field(default_factory=dict)
    waits: Mapping[str, int] = field(default_factory=dict)
    failing: Mapping[str, int] = field(default_factory=dict)
    """Messages that wait for failed calls, by account."""
    oldest_ms: int | None = None
    """When the oldest of those that wait was accepted, of what workers or CloudWatch told of lately."""
    bounded_by: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """All that the screen shows. None, or nothing, where it could not be read: `unread` says what."""

    stage: str
    now_ms: int
    queue: Depth = field(default_factory=Depth)
    parking: Depth = field(default_factory=Depth)
    dead: Depth = field(default_factory=Depth)
    flow: Flow = field(default_factory=Flow)
    allowed_per_s: float | None = None
    used: float | None = None
    """The share of these calls that was taken in the last seconds."""
    pause: Pause | None = None
    turned: Sequence[Turned] = ()
    """What operators set beside a pause, the partner's first."""
    mapping: str = ""
    """AWS's word: Enabled, Disabled, ..."""
    suspended: Sequence[Suspended] = ()
    account_cool_downs: Mapping[str, int] = field(default_factory=dict)
    """Until when accounts are left alone."""
    lately: Lately = field(default_factory=Lately)
    serves: Sequence[str] = ()
    unread: Sequence[str] = ()
    unknown: Collection[str] = ()
    """What stands here empty because it could not be read: `queue`, `parking`, `dead`, `state`, ..."""


def look(stack: Stack, *, now_ms: int) -> Status:
    """Read it all. What AWS refuses is named and left empty; raises StackUnavailable where the logs cannot be read."""
    unread: dict[str, str] = {}
    found: dict[str, Any] = {}
    sqs = stack.client("sqs")
    for name, output in (("queue", "QueueUrl"), ("parking", "ParkingQueueUrl"), ("dead", "DlqUrl")):
        asked = partial(depth, sqs, stack.output(output))
        found[name] = _or_note(unread, name, "sqs:GetQueueAttributes", asked)
    found |= _or_note(unread, STATE, "dynamodb:Query", lambda: _of_state(stack, now_ms)) or {}
    found["mapping"] = _or_note(unread, "mapping", "lambda:GetEventSourceMapping", lambda: _mapping(stack))
    found["serves"] = _or_note(unread, "serves", "lambda:GetAlias", lambda: _aliases(stack))
    lately = _lately(stack, now_ms)
    told_ms = _or_note(unread, "oldest", "cloudwatch:GetMetricData", lambda: oldest.accepted_ms(stack, now_ms))
    if told_ms is not None and any(one and one.all for one in (found["queue"], found["parking"])):
        lately = replace(lately, oldest_ms=min(told_ms, lately.oldest_ms or told_ms))
    known = {name: one for name, one in found.items() if one is not None}
    actions = list(dict.fromkeys(unread.values()))
    return Status(stack.stage, now_ms, lately=lately, unread=actions, unknown=list(unread), **known)


def as_json(status: Status) -> str:
    return json.dumps({"says": sentence(status)[1], **asdict(status)}, indent=2, default=str, ensure_ascii=False)


def sentence(status: Status) -> tuple[str, str]:
    """What is wrong, the worst first, and how bad that is (a style). What was not read is not said to be well."""
    well = (GOOD, "All is well: what is accepted is delivered.")
    if status.unread:
        well = (WARN, f"Nothing wrong is seen, but not all was read: {', '.join(status.unread)}.")
    return next(_wrongs(status), well)


def _wrongs(status: Status) -> Iterator[tuple[str, str]]:
    yield from _stops(status)
    yield from _troubles(status)


def _stops(status: Status) -> Iterator[tuple[str, str]]:
    """Why nothing is delivered at all."""
    now_ms, fleet = status.now_ms, status.flow.breaker
    if status.pause is not None:
        yield WARN, f"Nothing is delivered: an operator {status.pause.said(now_ms)}."
    if stopped := _of_everybody(status, by_hand.OPEN):
        yield WARN, f"Nothing is delivered: an operator opened the breaker{_until(stopped, now_ms)}."
    elif fleet.is_open and fleet.by_hand_until_ms:  # nobody has tried it since
        yield WARN, "The breaker that an operator opened is over its time: the next message finds out, as a probe."
    elif fleet.is_open and fleet.opened_ms is not None:
        said = f", its last answer was {fleet.said}" if fleet.said else ""
        yield BAD, f"The partner is down: the breaker is open for {_since(fleet.opened_ms, now_ms)}{said}."
    if status.flow.cool_until_ms > now_ms:
        yield WARN, f"The partner asked for a pause: calls go on {ahead(status.flow.cool_until_ms, now_ms)}."
    if status.mapping.startswith("Disabl"):
        yield BAD, "Nothing is fetched from the queue: the mapping is off, and no pause of an operator stands."


def _troubles(status: Status) -> Iterator[tuple[str, str]]:
    """What is not delivered as it should be."""
    if total := sum(status.lately.dead.values()):
        yield BAD, f"{_messages(total)} dead-lettered in the last minutes: {_named(status.lately.dead)}."
    if status.suspended:
        yield WARN, f"The credentials of {_accounts(len(status.suspended))} are refused; their messages are parked."
    if status.lately.failing:
        yield WARN, f"Calls fail for {_accounts(len(status.lately.failing))}: {_of_accounts(status.lately.failing)}."
    if limited := _of_everybody(status, by_hand.LIMIT):
        yield WARN, f"An operator limits all calls to {limited.per_second:g} a second{_until(limited, status.now_ms)}."
    drain = drain_s(status)
    if status.queue.all and not status.lately.delivered:
        yield WARN, f"{_messages(status.queue.all)} in the queue, and none was delivered in the last minutes."
    if drain is None and status.queue.all > status.lately.delivered / status.lately.minutes:
        yield WARN, f"A backlog of {status.queue.all:,} messages, which does not shrink."
    if drain is not None and drain > LATELY_MS / 1_000:
        yield WARN, f"A backlog of {status.queue.all:,} messages; at this rate it is gone in {_length(drain)}."
    if status.dead.all:
        yield WARN, f"{_messages(status.dead.all)} in the dead-letter queue: `spillway dlq summary` says why."


def drain_s(status: Status) -> float | None:
    """When the queue is empty at the present rates, in seconds; None while it does not shrink, or nobody delivers."""
    if not status.queue.all:
        return 0.0
    gained = (status.lately.delivered - status.lately.accepted) / (60 * status.lately.minutes)
    return status.queue.all / gained if gained > 0 else None


def show(status: Status, console: Console) -> None:
    """Print the screen; at 80 columns every line is one."""
    style, said = sentence(status)
    console.print(Text(safe(said), style=f"bold {style}"))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(width=12, no_wrap=True, style=DIM)
    table.add_column(overflow="fold")
    for name, text in rows(status):
        table.add_row(name, Text(safe(text)))
    console.print(table)


def rows(status: Status) -> Iterator[tuple[str, str]]:
    """The screen's lines, each with its name."""
    now_ms, lately, flow = status.now_ms, status.lately, status.flow
    minutes = lately.minutes
    yield (
        "a minute",
        f"{lately.accepted / minutes:,.0f} accepted, {lately.delivered / minutes:,.0f} delivered (messages)",
    )
    yield from _of_queue(status)
    if lately.oldest_ms is not None:
        yield "oldest", f"{_since(lately.oldest_ms, now_ms)} since its request was accepted, of what waits or is parked"
    yield "parked", UNKNOWN if "parking" in status.unknown else f"about {status.parking.all:,}"
    reasons = f"; lately {_named(lately.dead)}" if lately.dead else ""
    dead = UNKNOWN if "dead" in status.unknown else f"about {status.dead.all:,}"
    yield "dead letters", dead + reasons
    yield "allowed", UNKNOWN if STATE in status.unknown else _allowed(status)
    yield from _of_operators(status, by_hand.LIMIT)
    yield "breaker", UNKNOWN if STATE in status.unknown else _breaker(flow, now_ms)
    yield from _of_operators(status, by_hand.OPEN, by_hand.CLOSED)
    if flow.cool_until_ms > now_ms:
        yield "cool-down", f"until {as_utc(flow.cool_until_ms)} UTC, {ahead(flow.cool_until_ms, now_ms)}"
    intake = status.mapping or UNKNOWN
    if status.pause:
        since_ms = status.pause.since_ms
        yield "intake", f"paused since {as_utc(since_ms)} UTC, {ago(since_ms, now_ms)}"
        yield "", f"by {status.pause.by}: {status.pause.why}"
    else:
        by = "whether somebody paused it is not known" if STATE in status.unknown else "nobody paused it"
        yield "intake", f"{intake.lower()}; {by}"
    if lately.waits:
        yield "waits", _named(lately.waits)
    for one in status.suspended[:MANY_LINES]:
        yield "suspended", f"account {one.account_id}: HTTP {one.status}, {ago(one.since_ms, now_ms)}"
    if len(status.suspended) > MANY_LINES:
        yield "", f"and {len(status.suspended) - MANY_LINES:,} more: spillway suspensions"
    if lately.failing:
        yield "failing", "messages of accounts: " + _of_accounts(lately.failing)
    for account_id, until_ms in list(status.account_cool_downs.items())[:MANY_LINES]:
        yield "left alone", f"account {account_id}, {ahead(until_ms, now_ms)}"
    for line in status.serves:
        yield "serves", line
    for line in status.unread:
        yield "not read", f"{line} is not allowed, or gave no answer"
    if lately.bounded_by:
        yield "not read", f"all of the log: {lately.bounded_by} were over"


def _of_queue(status: Status) -> Iterator[tuple[str, str]]:
    if "queue" in status.unknown:
        yield "queue", UNKNOWN
    else:
        yield "queue", f"about {status.queue.visible:,} visible, {status.queue.hidden:,} in flight or waiting"
        yield "", _drains(status)


def lately_of(told: Sequence[facts.Told], *, minutes: float, bounded_by: str = "") -> Lately:
    """Sum up the facts of some minutes."""
    accepted = delivered = 0
    dead, waits = Counter[str](), Counter[str]()
    failing: dict[str, set[str]] = {}
    first_ms: dict[str, int] = {}
    waiting: dict[tuple[str, str], int] = {}
    for one in sorted(told, key=lambda one: one.at_ms):
        request_id = str(one.fields.get("request_id") or "")
        message = (request_id, str(one.fields.get("part") or WHOLE))
        if one.kind == Fact.ACCEPTED:
            accepted += int(one.fields.get("parts") or 1)
            first_ms.setdefault(request_id, one.at_ms)
        elif one.kind == Fact.DELIVERED:
            for entry in one.fields.get("messages", ()):
                delivered += 1
                if (read := read_entry(str(entry))) is not None:
                    waiting.pop(read[0], None)
        elif one.kind == Fact.DEAD_LETTER:
            dead[str(one.fields.get("reason"))] += 1
            waiting.pop(message, None)
        elif one.kind in {Fact.WAIT, Fact.PARKED}:
            told_ms = one.at_ms - round(1_000 * float(one.fields.get("age_s") or 0))
            waiting[message] = first_ms[request_id] = min(told_ms, first_ms.get(request_id, told_ms))
            why = str(one.fields.get("why") or "parked")
            waits[why] += 1
            if why.startswith("HTTP ") or why in {"timeout", "connection"}:
                failing.setdefault(str(one.fields.get("account_id") or "-"), set()).add(request_id)
    many = {account_id: len(ids) for account_id, ids in failing.items() if len(ids) >= FAILS_OFTEN}
    oldest_ms = min(waiting.values(), default=None)
    return Lately(minutes, accepted, delivered, dict(dead), dict(waits), many, oldest_ms, bounded_by)


def _lately(stack: Stack, now_ms: int) -> Lately:
    reading = Reading()
    told = list(facts.read(Logs.of(stack), since_ms=now_ms - LATELY_MS, reading=reading))
    return lately_of(told, minutes=LATELY_MS / 60_000, bounded_by=reading.bounded_by)


def _of_state(stack: Stack, now_ms: int) -> dict[str, Any]:
    """What the fleet agreed on with the partner, the operator's pause, and whose credentials are refused."""
    state = stack.state()

    async def read() -> dict[str, Any]:
        rows = {(PARTNER, name): item for name, item in (await state.listed(PARTNER)).items()}
        known = Flow.of(rows.get((PARTNER, FLOW), Item()))
        if known.cap.is_over(now_ms):
            known = agreement.uncapped(known, now_ms=now_ms)  # as the next worker does that writes
        suspended = by_account(await state.listed(SUSPENDED))
        under = await state.under(account_key(""))
        rows |= under
        return {
            "pause": Pause.from_value(rows.get((PARTNER, HOLD), Item()).value),
            "turned": [
                one
                for (pk, sk), item in rows.items()
                if sk == FLOW
                for one in by_hand.turned(pk, Flow.of(item), rows.get((pk, BY_HAND), Item()).value, now_ms=now_ms)
            ],
            "flow": known,
            "allowed_per_s": known.limit.per_second,
            "used": agreement.share_used(known, Bounds(), now_ms=now_ms),
            "suspended": sorted(map(summed_up, suspended.values()), key=lambda one: (one.since_ms, one.account_id)),
            "account_cool_downs": {
                pk.removeprefix(account_key("")): Flow.of(item).cool_until_ms
                for (pk, sk), item in under.items()
                if sk == FLOW and Flow.of(item).cool_until_ms > now_ms
            },
        }

    return asyncio.run(read())


def _mapping(stack: Stack) -> str:
    return str(stack.client("lambda").get_event_source_mapping(UUID=stack.output("WorkerMappingId"))["State"])


def _aliases(stack: Stack) -> list[str]:
    client, lines = stack.client("lambda"), []
    for function, name in facts.names_in(stack.outputs).items():
        alias = client.get_alias(FunctionName=name, Name=stack.output(f"{function.title()}AliasArn").rpartition(":")[2])
        lines.append(f"{function}: version {alias['FunctionVersion']} by the alias {alias['Name']}")
    return lines


def _or_note(unread: dict[str, str], name: str, action: str, read: Any) -> Any:
    try:
        return read()
    except (BotoCoreError, ClientError, StateUnavailable):
        unread[name] = action
        return None


def _drains(status: Status) -> str:
    drain = drain_s(status)
    if drain is None:
        return "it does not shrink at the present rates"
    return "it is empty" if drain == 0 else f"empty in {_length(drain)} at the present rates"


def _allowed(status: Status) -> str:
    per_s = status.lately.delivered / (60 * status.lately.minutes)
    if status.allowed_per_s is None:
        return f"no limit has been learnt; {per_s:,.1f} messages a second are delivered"
    used = "not known" if status.used is None else f"{status.used:.1%}"
    return f"{status.allowed_per_s:,.1f} calls a second ({status.flow.why}); of it is used: {used}"


def _breaker(flow: Flow, now_ms: int) -> str:
    fleet = flow.breaker
    if not fleet.is_open or fleet.opened_ms is None:
        return "closed"
    by_itself = not is_by_hand(fleet, now_ms=now_ms)
    probe = f"{'next' if by_itself else 'first'} probe {ahead(fleet.probe_at_ms, now_ms)}"
    said = f", last answer {fleet.said}" if fleet.said else ""
    return f"open since {as_utc(fleet.opened_ms)} UTC; {probe}{said}"


def _of_everybody(status: Status, kind: str) -> Turned | None:
    return next((one for one in status.turned if one.kind == kind and one.scope == by_hand.EVERYBODY), None)


def _of_operators(status: Status, *kinds: str) -> Iterator[tuple[str, str]]:
    """What operators set of a kind, each with its end, who and why."""
    chosen = [one for one in status.turned if one.kind in kinds]
    for one in chosen[:MANY_LINES]:
        whose = "" if one.scope == by_hand.EVERYBODY else f"{one.scope.name}: "
        what = {
            by_hand.LIMIT: f"at most {one.per_second or 0:g} calls a second",
            by_hand.OPEN: "opened by an operator",
            by_hand.CLOSED: "kept closed",
        }[one.kind]
        yield "by hand", f"{whose}{what} until {as_utc(one.until_ms)} UTC, {ahead(one.until_ms, status.now_ms)}"
        if one.since_ms is not None:
            yield "", f"set {ago(one.since_ms, status.now_ms)} by {one.who or 'an operator'}: {one.why}"
    if len(chosen) > MANY_LINES:
        yield "", f"and {len(chosen) - MANY_LINES:,} more: spillway status --json"


def _until(one: Turned, now_ms: int) -> str:
    """Until when an operator's word holds, and why, as the end of a sentence."""
    return f" until {as_utc(one.until_ms)} UTC ({ahead(one.until_ms, now_ms)})" + (f": {one.why}" if one.why else "")


def _named(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    named = ", ".join(f"{count:,} {name}" for name, count in ordered[:MANY_LINES])
    return named + (f" and {len(ordered) - MANY_LINES} more" if len(ordered) > MANY_LINES else "")


def _of_accounts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    named = ", ".join(f"{account_id} ({count:,})" for account_id, count in ordered[:MANY_LINES])
    return named + (f" and {len(ordered) - MANY_LINES} more" if len(ordered) > MANY_LINES else "")


def _messages(count: int) -> str:
    return "1 message is" if count == 1 else f"{count:,} messages are"


def _accounts(count: int) -> str:
    return "1 account" if count == 1 else f"{count:,} accounts"


def _since(moment_ms: int, now_ms: int) -> str:
    return ago(moment_ms, now_ms).removesuffix(" ago")


def _length(seconds: float) -> str:
    return ahead(round(1_000 * seconds), 0).removeprefix("in ")
