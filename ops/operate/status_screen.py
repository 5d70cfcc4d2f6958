"""What `spillway status` shows: the worst problem first, then depths and why nothing moves. Pure but for `show`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.console.moments import ago, ahead, as_utc
from ops.console.screen import BAD, DIM, GOOD, WARN
from ops.console.terminal import safe
from ops.operate import by_hand
from ops.operate.by_hand import Turned
from ops.operate.scope import EVERYBODY, Scope
from ops.operate.status import LATELY_MS, STATE, Status
from worker_fn.limits.breaker import Opened, why_open
from worker_fn.limits.flow import Flow

MANY_LINES = 5
"""Accounts that are named; the others are counted."""
UNKNOWN = "not known"


def as_json(status: Status) -> str:
    return json.dumps({"says": sentence(status)[1], **asdict(status)}, indent=2, default=str, ensure_ascii=False)


def sentence(status: Status) -> tuple[str, str]:
    """What is wrong, the worst first, and how bad that is (a style). It does not call well what was not read."""
    well = (GOOD, "All is well: what is accepted is delivered.")
    if status.unread:
        well = (WARN, f"Nothing wrong is seen, but not all was read: {', '.join(status.unread)}.")
    return next(_wrongs(status), well)


def _wrongs(status: Status) -> Iterator[tuple[str, str]]:
    yield from _stops(status)
    yield from _troubles(status)


def _stops(status: Status) -> Iterator[tuple[str, str]]:
    """The reasons why nothing is delivered at all."""
    now_ms, fleet = status.now_ms, status.flow.breaker
    if status.pause is not None:
        yield WARN, f"Nothing is delivered: an operator {status.pause.said(now_ms)}."
    opened = why_open(fleet, now_ms=now_ms)
    if stopped := _of_everybody(status, by_hand.OPEN):
        yield WARN, f"Nothing is delivered: an operator opened the breaker{_until(stopped, now_ms)}."
    elif opened is Opened.OVER:
        yield WARN, "The breaker that an operator opened is over its time: the next tick tries a message, or closes it."
    elif opened is Opened.DOWN and fleet.opened_ms is not None:
        said = f", its last answer was {fleet.said}" if fleet.said else ""
        yield BAD, f"The partner is down: the breaker is open for {_since(fleet.opened_ms, now_ms)}{said}."
    if status.flow.cool_until_ms > now_ms:
        yield WARN, f"The partner asked for a pause: calls go on {ahead(status.flow.cool_until_ms, now_ms)}."
    if status.mapping.startswith("Disabl"):
        yield BAD, "Nothing is fetched from the queue: the mapping is off, and no pause of an operator stands."


def _troubles(status: Status) -> Iterator[tuple[str, str]]:
    """The reasons why some messages are not delivered as they should be."""
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
    for key, until_ms in list(status.account_cool_downs.items())[:MANY_LINES]:
        yield "left alone", f"{Scope.of_key(key).name}, {ahead(until_ms, now_ms)}"
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
    is_first = why_open(fleet, now_ms=now_ms) is Opened.BY_HAND
    probe = f"{'first' if is_first else 'next'} probe {ahead(fleet.probe_at_ms, now_ms)}"
    said = f", last answer {fleet.said}" if fleet.said else ""
    return f"open since {as_utc(fleet.opened_ms)} UTC; {probe}{said}"


def _of_everybody(status: Status, kind: str) -> Turned | None:
    return next((one for one in status.turned if one.kind == kind and one.scope == EVERYBODY), None)


def _of_operators(status: Status, *kinds: str) -> Iterator[tuple[str, str]]:
    """What operators set of a kind, each with its end, who and why."""
    chosen = [one for one in status.turned if one.kind in kinds]
    for one in chosen[:MANY_LINES]:
        whose = "" if one.scope == EVERYBODY else f"{one.scope.name}: "
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
    """Until when an operator's setting holds, and why, as the end of a sentence."""
    return f" until {as_utc(one.until_ms)} UTC ({ahead(one.until_ms, now_ms)})" + (f": {one.why}" if one.why else "")


def _named(counts: Mapping[str, int], form: str = "{1:,} {0}") -> str:
    """The most frequent names, each with its count."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    named = ", ".join(form.format(*one) for one in ordered[:MANY_LINES])
    return named + (f" and {len(ordered) - MANY_LINES} more" if len(ordered) > MANY_LINES else "")


def _of_accounts(counts: Mapping[str, int]) -> str:
    return _named(counts, "{0} ({1:,})")


def _messages(count: int) -> str:
    return "1 message is" if count == 1 else f"{count:,} messages are"


def _accounts(count: int) -> str:
    return "1 account" if count == 1 else f"{count:,} accounts"


def _since(moment_ms: int, now_ms: int) -> str:
    return ago(moment_ms, now_ms).removesuffix(" ago")


def _length(seconds: float) -> str:
    return ahead(round(1_000 * seconds), 0).removeprefix("in ")
