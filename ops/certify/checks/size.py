"""A request as large as Lambda lets through: 6 MB is its limit for an invocation and for a Function URL."""

import json
import random
from collections.abc import Iterator, Sequence

from ops.certify.answers import refusals, shapes
from ops.certify.check import Check
from ops.certify.exchange import Exchange, Sent
from ops.certify.objections import Objection
from ops.certify.script import Json, Script
from shared.message import AUDIENCE, ERASURE, EVENTS

LARGE_BYTES = 5_800_000
_EVENT_BYTES = 100_000
"""Below what mParticle's own intake takes for a batch, 128 KB."""


def _sends(script: Script) -> list[Sent]:
    kind = script.main_kind
    if kind is None or kind == ERASURE:
        return []
    request = script.plain(kind, 0)
    name = "events" if kind == EVENTS else "user_profiles"
    count = LARGE_BYTES // _EVENT_BYTES
    request[name] = [_large(request[name][0], script, kind, number) for number in range(count)]
    sent = Sent.of("", request)
    return [Sent(f"{len(sent.body) / 1e6:.1f} MB in {count} {name}", sent.body, sent.request)]


def _large(one: Json, script: Script, kind: str, number: int) -> Json:
    """One event, or profile, of about 100 KB that a compressor cannot make much of."""
    letters = random.Random(f"{script.seed}/{number}")  # noqa: S311 - padding, not secrets
    room = _EVENT_BYTES - len(json.dumps(one, ensure_ascii=False).encode()) - 100
    padding = letters.randbytes(room // 2).hex()
    if kind == AUDIENCE:
        audience = one["audiences"][0]
        attribute = {"key": "note", "value": padding, "action": "upsert"}
        return one | {"audiences": [audience | {"action": "add", "user_attributes": [attribute]}]}
    fresh = script.fresh({"type": kind, "events": [one], "timestamp_ms": script.now_ms}, 1_000 + number)["events"][0]
    return {**fresh, "attributes": {"note": padding}}


def _objections(exchanges: Sequence[Exchange], script: Script) -> Iterator[Objection]:
    yield from refusals(
        exchanges,
        "size.refused",
        "a large request is not accepted",
        "take requests up to Lambda's 6 MB: more memory or a longer time-out, and a store or a queue that takes them"
        " in parts (an SQS message holds 1 MiB)",
    )
    yield from shapes(exchanges, script.now_ms)


CHECK = Check("size", "sends nearly 6 MB", _sends, _objections)
