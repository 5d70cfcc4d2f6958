"""Any body on the queue: the batch goes on, every record has one end, and nothing of what it holds is told.

`FUZZ_EXAMPLES=5000 python -m pytest tests/property/test_fuzz_worker.py` runs it longer, with other dice each time.
"""

import base64
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import event, given, settings
from hypothesis import strategies as st

from partners import Partner
from partners.amplitude import Amplitude
from partners.iterable import Iterable
from partners.webhook import Webhook
from testkit.harness import Harness
from testkit.partner_api import PartnerApi
from testkit.records import raw_record
from worker_fn.batch.memory import Room
from worker_fn.batch.settle import Report
from worker_fn.clients.http import Answer

FIXTURES = Path(__file__).parent.parent / "fixtures" / "firehose"
KINDS = ("event_processing_request", "audience_membership_change_request", "dsr_processing_request")
SAMPLES = {kind: json.loads((FIXTURES / f"{kind}.json").read_text()) for kind in KINDS}
CANARY = "canary7f3a"
NOW_MS = 1_790_000_000_000

LONGER = "FUZZ_EXAMPLES" in os.environ
fuzzed = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100")), derandomize=not LONGER)

PARTNERS: dict[str, Partner] = {
    "webhook": Webhook(url="https://p.example/e", signs=True),
    "webhook by request": Webhook(url="https://p.example/e", per_event=False),
    "amplitude": Amplitude(),
    "iterable": Iterable(),
    "iterable in bulk": Iterable(is_bulk=True),
}

SECRETS = {"apiKey": f"{CANARY}-key", "secretKey": f"{CANARY}-secret", "signingSecret": f"whsec_{CANARY * 4}"}

# Pieces of JSON text, some of which no JSON writer makes.
HOSTILE = st.sampled_from(
    [
        "null",
        "true",
        "0",
        "-0",
        "-1",
        "1.5",
        "[]",
        "{}",
        '""',
        "[null]",
        "[[]]",
        "[{}]",
        '{"":null}',
        '"\\u0000"',
        "1e5",
        "1e5000",
        "1e-5000",
        "1e100000",
        "1e99999999999999999999",
        "-1e-99999999999999999999",
        "NaN",
        "9" * 400,
        "9" * 5_000,
        "-" + "9" * 30,
        "0." + "3" * 2_000,
        '"\\ud800"',
        '"\\udfff\\ud800"',
        '"\\uffff"',
        '"\x00"',
        '"\\u001b[2J"',
        '"\\r\\nX-A: b"',
        '"Infinity"',
        "[" * 900 + "]" * 900,
        "[" * 5_000 + "]" * 5_000,
        '{"a":' * 900 + "1" + "}" * 900,
        '"' + "1" * 3_000 + 'x"',
        '"' + "a" * 20_000 + '"',
        "[" + ",".join(["{}"] * 300) + "]",
    ]
)
NUMBERS = st.one_of(st.integers().map(str), st.floats(allow_nan=False, allow_infinity=False).map(str))
PERSONAL = st.text(max_size=20).flatmap(
    lambda text: st.sampled_from([f"{CANARY} {text}", [f"{CANARY} {text}", {text: CANARY}]]).map(json.dumps)
)
ODD = st.one_of(HOSTILE, NUMBERS, PERSONAL)
NOT_PERSONAL = st.one_of(HOSTILE, NUMBERS, st.text(max_size=20).map(json.dumps))
"""For an envelope: its ids are told."""


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(one for key, item in inner for one in places(item, (*path, key)))]


@st.composite
def mutated(draw: st.DrawFn, value: dict[str, Any], odd: st.SearchStrategy[str], *, most: int) -> str:
    """A JSON text of the value with some of its places holding something else, or gone."""
    copied = json.loads(json.dumps(value))
    pieces: dict[str, str] = {}
    for number in range(draw(st.integers(0, most))):
        path = draw(st.sampled_from([one for one in places(copied) if one]))
        holder = copied
        for key in path[:-1]:
            holder = holder[key]
        if draw(st.integers(0, 5)) == 0:
            del holder[path[-1]]
            if not copied:
                break
        else:
            pieces[f'"@{number}@"'] = draw(odd)
            holder[path[-1]] = f"@{number}@"
    text = json.dumps(copied)
    for name, piece in pieces.items():
        text = text.replace(name, piece)
    return text


@st.composite
def payloads(draw: st.DrawFn) -> tuple[str, str]:
    kind = draw(st.sampled_from(KINDS))
    request = json.loads(json.dumps(SAMPLES[kind]))
    request["account"] = {"account_id": 8, "account_settings": SECRETS}
    request["user_attributes"] = {"note": CANARY}
    return kind, draw(mutated(request, ODD, most=6))


@st.composite
def bodies(draw: st.DrawFn) -> str:
    """A queue message of whatever form."""
    kind, payload = draw(payloads())
    envelope = {
        "v": 1,
        "id": "r-odd",
        "part": "1/1",
        "type": kind,
        "account_id": "8",
        "received_at_ms": NOW_MS,
        "encoding": "json",
        "payload": "@payload@",
    }
    form = draw(st.sampled_from(["json", "json", "zstd", "zstd", "broken frame", "broken base64", "noise"]))
    if form == "noise":
        return draw(st.one_of(st.text(max_size=200), ODD))
    if form != "json":
        frame = zstandard.compress(payload.encode("utf-8", "surrogatepass"))
        if form == "broken frame":
            cut = draw(st.integers(0, len(frame)))
            frame = frame[:cut] + draw(st.binary(max_size=8)) + frame[cut + 1 :]
        coded = base64.b64encode(frame).decode()
        payload = json.dumps(coded[: draw(st.integers(0, len(coded)))] if form == "broken base64" else coded)
        envelope["encoding"] = "zstd"
    mutate = draw(st.integers(0, 2)) == 0
    text = draw(mutated(envelope, NOT_PERSONAL, most=2)) if mutate else json.dumps(envelope)
    text = text.replace('"@payload@"', payload)
    if draw(st.integers(0, 9)) == 0:
        cut = draw(st.integers(0, len(text)))
        text = text[:cut] + draw(st.sampled_from(["", "\x00", "\ufeff", "}", '"', "\udcff"])) + text[cut + 1 :]
    return text


def healthy(number: int) -> str:
    """A message that every partner can send, and that is known by its e-mail address."""
    name = f"healthy{number}"
    request = {
        "type": "event_processing_request",
        "id": name,
        "mpid": str(number),
        "account": {
            "account_id": 7,
            "account_settings": {"apiKey": "k", "signingSecret": "whsec_" + "k" * 32, "secretKey": "t"},
        },
        "user_identities": [
            {"type": "email", "value": f"{name}@example.com", "encoding": "raw"},
            {"type": "customer", "value": f"{name}@example.com", "encoding": "raw"},
        ],
        "events": [{"type": "custom_event", "id": f"{name}.0", "name": f"{name}.name", "timestamp_ms": NOW_MS}],
    }
    envelope = {
        "v": 1,
        "id": name,
        "part": "1/1",
        "type": request["type"],
        "account_id": "7",
        "received_at_ms": NOW_MS,
        "encoding": "json",
        "payload": request,
    }
    return json.dumps(envelope)


class Batch:
    """A batch worked by a worker whose partner takes everything, on a simulated clock."""

    def __init__(self, partner: Partner, texts: list[str], *, room: Room, in_groups: bool) -> None:
        self.lines: list[str] = []
        self.api = PartnerApi(Answer(200, body=b"{}"))
        self.harness = Harness(
            partner,
            self.api,
            max_in_flight=4,
            in_groups=in_groups,
            room=room,
            log=lambda message, **fields: self.lines.append(repr((message, fields))),
        )
        self.records = [
            raw_record(number, text, first_ms=NOW_MS, group=f"group-{number}") for number, text in enumerate(texts)
        ]

    def run(self) -> Report:
        return self.harness.run(*self.records, time_s=600)


ROOMS = [Room.of_function(512), Room(batch=60_000, message=20_000_000), Room(batch=2_000, message=20_000_000)]


@pytest.mark.parametrize("name", PARTNERS)
@fuzzed
@given(odd=st.lists(bodies(), min_size=1, max_size=4), room=st.sampled_from(ROOMS), in_groups=st.booleans())
def test_any_body_costs_itself_alone(name: str, odd: list[str], room: Room, in_groups: bool) -> None:
    """Whatever lies between them, healthy messages arrive once, and each record has exactly one end."""
    texts = [healthy(0), *odd, healthy(1)]
    batch = Batch(PARTNERS[name], texts, room=room, in_groups=in_groups)
    report = batch.run()
    ids = [record["messageId"] for record in batch.records]
    assert set(report.failures) <= set(ids)
    assert len(set(report.failures)) == len(report.failures) == report.waiting + report.unsettled
    ends = (report.delivered, report.waiting, report.parked, report.dead_lettered, report.unsettled)
    assert sum(ends) == len(ids)
    assert len(batch.harness.queue.dead) == report.dead_lettered
    assert not {ids[0], ids[-1]} & set(report.failures)
    dead = Counter(text for text, _ in batch.harness.queue.dead)
    assert not dead.keys() & {texts[0], texts[-1]}
    for number in (0, 1):
        assert sum(call.body.count(f"healthy{number}.name".encode()) for call in batch.api.calls) == 1
    told = "\n".join([*batch.lines, *(repr(sorted(attributes.items())) for _, attributes in batch.harness.queue.dead)])
    assert CANARY not in told
    for _, attributes in batch.harness.queue.dead:
        event(f"{attributes['reason']}")
    event(f"delivered {report.delivered - 2} of {len(odd)}")
