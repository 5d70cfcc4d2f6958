"""mParticle delivers at least once: the same request may come again, and has to be answered as it was."""

from collections.abc import Iterator, Sequence

from ops.certify.answers import refusals, shapes
from ops.certify.check import Check
from ops.certify.exchange import Exchange, Sent
from ops.certify.objections import Objection
from ops.certify.script import Script
from shared.message import AUDIENCE, ERASURE, EVENTS

_NAMES = {EVENTS: "an event request", AUDIENCE: "an audience change", ERASURE: "an erasure request"}


def _sends(script: Script) -> list[Sent]:
    sent = []
    for number, (kind, name) in enumerate(_NAMES.items()):
        if script.can_send(kind):
            request = script.plain(kind, number)
            sent += [Sent.of(name, request), Sent.of(f"{name}, sent again", request)]
    return sent


def _objections(exchanges: Sequence[Exchange], script: Script) -> Iterator[Objection]:
    yield from shapes(exchanges, script.now_ms)
    for first, again in zip(exchanges[::2], exchanges[1::2], strict=False):
        if not first.accepted:
            yield from refusals(
                [first], "repeats.refused_first", "a request like one that was accepted is not", "look into its log"
            )
        yield from refusals(
            [again] if first.accepted else [],
            "repeats.refused",
            "a request that was accepted is refused when it comes again",
            "answer a repetition normally: mParticle may send again when an answer was lost, and an error could make it"
            " go on",
        )
        if first.accepted and again.accepted and _fields(first) != _fields(again):
            yield Objection(
                "repeats.answer",
                "the answer to a repetition has other fields than the first one",
                "answer a repetition as the first time",
                again.sent.label,
            )


def _fields(exchange: Exchange) -> object:
    found = exchange.answer.json()
    return sorted(found) if isinstance(found, dict) else type(found)


CHECK = Check("repeats", "sends the same twice", _sends, _objections)
