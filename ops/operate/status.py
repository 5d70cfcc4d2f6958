"""What `spillway status` reads of a stack: depths, what the fleet agreed on, the facts of the last minutes. Reads only.

Rates are those of the last minutes that the facts cover; depths are SQS's rough counts.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

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
from worker_fn.limits.flow import Flow

LATELY_MS = 300_000
"""The time that rates and reasons are taken from."""
STATE = "state"
FAILS_OFTEN = 3
"""An account is named if at least this many of its messages wait for failed calls."""


@dataclass(frozen=True, slots=True)
class Lately:
    """The facts of the last minutes, summed up; `minutes` is how many."""

    minutes: float = 5.0
    accepted: int = 0
    delivered: int = 0
    """In messages."""
    dead: Mapping[str, int] = field(default_factory=dict)
    waits: Mapping[str, int] = field(default_factory=dict)
    failing: Mapping[str, int] = field(default_factory=dict)
    """Messages that wait for failed calls, by account."""
    oldest_ms: int | None = None
    """When the oldest message that waits was accepted, by the facts and CloudWatch's metrics of the last minutes."""
    bounded_by: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """All that status_screen.py shows. None, or empty, if it could not be read: `unread` says what."""

    stage: str
    now_ms: int
    queue: Depth = field(default_factory=Depth)
    parking: Depth = field(default_factory=Depth)
    dead: Depth = field(default_factory=Depth)
    flow: Flow = field(default_factory=Flow)
    allowed_per_s: float | None = None
    used: float | None = None
    """The share that was taken of these calls in the last seconds."""
    pause: Pause | None = None
    turned: Sequence[Turned] = ()
    """What operators set beside a pause, the partner's first."""
    mapping: str = ""
    """The mapping's state in AWS's words: Enabled, Disabled, ..."""
    suspended: Sequence[Suspended] = ()
    account_cool_downs: Mapping[str, int] = field(default_factory=dict)
    """When the cool-downs of accounts end."""
    lately: Lately = field(default_factory=Lately)
    serves: Sequence[str] = ()
    unread: Sequence[str] = ()
    unknown: Collection[str] = ()
    """The parts that are empty because they could not be read: `queue`, `parking`, `dead`, `state`, ..."""


def look(stack: Stack, *, now_ms: int) -> Status:
    """Read everything. Parts that AWS refuses are named and empty; without the logs it raises StackUnavailable."""
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
            known = agreement.clear_limit(known, now_ms=now_ms)  # as the next worker does that writes
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
