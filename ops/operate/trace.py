"""`spillway trace ID`: the life of a request, message, erasure, event or idempotency key, as both functions wrote it.

An id is looked for as text in every fact. Facts of a message carry its request's id, so whatever id was given, the
story is that of the requests which it was found in. An event's own id and an Idempotency-Key stand only in lines of
trouble: what was delivered at once is traced by its request.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
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
from shared.ledger import WHOLE, Ledger, Place, read_entry
from shared.message import to_json
from shared.receipts import Receipt, receipt_key
from shared.telemetry import Fact

LETTERS_S = 20.0
"""How long dead letters are looked through for an id that no line has."""
MOST_REQUESTS = 20
"""Requests whose story is told at once: an account's id, say, is found in more."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened. `about` is a sentence of it; `part` names the message of a request with several."""

    at_ms: int
    request_id: str
    part: str
    kind: str
    about: str


@dataclass(frozen=True, slots=True)
class Story:
    """What was found of an id. `places`: where each message is by the last that was told of it, by its part."""

    id: str
    steps: Sequence[Step]
    places: Mapping[str, Mapping[str, str]]
    bounded_by: str = ""
    more: int = 0
    """Further requests that the id was found in."""


def trace(stack: Stack, asked: str, *, since_ms: int) -> Story:
    """Find an id's story. Raises StackUnavailable, StateUnavailable."""
    reading, logs = Reading(), Logs.of(stack)
    found = list(facts.read(logs, since_ms=since_ms, pattern=facts.phrase(asked), reading=reading))
    ids = requests_of(found, asked)
    if not ids and "-" in asked:  # of a delivered message only the begin of SQS's id is told
        short = asked[:8]
        found = list(facts.read(logs, since_ms=since_ms, pattern=facts.phrase(short), reading=reading))
        ids = requests_of(found, short)
    ids = ids or _erasures(stack, asked) or _letters(stack, asked)
    told = list(found)
    for request_id in ids[:MOST_REQUESTS]:
        if request_id != asked:
            told += facts.read(logs, since_ms=since_ms, pattern=facts.phrase(request_id), reading=reading)
    return story(asked, told, ids[:MOST_REQUESTS], bounded_by=reading.bounded_by, more=len(ids[MOST_REQUESTS:]))


def _erasures(stack: Stack, asked: str) -> list[str]:
    """Our ids of the erasures that mParticle calls so: their receipts have both."""
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
    """The requests of the lines that an id stands in, each once, in their order."""
    ids: dict[str, None] = {}
    for told in found:
        for request_id, texts in _mentions(told):
            if any(asked in text for text in texts):
                ids[request_id] = None
    return list(ids)


def story(asked: str, found: Iterable[Told], ids: Sequence[str], *, bounded_by: str = "", more: int = 0) -> Story:
    """Tell what happened to some requests, in order; a line that was read twice is told once."""
    ledger, steps = Ledger(), dict[Step, None]()
    for told in found:
        ledger.add(told.kind, told.fields, told.at_ms)
        for request_id, part, about in _said(told):
            if request_id in ids:
                steps[Step(told.at_ms, request_id, part, told.kind, about)] = None
    ordered = sorted(steps, key=lambda one: (one.request_id, one.at_ms))
    places = {
        request_id: {part: _where(ledger, request_id, part, ordered) for part in _parts(ordered, request_id)}
        for request_id in ids
    }
    return Story(asked, ordered, places, bounded_by, more)


def as_json(story: Story) -> str:
    return json.dumps(asdict(story), indent=2, ensure_ascii=False)


def show(story: Story, console: Console, *, since: str) -> None:
    """Print the story, a line a step, and at last where each message is."""
    if not story.steps:
        console.print(f"Nothing was written of {safe(story.id)} since {since}.")
        console.print("A request that was delivered at once is found by its own id, not by an event's: give --since.")
    last = ""
    for step in story.steps:
        if step.request_id != last:
            console.print(Text.assemble(("request ", DIM), (safe(step.request_id), "bold")))
            last = step.request_id
        part = "" if step.part == WHOLE else f" part {step.part}"
        moment = moment_of(step.at_ms)
        clock = f"{moment:%m-%d %H:%M:%S}" if moment else "no time"
        console.print(
            Text.assemble(
                (f"  {clock}  ", DIM), (safe(step.kind), _STYLES.get(step.kind, "")), safe(part), "  ", safe(step.about)
            )
        )
    for request_id, places in story.places.items():
        for part, place in places.items():
            named = safe(request_id) if part == WHOLE else f"{safe(request_id)} part {part}"
            console.print(Text.assemble(("now: ", DIM), f"{named} ", (safe(place), "bold")))
    if story.more:
        console.print(f"It stands in lines of {story.more:,} requests more, which are not told.")
    if story.bounded_by:
        console.print(f"Not everything was read: {story.bounded_by} were over. A later --since reads less.")


_STYLES: Mapping[str, str] = {
    Fact.DELIVERED: GOOD,
    Fact.DEAD_LETTER: BAD,
    Fact.PARKED: WARN,
    Fact.WAIT: WARN,
    Fact.ATTEMPT: WARN,
}


def _mentions(told: Told) -> Iterable[tuple[str, list[str]]]:
    """The requests that a line is about, each with the texts that stand in it for that one."""
    whole = told.fields.get("request_id")
    if whole:
        yield str(whole), [_flat(value) for value in told.fields.values()]
    elif told.kind == Fact.DELIVERED:
        for entry in map(str, told.fields.get("messages", ())):
            if (read := read_entry(entry)) is not None:
                yield read[0][0], [entry]
    else:
        keys = [str(key) for key in told.fields.get("keys", ())]
        for entry in map(str, told.fields.get("messages", ())):
            yield entry.rpartition(" ")[0], [entry, *keys]


def _said(told: Told) -> Iterable[tuple[str, str, str]]:
    """What a line says of each request in it: its id, the part, a sentence."""
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
            yield entry.rpartition(" ")[0], WHOLE, _sentence(told)
        return
    yield str(fields["request_id"]), str(fields.get("part") or WHOLE), _sentence(told)


def _sentence(told: Told) -> str:
    of = told.fields
    words: dict[str, Callable[[], str]] = {
        Fact.ACCEPTED: lambda: (
            f"{of.get('type')}, {_events(of.get('events', 0))}, {of.get('bytes', 0):,} bytes, account"
            f" {of.get('account_id')}, answered in {of.get('ms')} ms, message"
            f" {', '.join(map(str, of.get('messages', ())))}"
        ),
        Fact.ATTEMPT: lambda: (
            f"attempt {of.get('attempt', '-')}: {of.get('error') or of.get('status')} after {of.get('ms')} ms"
            + (f", asks to wait {of['retry_after_s']:g} s" if of.get("retry_after_s") else "")
        ),
        Fact.WAIT: lambda: (
            f"{of.get('why', '')}, comes back in {of.get('wait_s')} s, receive {of.get('receive_count')}"
        ),
        Fact.DEAD_LETTER: lambda: f"{of.get('reason')}: {of.get('error')}, after {of.get('attempts')} attempts",
        Fact.PARKED: lambda: f"receive {of.get('receive_count')}",
        Fact.UNSETTLED: lambda: "its queue did not take it: it comes back as it was",
        Fact.SUSPENDED: lambda: f"its credentials are refused with HTTP {of.get('status')}: the account's wait",
        Fact.CLEARED: lambda: "its credentials are taken again",
    }
    sentence = words.get(told.kind)
    return sentence() if sentence is not None else ""


def _events(count: object) -> str:
    return f"{count} event" if count == 1 else f"{count} events"


def _parts(steps: Iterable[Step], request_id: str) -> list[str]:
    parts = {one.part: None for one in steps if one.request_id == request_id and one.kind != Fact.ACCEPTED}
    return list(parts) or [WHOLE]


def _where(ledger: Ledger, request_id: str, part: str, steps: Sequence[Step]) -> str:
    place = ledger.place_of(request_id, part)
    if place is Place.DEAD:
        last = [one for one in steps if one.request_id == request_id and one.kind == Fact.DEAD_LETTER][-1]
        return f"in the dead-letter queue ({last.about.partition(':')[0]}), unless it was redriven since"
    return {
        Place.DELIVERED: "delivered",
        Place.WAITING: "in the queue, waiting",
        Place.PARKED: "parked, or on its way back into the queue",
        Place.UNSEEN: "in the queue: no worker has told of it yet",
    }[place]


def _flat(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
