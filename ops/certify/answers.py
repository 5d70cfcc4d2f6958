"""The faults that an answer of any kind may have: not accepted, or not the message that the protocol asks for.

Field by field as mParticle's SDK writes and reads its messages, level 3.2.0.
"""

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ingest_fn.replies import REGISTRATION, SUBSCRIPTION
from ops.certify.exchange import RETRIED_STATUSES, Ending, Exchange
from ops.certify.objections import Objection
from ops.console.findings import Severity
from shared.message import AUDIENCE, ERASURE, EVENTS

ANSWERED_BY = {
    REGISTRATION: "module_registration_response",
    EVENTS: "event_processing_response",
    AUDIENCE: "audience_membership_change_response",
    SUBSCRIPTION: "audience_subscription_response",
    ERASURE: "dsr_processing_response",
}

PROTOCOL_VERSION = re.compile(r"[0-9]+\.[0-9]+(\.[0-9]+)?")
_SKEW_MS = 3_600_000
"""An answer's clock may differ by an hour: seconds in place of milliseconds, or none at all, differ by decades."""

_ENVELOPE_MEND = (
    "answer with type, id (a UUID: the request's own will do), timestamp_ms (milliseconds since 1970) and"
    " firehose_version"
)


def refusals(exchanges: Iterable[Exchange], id_: str, message: str, mend: str) -> Iterator[Objection]:
    """Object to every request that was not accepted. By HTTP, a status that mParticle never retries costs the data."""
    for one in exchanges:
        if one.accepted:
            continue
        to = f"{one.sent.label} ({one.ending})"
        if one.answer.ending is Ending.REFUSED and one.answer.status not in RETRIED_STATUSES and one.answer.status:
            lost = f"{message}; after this status mParticle never sends it again"
            yield Objection(id_, lost, mend, to)
        else:
            yield Objection(id_, message, mend, to)


def refusals_apart(
    exchanges: Sequence[Exchange], bare: str, refused: tuple[str, str, str], bare_refused: tuple[str, str, str]
) -> Iterator[Objection]:
    """Object to every request that was not accepted; to the one labelled `bare`, which lacks what is optional, in words
    of its own, and only where another was accepted. Each objection is id, message and mend.
    """
    yield from refusals([one for one in exchanges if one.sent.label != bare], *refused)
    if any(one.accepted for one in exchanges):
        yield from refusals([one for one in exchanges if one.sent.label == bare], *bare_refused)


def shapes(exchanges: Iterable[Exchange], now_ms: int) -> Iterator[Objection]:
    """Object to faults in accepted answers."""
    for one in exchanges:
        if one.accepted:
            yield from _shape(one, now_ms)


def _shape(exchange: Exchange, now_ms: int) -> Iterator[Objection]:
    to = exchange.sent.label
    found = exchange.answer.json()
    expected = ANSWERED_BY.get(exchange.sent.kind, "")
    if not isinstance(found, dict):
        yield _no_object(exchange, found)
        return
    if "type" not in found and {"statusCode", "body"} <= found.keys():
        yield Objection(
            "answer.wrapped",
            'the answer is a {"statusCode": ..., "body": ...} envelope, not a message of mParticle\'s',
            "invoked by ARN the function returns the message itself; the envelope is for API Gateway and Function URLs",
            to,
        )
        return
    if found.get("type") != expected:
        yield Objection("answer.type", f"the answer's type is not {expected}", f'answer with "type": "{expected}"', to)
        return
    yield from _envelope(found, now_ms, to)
    yield from _suspension(exchange.sent.kind, found, to)


def _no_object(exchange: Exchange, found: Any) -> Objection:
    to = exchange.sent.label
    if isinstance(found, str):
        return Objection(
            "answer.text",
            "the answer is a JSON string, not a JSON object",
            "return the object itself: the Lambda runtime writes the JSON, so that json.dumps makes a string of it",
            to,
        )
    return Objection(
        "answer.not_object",
        "the answer is no JSON object",
        f"answer with a message of the protocol as JSON. {_ENVELOPE_MEND.capitalize()}",
        to,
    )


def _envelope(found: Mapping[str, Any], now_ms: int, to: str) -> Iterator[Objection]:
    if not _is_uuid(found.get("id")):
        yield Objection("answer.id", "the answer's id is missing or no UUID", _ENVELOPE_MEND, to)
    at_ms = found.get("timestamp_ms")
    if type(at_ms) is not int or abs(at_ms - now_ms) > _SKEW_MS:
        message = "the answer's timestamp_ms is not the time in milliseconds since 1970, as an integer"
        yield Objection("answer.timestamp_ms", message, _ENVELOPE_MEND, to)
    version = found.get("firehose_version")
    mend = 'answer with "firehose_version": "3.2.0", or the version of mParticle\'s SDK that you follow'
    if version is None:
        yield Objection(
            "answer.firehose_version", "the answer has no firehose_version", mend, to, severity=Severity.WARNING
        )
    elif not isinstance(version, str) or not PROTOCOL_VERSION.fullmatch(version):
        yield Objection("answer.firehose_version", "the answer's firehose_version is no version", mend, to)


def _suspension(kind: str, found: Mapping[str, Any], to: str) -> Iterator[Objection]:
    if kind not in {EVENTS, AUDIENCE}:
        return
    suspend = found.get("suspend_subscription")
    if suspend is True:
        yield Objection(
            "answer.suspended",
            "suspend_subscription is true: mParticle would stop sending until the customer resumes the connection",
            "with made-up credentials that may be right: give working ones with --setting NAME=VALUE",
            to,
            Severity.WARNING,
        )
    elif suspend is None and kind == AUDIENCE:
        yield Objection(
            "answer.suspend_subscription",
            "the answer to an audience change does not say suspend_subscription",
            "always write it there: false, or true to have mParticle stop sending for that connection",
            to,
            Severity.WARNING,
        )
    elif suspend is not None and not isinstance(suspend, bool):
        yield Objection(
            "answer.suspend_subscription",
            "suspend_subscription is neither true nor false",
            "write a JSON boolean, without quotes",
            to,
        )


def _is_uuid(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return str(uuid.UUID(value)) == value.lower() and uuid.UUID(value).int != 0
    except ValueError:
        return False
