"""`spillway partner replay`: requests through a partner and the worker's main path, the API's answers from a script.

A line of input is a request of mParticle's, or a case; so is a whole file, where its lines are none:

    {"name": "...", "input": ..., "answers": [...]}

`input` is a request, the text of one, the text of a queue message (a dead letter's body, say), or a whole SQS event
whose bodies are such texts. Of `answers`, which may be absent, each is "success", a status, "timeout", "connect_error",
or {"status": 200, "body": ...}; past their end the answer is success.

The outcome says what became of the messages:

    ok          every call was made. What the partner refused for good is in the dead-letter queue, as `rejected`
    retriable   something waits: for another try, or for its suspended account
    permanent   no call was made: the request says of itself that it can not be sent (InvalidRequest), or the line can
                not be read
    unexpected  the partner's code raised, or made what can not be sent or read; or the message is damaged
"""

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ingest_fn.payload import read, text_of
from partners import Delivery, LeftOut, Partner, Secret
from shared.errors import InvalidRequest
from shared.firehose import parse_request
from shared.json_text import MAX_DEPTH, loads
from shared.message import decode, encode, head_of, to_json
from testkit.harness import Harness
from testkit.mapping import BEGINS_MS
from testkit.partner_api import PartnerApi
from testkit.queue import End
from testkit.records import id_of
from worker_fn.batch.disposition import Reason
from worker_fn.clients.http import Answer

FAULTS = {"timeout": "timeout", "connect_error": "connection"}

SUCCESS = Answer(200, body=b"{}")

TIME_S = 900.0
"""What a batch may take on the simulated clock: Lambda's longest time-out."""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    bodies: list[str]
    """Texts as a queue holds them: requests, or queue messages."""
    answers: list[Answer]
    problem: str = ""
    """Why the case cannot be read, if it cannot: nothing of it is replayed."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one case."""

    name: str
    calls: list[Delivery]
    outcome: str
    ends: list[str]
    """The end of each message that was not simply delivered, in words without anything of its content."""
    left_out: list[LeftOut] = field(default_factory=list)
    """The parts that the partner makes no call for."""


def cases(lines: Iterable[bytes]) -> Iterator[Case]:
    """Read a file: a case a line, or one case over all of its lines. A line that is no case says so, and why."""
    rows: Iterator[tuple[int, bytes]] = enumerate(lines, start=1)
    for number, line in rows:
        if not line.strip():
            continue
        first = _read(line, f"line {number}")
        if not first.problem:
            yield first
            break
        rest = [(number, line), *rows]
        whole = _read(b"".join(text for _, text in rest), f"line {number}")
        if not whole.problem or len(rest) == 1:
            yield whole
        else:
            rows = iter(rest)
        break
    for number, line in rows:
        if line.strip():
            yield _read(line, f"line {number}")


def _read(text: bytes, name: str) -> Case:
    try:
        return _case(loads(text.removeprefix(codecs.BOM_UTF8)), name)
    except InvalidRequest as error:
        return Case(name, [], [], problem=str(error))


def replay(case: Case, partner: Partner) -> Replayed:
    """Send one case through the worker, and see what it calls and how its messages end."""
    script = iter(case.answers)
    api = PartnerApi(lambda _: next(script, SUCCESS))
    harness = Harness(partner, api, max_in_flight=1)
    messages: list[str] = []
    outcomes, ends = [], []
    if case.problem:
        outcomes.append("permanent")
        ends.append(f"can not be read: {case.problem}")
    for body in case.bodies:
        try:
            messages += _messages(body)
        except InvalidRequest as error:  # ingest refuses it: it never reaches the queue
            outcomes.append("permanent")
            ends.append(f"refused: {error}")
    if messages:
        harness.work(messages, receives=1, time_s=TIME_S)
    for number, body in enumerate(messages):
        outcome, end = _end(harness.queue.ends[id_of(number)], body, partner)
        outcomes.append(outcome)
        if end:
            ends.append(end)
    worst = max(outcomes, key=("ok", "retriable", "permanent", "unexpected").index, default="ok")
    left_out = [one for body in messages for one in _left_out(body, partner)]
    return Replayed(case.name, [call.delivery for call in api.calls], worst, ends, left_out)


def _end(end: End, body: str, partner: Partner) -> tuple[str, str]:
    """The outcome of a message, and its end in words."""
    if end.how == "waiting":
        return "retriable", "waits for another try"
    if end.how == "parked":
        return "retriable", "parked until its account is cleared"
    if end.how == "delivered":
        return "ok", ""
    said = f"dead letter, {end.reason}: {end.error}"
    if end.reason in {Reason.REJECTED, Reason.UNAUTHORIZED}:
        return "ok", said
    return ("permanent" if _says_it_can_not_be_sent(body, partner) else "unexpected"), said


def _left_out(body: str, partner: Partner) -> list[LeftOut]:
    """The parts of a message that the partner makes no call for; none of one that it cannot map."""
    try:
        mapped = list(partner.deliveries(parse_request(decode(body).payload, only=partner.reads)))
    except Exception:  # the worker has met it, too: the message's end says so
        return []
    return [one for one in mapped if isinstance(one, LeftOut)]


def _says_it_can_not_be_sent(body: str, partner: Partner) -> bool:
    try:
        list(partner.deliveries(parse_request(decode(body).payload, only=partner.reads)))
    except InvalidRequest:
        return True
    except Exception:  # a partner's code may raise anything
        return False
    return False


def as_json(replayed: Replayed) -> str:
    """One line for tools; credentials in plain text, every number with its digits."""
    calls = [
        {
            "method": call.method,
            "path": _path(call),
            "api_key": next((secret.value for _, secret in _secrets(call)), None),
            "body": _content(call),
        }
        for call in replayed.calls
    ]
    return to_json({"name": replayed.name, "calls": calls, "outcome": replayed.outcome}).decode()


def as_text(replayed: Replayed, *, values: bool = False) -> Iterator[str]:
    """Lines for people. Credentials are always masked, users' data in bodies unless `values`."""
    yield f"{replayed.name}: {replayed.outcome}"
    for call in replayed.calls:
        yield f"  {call.method} {_path(call)}  [{call.item}]" if values else f"  {call.method} {_path(call)}"
        for name, secret in _secrets(call):
            yield f"    {name}: {secret}"
        content = _content(call) if values else _masked(_content(call))
        yield f"    {to_json(content).decode()}"
    for one in replayed.left_out:
        yield f"  left out: {one.item}: {one.why}" if values else f"  left out: {one.why}"
    for end in replayed.ends:
        yield f"  {end}"


def _secrets(call: Delivery) -> list[tuple[str, Secret]]:
    return [*call.secret_headers.items(), *call.secret_fields.items()]


def _case(content: Any, name: str) -> Case:
    if not isinstance(content, dict):
        raise InvalidRequest("expected a request, or an object with `input`")
    if "input" not in content:
        return Case(name, list(_bodies(content)), [])
    answers = content.get("answers") or []
    if not isinstance(answers, list):
        raise InvalidRequest("expected a list", "answers")
    return Case(str(content.get("name") or name), list(_bodies(content["input"])), [_answer(one) for one in answers])


def _bodies(given: Any) -> Iterator[str]:
    if isinstance(given, str):
        yield given
    elif isinstance(given, dict) and isinstance(given.get("Records"), list):
        for record in given["Records"]:
            if not isinstance(record, dict) or not isinstance(record.get("body"), str):
                raise InvalidRequest("expected SQS records with a `body`", "input.Records")
            yield record["body"]
    elif isinstance(given, dict):
        yield to_json(given).decode()
    else:
        raise InvalidRequest("expected a request, a text or an SQS event", "input")


def _answer(given: Any) -> Answer:
    if isinstance(given, str) and given in FAULTS:
        return Answer(fault=FAULTS[given])
    status, body = (given.get("status"), given.get("body")) if isinstance(given, dict) else (given, {})
    if status == "success":
        status = 200
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
        raise InvalidRequest(
            'expected "success", a status, "timeout", "connect_error" or {"status", "body"}', "answers"
        )
    return Answer(status, body=body.encode() if isinstance(body, str) else to_json(body))


def _messages(body: str) -> list[str]:
    """The queue messages that a text becomes: itself if it is one, else what ingest makes of the request."""
    content = read(body.encode("utf-8", "surrogatepass"))
    if not isinstance(content, dict):
        raise InvalidRequest("expected a JSON object")
    if "v" in content and "payload" in content:
        return [body]
    text = text_of(content)
    return encode(head_of(content, text, received_at_ms=BEGINS_MS), text)


def _path(call: Delivery) -> str:
    address = urlsplit(call.url)
    return address.path + (f"?{address.query}" if address.query else "")


def _content(call: Delivery) -> Any:
    try:
        return loads(call.body, depth=2 * MAX_DEPTH)
    except InvalidRequest:
        return call.body.decode("utf-8", "replace")


def _masked(content: Any) -> Any:
    """The same shape, without its values."""
    if isinstance(content, dict):
        return {name: _masked(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_masked(value) for value in content]
    return content if content is None or isinstance(content, bool) else "***"
