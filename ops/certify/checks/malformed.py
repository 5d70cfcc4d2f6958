"""Requests that are not mParticle's: they must be refused at once, as nothing received, and not harm the next one."""

import json
from collections.abc import Iterator, Sequence

from ops.certify.answers import refusals
from ops.certify.check import Check
from ops.certify.exchange import RETRIED_STATUSES, Ending, Exchange, Sent
from ops.certify.objections import Objection
from ops.certify.script import Script
from ops.console.findings import Severity
from shared.message import EVENTS

_CANARY = "certify-canary-7f3a@example.org"
_GOOD_AFTER = "a request after the malformed ones"
_NO_JSON = {
    "a body that is no JSON": b"not json",
    "a truncated body": b'{"type":"event_processing_request","events":[',
    "an empty body": b"",
}
_NO_REQUEST = {
    "a JSON string": _CANARY,
    "a JSON array": [{"type": EVENTS}],
    "a request without a type": {"id": "b917880b-c91d-47b5-b2fe-f14de2a4a38c", "email": _CANARY},
    "a type that is null": {"type": None, "email": _CANARY},
    "an unknown type": {"type": "certify_unknown_request", "email": _CANARY},
    "a response for a request": {"type": "event_processing_response", "email": _CANARY},
}


def _sends(script: Script) -> list[Sent]:
    sent = [Sent(label, json.dumps(content).encode()) for label, content in _NO_REQUEST.items()]
    if script.http:
        # Lambda itself refuses what is no JSON before the function sees it; an empty body, too.
        sent += [Sent(label, body) for label, body in _NO_JSON.items()]
    return [*sent, *script.several(_GOOD_AFTER, 1)]


def _objections(exchanges: Sequence[Exchange], script: Script) -> Iterator[Objection]:
    malformed = [one for one in exchanges if one.sent.label != _GOOD_AFTER]
    for one in malformed:
        yield from _judge(one, http=script.http)
    yield from refusals(
        [one for one in exchanges if one.sent.label == _GOOD_AFTER],
        "malformed.after",
        "a good request is not accepted after malformed ones",
        "an execution environment must outlive what it refuses: catch the error, keep no half-made state",
    )


def _judge(one: Exchange, *, http: bool) -> Iterator[Objection]:
    to, answer = one.sent.label, one.answer
    if one.accepted:
        yield Objection(
            "malformed.accepted",
            "what is no request is answered as a success, so that nobody will ever look for it",
            "refuse it: " + ("status 400" if http else "raise an error, which Lambda reports as a function error"),
            to,
        )
    elif answer.ending in {Ending.TIMED_OUT, Ending.NO_ANSWER}:
        yield Objection(
            "malformed.hangs",
            "what is no request gets no answer",
            "look at the request before any work is begun, and refuse it at once",
            f"{to} ({one.ending})",
        )
    elif http and answer.status in RETRIED_STATUSES:
        yield Objection(
            "malformed.retried",
            "what can never succeed is refused with a status that mParticle repeats",
            "answer 400 (any 4xx but 408 and 429); 500, 502, 503 and 504 are for what may work later",
            f"{to} ({one.ending})",
        )
    elif http and not 400 <= answer.status < 500:
        yield Objection(
            "malformed.status",
            "what is no request is refused with a status that does not blame it",
            "answer 400",
            f"{to} ({one.ending})",
        )
    if _CANARY.encode() in answer.payload:
        yield Objection(
            "malformed.echo",
            "the answer quotes what was sent: identities and credentials would end up in logs in this way",
            "name the field that is wrong, never its value",
            to,
            Severity.WARNING,
        )


CHECK = Check("malformed", "sends what is no request", _sends, _objections)
