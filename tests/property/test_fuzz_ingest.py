"""Any bytes into ingest: refused with an error of ours, or queued in bodies that a worker reads as the same request.

`FUZZ_EXAMPLES` says how many (`make fuzz`); without it a few hundred, the same ones in CI each time.
"""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

import ingest_fn.handler as entry
from ingest_fn.function_url import FunctionUrl
from ingest_fn.payload import keep_bytes, read
from ingest_fn.settings import Settings
from partners import LeftOut, load_partner
from shared.errors import InvalidRequest, QueueUnavailable, SpillwayError
from shared.firehose import parse_request
from shared.json_text import MAX_DEPTH, dumps, loads
from shared.message import QUEUED_TYPES, decode
from shared.queue import Outgoing

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))
FUZZED = settings(
    max_examples=EXAMPLES,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
FIXTURES = Path(__file__).parents[1] / "fixtures" / "firehose"
REQUESTS = [path.read_bytes() for path in sorted(FIXTURES.glob("*_request.json"))]
TOKEN = "token-0123456789abcdef"
ENV = {
    "QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/0/q",
    "STATE_TABLE": "t",
    "AWS_REGION": "us-east-1",
    "PARTNER": "partners.webhook",
    "WEBHOOK_URL": "https://hook.example/in",
}

ODD = [
    b"1e99999999999999999999",
    b"1e-99999999999999999999",
    b"-1E+400",
    b"-0",
    b"9" * 5_000,
    b"0." + b"9" * 5_000,
    b"NaN",
    b"-Infinity",
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\u0000"',
    '"\ufffe\uffff"'.encode(),
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b"\xef\xbb\xbf",
    b"[" * 200 + b"]" * 200,
    b"[" * 252 + b"]" * 252,
    b'{"a":' * 260 + b"1" + b"}" * 260,
    b"[" * 1_000 + b"]" * 1_000,
    b"[" * 3_000,
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'"x"',
    b"5",
    b'{"a":1,"a":2}',
    b'"event_processing_request"',
    b'"' + b"x" * 200 + b'"',
    b"\x00",
    b"}{",
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A request of mParticle's with some of its bytes cut out, doubled, replaced or added to."""
    text = draw(st.sampled_from(REQUESTS))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        stop = draw(st.integers(start, min(len(text), start + 40)))
        piece = draw(st.one_of(st.sampled_from(ODD), st.binary(max_size=8), st.just(text[start:stop] * 2)))
        text = text[:start] + piece + text[stop:]
    return text


@st.composite
def with_odd_values(draw: st.DrawFn) -> bytes:
    """A request of mParticle's, still JSON, with odd values in the place of some of its own."""
    content = json.loads(draw(st.sampled_from(REQUESTS)))
    for _ in range(draw(st.integers(1, 4))):
        place, name = content, draw(st.sampled_from(sorted(content)))
        while isinstance(place[name], dict | list) and place[name] and draw(st.booleans()):
            place = place[name]
            name = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        place[name] = f"odd-{draw(st.integers(0, len(ODD) - 1))}-"
    text = json.dumps(content).encode()
    for number, odd in enumerate(ODD):
        text = text.replace(b'"odd-%d-"' % number, odd)
    return text


anything = st.one_of(st.binary(max_size=200), st.text(max_size=60).map(str.encode), st.sampled_from(ODD))
texts = st.one_of(
    mutated(),
    with_odd_values(),
    anything,
    mutated().map(lambda text: b"\xef\xbb\xbf" + text),
    st.sampled_from(REQUESTS).map(lambda text: text.decode().encode("utf-16")),
    st.sampled_from(REQUESTS).flatmap(lambda text: anything.map(lambda more: text + more)),
)


class Queue:
    def __init__(self) -> None:
        self.sent: list[Outgoing] = []

    def send(self, messages: list[Outgoing]) -> list[str]:
        self.sent += messages
        return ["m" for _ in messages]


class Ingest:
    """The handler as Lambda starts it, with a list for a queue and without a state table."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, fifo: bool) -> None:
        self.queue = Queue()
        ready = Settings.from_env({**ENV, "QUEUE_TYPE": "fifo" if fifo else "standard"})
        url = FunctionUrl(self, stage="test")  # type: ignore[arg-type]
        for name, value in {"settings": ready, "queue": self.queue, "suspended": (), "function_url": url}.items():
            monkeypatch.setattr(entry, f"_{name}", lambda value=value: value)
        monkeypatch.setattr(entry, "_note_erasure", lambda head, request: None)
        monkeypatch.setattr(entry, "log", lambda *_, **__: None)
        monkeypatch.setattr(entry, "count", lambda *_, **__: None)

    def know(self, token: str) -> bool:
        """Its tokens."""
        return token == TOKEN

    def invoke(self, event: object) -> dict[str, Any] | SpillwayError:
        """What comes of an event; whatever is no error of ours is raised."""
        self.queue.sent.clear()
        try:
            answer = entry.handler(event, None)
        except SpillwayError as error:
            return error
        json.dumps(answer)
        return answer


@pytest.fixture(params=[False, True], ids=["standard", "fifo"])
def ingest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Ingest:
    return Ingest(monkeypatch, fifo=request.param)


@pytest.fixture(scope="module")
def unmarshal() -> Callable[[bytes], object]:
    """How Lambda's runtime hands bytes to the handler, once ingest has hooked into it."""
    from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller

    assert keep_bytes()
    return LambdaMarshaller().unmarshal_request


def check_queued(sent: list[Outgoing], text: bytes) -> None:
    """The bodies decode to the request, part by part, and the worker's next step takes them or says why not."""
    request = loads(text.removeprefix(b"\xef\xbb\xbf"), values=10**6)
    partner = load_partner(ENV)
    messages = [decode(one.body) for one in sent]
    assert [message.part for message in messages] == [f"{n}/{len(sent)}" for n in range(1, len(sent) + 1)]
    if len(messages) == 1:
        assert dumps(messages[0].payload) == dumps(request)
    for outgoing, message in zip(sent, messages, strict=True):
        assert outgoing.attributes["type"] == message.type
        assert outgoing.attributes.get("account_id") == message.account_id
        assert all(0 < len(value) <= 128 and value.isprintable() for value in outgoing.attributes.values())
        try:
            mapped = list(partner.deliveries(parse_request(message.payload)))
        except InvalidRequest:
            continue
        event(f"{len(mapped)} deliveries" if len(mapped) < 3 else "more deliveries")
        for one in mapped:
            assert isinstance(one, LeftOut) or loads(one.body, depth=MAX_DEPTH + 4)


@FUZZED
@given(text=texts)
@example(text=b'{"type":"event_processing_request","x":1e99999999999999999999,"events":[{}]}')
@example(text=b'\xef\xbb\xbf{"type":"event_processing_request","events":[{"n":10.00}]}')
@example(text=b'{"type":"dsr_processing_request","id":"\\ud800","account":{"account_id":"7\\u0000"}}')
def test_invoked_with_any_bytes(text: bytes, ingest: Ingest, unmarshal: Callable[[bytes], object]) -> None:
    """By invocation: an answer of the right shape, or an error of ours; what is queued is read as it was."""
    answer = ingest.invoke(unmarshal(text))
    if isinstance(answer, SpillwayError):
        assert not isinstance(answer, QueueUnavailable)
        assert ingest.queue.sent == []
        event("refused")
        return
    assert answer["type"].endswith("_response")
    if ingest.queue.sent:
        event("queued")
        check_queued(ingest.queue.sent, text)


def by_url(body: object, *, in_base64: object) -> dict[str, Any]:
    return {
        "version": "2.0",
        "rawPath": "/",
        "headers": {"content-type": "application/json", "authorization": f"Token {TOKEN}"},
        "requestContext": {"http": {"method": "POST", "path": "/"}},
        "body": body,
        "isBase64Encoded": in_base64,
    }


@FUZZED
@given(text=texts)
def test_called_with_any_bytes(text: bytes, ingest: Ingest) -> None:
    """By the Function URL: an HTTP answer; what is accepted is read as it was, what is refused is not queued."""
    answer = ingest.invoke(by_url(base64.b64encode(text).decode(), in_base64=True))
    assert isinstance(answer, dict)
    assert answer["statusCode"] in {200, 202, 400, 413, 503}
    assert isinstance(json.loads(answer["body"]), dict)
    assert (answer["statusCode"] == 202) == (json.loads(answer["body"]).get("type", "") in ANSWERS)
    if ingest.queue.sent:
        assert answer["statusCode"] == 202
        check_queued(ingest.queue.sent, text)


ANSWERS = {kind.replace("_request", "_response") for kind in QUEUED_TYPES}

wrong = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.text(max_size=3), max_size=2),
    st.dictionaries(st.sampled_from(["http", "method", "authorization", "content-type"]), st.text(max_size=5)),
    st.floats(),
)  # fmt: skip


@FUZZED
@given(
    fields=st.dictionaries(
        st.sampled_from(["version", "rawPath", "headers", "requestContext", "body", "isBase64Encoded"]),
        wrong,
        min_size=1,
    ),
    left_out=st.sets(st.sampled_from(["rawPath", "headers", "body", "isBase64Encoded"]), max_size=1),
)
@example(fields={"body": 5, "isBase64Encoded": True}, left_out=set())
@example(fields={"body": None}, left_out=set())
@example(fields={"body": "%%%", "isBase64Encoded": True}, left_out=set())
@example(fields={"body": "é", "isBase64Encoded": True}, left_out=set())
@example(fields={"isBase64Encoded": "false"}, left_out=set())
@example(fields={"headers": None}, left_out=set())
@example(fields={"requestContext": {"http": {}}}, left_out=set())
def test_called_with_any_event(fields: dict[str, Any], left_out: set[str], ingest: Ingest) -> None:
    """A call whose parts are of the wrong types is refused with a status, never with a crash."""
    whole = {**by_url(REQUESTS[0].decode(), in_base64=False), **fields}
    answer = ingest.invoke({name: value for name, value in whole.items() if name not in left_out})
    if isinstance(answer, SpillwayError):  # no call of a Function URL: somebody invoked the function with it
        assert isinstance(answer, InvalidRequest)
    else:
        assert answer["statusCode"] in {200, 202, 400, 401, 404, 405, 413, 415, 503}


@FUZZED
@given(text=texts)
def test_both_ends_accept_the_same(text: bytes) -> None:
    """What ingest reads the worker's reader reads, and the other way round."""
    text = text.removeprefix(b"\xef\xbb\xbf")
    outcomes = []
    for reader in (read, loads):
        try:
            reader(text)
        except InvalidRequest:
            outcomes.append(False)
        else:
            outcomes.append(True)
    assert outcomes[0] == outcomes[1]
