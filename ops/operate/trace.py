"""`spillway trace ID`: the life of a request, message, erasure, event or idempotency key, as both functions wrote it.

An id is searched for in every fact. Facts of a message carry its request's id, so whatever id was given, the story is
that of the requests in whose facts it was found. Only with LOG_EVENTS=ids does the log have an event's own id and the
Idempotency-Key of a call that arrived; without it such events are found only in the dead-letter queue.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.console.moments import moment_of
from ops.console.screen import BAD, DIM, GOOD, WARN
from ops.console.terminal import safe
from ops.operate import facts
from ops.operate.dlq.letters import Letter
from ops.operate.dlq.look import look
from ops.operate.dlq.queues import LetterQueue
from ops.operate.facts import Logs, Reading, Told
from ops.operate.stack import Stack
from shared.ledger import WHOLE, Copy, Ledger, Whereabouts, read_entry
from shared.message import to_json
from shared.receipts import Receipt, receipt_key
from shared.telemetry import SHORT_ID, Fact

LETTERS_S = 20.0
"""How long dead letters are looked through for an id that no line has."""
EVENTS_NAMED = 3
"""The most events of a line that are named; the one that was searched for is known."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""SQS's ids of messages."""
MOST_REQUESTS = 20
"""The most requests whose story is shown: an account's id, say, is found in more."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened. `about` is a sentence about it; `part` names the message of a request with several."""

    at_ms: int
    request_id: str
    part: str
    kind: str
    about: str


@dataclass(frozen=True, slots=True)
class Traced:
    """What was found for an id. `places`: where each message is by its last fact, by its part."""

    id: str
    steps: Sequence[Happening]
    places: Mapping[str, Mapping[str, str]]
    bounded_by: str = ""
    more: int = 0
    """Further requests that the id was found in."""


def trace(stack: Stack, asked: str, *, since_ms: int) -> Traced:
    """Find an id's story. Raises StackUnavailable, StateUnavailable."""
    reading, logs = Reading(), Logs.of(stack)
    found = list(facts.read(logs, since_ms=since_ms, pattern=facts.phrase(asked), reading=reading))
    ids = requests_of(found, asked)
    if not ids and _UUID.fullmatch(asked):  # while all is well only the begin of SQS's id is told
        short = asked[:SHORT_ID]
        found = list(facts.read(logs, since_ms=since_ms, pattern=facts.phrase(short), reading=reading))
        ids = [one for one in requests_of(found, short) if _has_message(found, one, short)]
    ids = ids or _erasures(stack, asked) or _letters(stack, asked)
    told = list(found)
    for request_id in ids[:MOST_REQUESTS]:
        if request_id != asked:
            told += facts.read(logs, since_ms=since_ms, pattern=facts.phrase(request_id), reading=reading)
    return story(asked, told, ids[:MOST_REQUESTS], bounded_by=reading.bounded_by, more=len(ids[MOST_REQUESTS:]))


def _erasures(stack: Stack, asked: str) -> list[str]:
    """Our ids of the erasures that mParticle knows by an id: their receipts have both."""
    state = stack.state()
    key = receipt_key(asked)
    found = asyncio.run(state.listed(key))
    return [Receipt.from_value(key, sk, item.value).request_id for sk, item in found.items()]


def _letters(stack: Stack, asked: str) -> list[str]:
    """The requests of dead letters that hold a text, an event's id say; each letter is given back."""
    ids: dict[str, None] = {}

    def note(letter: Letter) -> None:
        if letter.message is not None and asked.encode() in to_json(letter.message.payload):
            ids[letter.message.id] = None

    look(LetterQueue(stack.client("sqs"), stack.output("DlqUrl")), note, within_s=LETTERS_S)
    return list(ids)


def requests_of(found: Iterable[Told], asked: str) -> list[str]:
    """The requests that an id stands for, each once, in their order: those with this id; else those with a message, a
    call or an event that has it; else those in whose lines it occurs as a part of something.
    """
    named, having, mentioning = dict[str, None](), dict[str, None](), dict[str, None]()
    for told in found:
        for request_id, texts in _mentions(told):
            if request_id == asked:
                named[request_id] = None
            elif asked in texts:
                having[request_id] = None
            elif any(asked in text for text in texts):
                mentioning[request_id] = None
    return list(named or having or mentioning)


def _has_message(found: Iterable[Told], request_id: str, short_id: str) -> bool:
    """Whether a request was accepted as a message of SQS's whose id begins so, or delivered as one."""
    for told in found:
        entries = [str(one) for one in told.fields.get("messages", ())]
        if told.kind == Fact.ACCEPTED and told.fields.get("request_id") == request_id and short_id in entries:
            return True
        read = filter(None, map(read_entry, entries if told.kind == Fact.DELIVERED else ()))
        if any((key[0], short) == (request_id, short_id) for key, short, _, _ in read):
            return True
    return False


def story(asked: str, found: Iterable[Told], ids: Sequence[str], *, bounded_by: str = "", more: int = 0) -> Traced:
    """Return what happened to some requests, in order; a line that was read twice counts once."""
    ledger, steps = Ledger(), dict[Happening, None]()
    once = {(told.at_ms, told.function, told.kind, repr(told.fields)): told for told in found}.values()
    for told in once:
        ledger.add(told.kind, told.fields, told.at_ms)
    parts = _parts_by_message(once)
    for told in once:
        for request_id, part, about in _said(told, parts):
            if request_id in ids:
                steps[Happening(told.at_ms, request_id, part, told.kind, about)] = None
    ordered = sorted(steps, key=lambda one: (one.request_id, one.at_ms))
    places = {request_id: _places(ledger, request_id, is_whole=not bounded_by) for request_id in ids}
    return Traced(asked, ordered, places, bounded_by, more)


def as_json(story: Traced) -> str:
    return json.dumps(asdict(story), indent=2, ensure_ascii=False)


def show(story: Traced, console: Console, *, since: str) -> None:
    """Print the story, a line a step, and at last where each message is."""
    if not story.steps:
        console.print(f"Nothing was written of {safe(story.id)} since {since}.")
        console.print("A delivered request is found by its own id; by an event's or a call's only with LOG_EVENTS=ids.")
    for request_id, steps in groupby(story.steps, lambda step: step.request_id):
        console.print(Text.assemble(("request ", DIM), (safe(request_id), "bold")))
        console.print(_lines(steps))
    for request_id, places in story.places.items():
        for part, place in places.items():
            named = f"{safe(request_id)} {_named(part)}".rstrip()
            console.print(Text.assemble(("now: ", DIM), f"{named} ", (safe(place), "bold")))
    if story.more:
        console.print(f"{story.more:,} more requests have lines with this id; they are not shown.")
    if story.bounded_by:
        console.print(f"Not everything was read: it stopped after {story.bounded_by}. A later --since reads less.")


def _named(part: str) -> str:
    """A part in words; empty if there is only one."""
    return safe(part.removeprefix(WHOLE).removeprefix(", ").strip() if part.startswith(WHOLE) else f"part {part}")


def _lines(steps: Iterable[Happening]) -> Table:
    """A line for each step: when, what, and the sentence about it."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for step in steps:
        moment = moment_of(step.at_ms)
        clock = f"  {moment:%m-%d %H:%M:%S}" if moment else "  no time"
        part = _named(step.part)
        table.add_row(
            Text(clock, style=DIM),
            Text(safe(step.kind), style=_STYLES.get(step.kind, "")),
            Text(safe(f"{part} {step.about}".lstrip())),
        )
    return table


_STYLES: Mapping[str, str] = {
    Fact.DELIVERED: GOOD,
    Fact.DEAD_LETTER: BAD,
    Fact.PARKED: WARN,
    Fact.WAIT: WARN,
    Fact.ATTEMPT: WARN,
}


def _mentions(told: Told) -> Iterable[tuple[str, list[str]]]:
    """The requests that a line is about, each with the texts that stand in it for that one."""
    whole, messages = told.fields.get("request_id"), [str(one) for one in told.fields.get("messages", ())]
    if whole:
        yield str(whole), [text for value in told.fields.values() for text in _texts(value)]
    elif told.kind == Fact.DELIVERED:
        for entry in messages:
            if (read := read_entry(entry)) is not None:
                (request_id, _), short_id, _, _ = read
                yield request_id, [request_id, short_id]
    else:
        keys = [str(key) for key in told.fields.get("keys", ())]
        for entry in messages:
            request_id, _, short_id = entry.rpartition(" ")
            yield request_id, [request_id, short_id, *keys]


def _parts_by_message(found: Iterable[Told]) -> dict[tuple[str, str], str]:
    """The part of a request in each of SQS's messages: by the request's id, and the first characters of SQS's id."""
    return {
        (str(told.fields.get("request_id")), str(message_id)[:SHORT_ID]): f"{number}/{len(told.fields['messages'])}"
        for told in found
        if told.kind == Fact.ACCEPTED
        for number, message_id in enumerate(told.fields.get("messages", ()), start=1)
    }


def _said(told: Told, parts: Mapping[tuple[str, str], str]) -> Iterable[tuple[str, str, str]]:
    """What a line says about each request in it: its id, the part, a sentence. Lines of a call name the message, no
    part.
    """
    fields = told.fields
    if told.kind == Fact.DELIVERED:
        for entry in map(str, fields.get("messages", ())):
            if (read := read_entry(entry)) is not None:
                (request_id, part), short_id, events, left_out = read
                beside = f", {left_out:,} of them left out" if left_out else ""
                yield request_id, part, f"{_events(events)}{beside}, message {short_id}..."
        return
    if not fields.get("request_id"):
        for entry in map(str, fields.get("messages", ())):
            request_id, _, short_id = entry.rpartition(" ")
            yield request_id, parts.get((request_id, short_id), WHOLE), _sentence(told)
        return
    request_id, short_id = str(fields["request_id"]), str(fields.get("message_id") or "")[:SHORT_ID]
    yield request_id, str(fields.get("part") or parts.get((request_id, short_id), WHOLE)), _sentence(told)


def _sentence(told: Told) -> str:
    of = told.fields
    words: dict[str, Callable[[], str]] = {
        Fact.ACCEPTED: lambda: (
            f"{of.get('type')}, {_events(of.get('events', 0))}, {of.get('bytes', 0):,} bytes, account"
            f" {of.get('account_id')}, answered in {of.get('ms')} ms, message"
            f" {', '.join(f'{str(one)[:SHORT_ID]}...' for one in of.get('messages', ()))}"
        ),
        Fact.ATTEMPT: lambda: (
            f"attempt {of.get('attempt', '-')}: {of.get('error') or 'HTTP ' + str(of.get('status'))}"
            f" after {of.get('ms')} ms"
            + (f", asks to wait {of['retry_after_s']:g} s" if of.get("retry_after_s") else "")
        ),
        Fact.WAIT: lambda: (
            f"{of.get('why', '')}, comes back in {of.get('wait_s')} s, receive {of.get('receive_count')}"
        ),
        Fact.DEAD_LETTER: lambda: f"{of.get('reason')}: {of.get('error')}, after {of.get('attempts')} attempts",
        Fact.CONTENT: lambda: _listed(of.get("event_ids", ())),
        Fact.PARKED: lambda: f"receive {of.get('receive_count')}",
        Fact.UNSETTLED: lambda: "its queue did not take it: it comes back as it was",
        Fact.SUSPENDED: lambda: f"its credentials are refused with HTTP {of.get('status')}: the account's wait",
        Fact.CLEARED: lambda: "its credentials are taken again",
    }
    sentence = words.get(told.kind)
    return sentence() if sentence is not None else ""


def _events(count: object) -> str:
    return f"{count} event" if count == 1 else f"{count} events"


def _listed(ids: Sequence[object]) -> str:
    named = ", ".join(map(str, ids[:EVENTS_NAMED]))
    return f"events {named}" + (f" and {len(ids) - EVENTS_NAMED:,} more" if len(ids) > EVENTS_NAMED else "")


def _places(ledger: Ledger, request_id: str, *, is_whole: bool) -> dict[str, str]:
    """Where each message of a request is: by its part, by its account where several have a request of this id, and by
    its copy where one was accepted more than once.
    """
    places: dict[str, str] = {}
    for part in ledger.parts_of(request_id):
        copies = ledger.copies_of(request_id, part) or [("", ledger.end_of(request_id, part))]
        for account_id, copy in copies:
            name = part if len({one for one, _ in copies}) == 1 else f"{part} of account {account_id}"
            number = sum(one == name or one.startswith(f"{name}, copy") for one in places) + 1
            places[name if number == 1 else f"{name}, copy {number}"] = _where(copy, is_whole=is_whole)
    return places


def _where(copy: Copy, *, is_whole: bool) -> str:
    if copy.place is Whereabouts.DEAD:
        return f"in the dead-letter queue ({copy.reason}), unless it was redriven since"
    if copy.place is Whereabouts.UNSEEN and not is_whole:
        return "not known: not everything was read"
    return {
        Whereabouts.DELIVERED: "delivered",
        Whereabouts.WAITING: "in the queue, waiting",
        Whereabouts.PARKED: "parked, or on its way back into the queue",
        Whereabouts.UNSEEN: "in the queue: no worker has told of it yet",
    }[copy.place]


def _texts(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]
