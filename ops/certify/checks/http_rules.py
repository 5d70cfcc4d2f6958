"""Rules for HTTP integrations alone: a token, methods, statuses."""

from collections.abc import Iterator, Sequence

from ops.certify.answers import refusals
from ops.certify.check import Check
from ops.certify.exchange import RETRIED_STATUSES, Ending, Exchange, Sent, Token
from ops.certify.objections import Objection
from ops.certify.script import Script
from ops.console.findings import Severity

_NO_TOKEN, _WRONG_TOKEN = "a request without a token", "a request with a wrong token"
_GET, _GOOD = "a GET", "a request with the token"


def _sends(script: Script) -> list[Sent]:
    if not script.http or script.main_kind is None:
        return []
    plain = [script.plain(script.main_kind, number) for number in range(3)]
    sent = [Sent.of(_NO_TOKEN, plain[0], Token.NONE), Sent(_GET, b"", method="GET"), Sent.of(_GOOD, plain[2])]
    if script.has_token:
        sent.insert(1, Sent.of(_WRONG_TOKEN, plain[1], Token.WRONG))
    return sent


def _objections(exchanges: Sequence[Exchange], script: Script) -> Iterator[Objection]:
    for one in exchanges:
        if one.sent.label in {_NO_TOKEN, _WRONG_TOKEN}:
            yield from _closed(one)
        elif one.sent.label == _GET:
            yield from _method(one)
        else:
            yield from _content_type(one)
    if exchanges and not script.has_token:
        yield Objection(
            "http.no_token",
            "authentication was not checked with a token, because none was given",
            "set SPILLWAY_TOKEN to the one that mParticle sends",
            severity=Severity.WARNING,
        )
    yield from refusals(
        [one for one in exchanges if one.sent.label == _GOOD],
        "http.refused",
        "a request is not accepted",
        "check SPILLWAY_TOKEN; the header is `Authorization: Token ...`",
    )


def _closed(one: Exchange) -> Iterator[Objection]:
    to = f"{one.sent.label} ({one.ending})"
    mend = "compare the header `Authorization: Token ...` in constant time, and answer 401"
    if one.accepted:
        yield Objection("http.open", "anybody who knows the URL can send data", mend, one.sent.label)
    elif one.answer.status not in {401, 403}:
        message = "a request that may not be sent is refused with another status than 401 or 403"
        if one.answer.status in RETRIED_STATUSES:
            message += ", and mParticle would repeat it for a while"
        yield Objection("http.unauthorized_status", message, mend, to)


def _method(one: Exchange) -> Iterator[Objection]:
    to = f"{one.sent.label} ({one.ending})"
    if one.accepted:
        yield Objection(
            "http.method",
            "another method than POST is answered as a success",
            "answer 405",
            to,
            severity=Severity.WARNING,
        )
    elif one.answer.ending is not Ending.REFUSED or one.answer.status >= 500:
        yield Objection("http.method", "another method than POST is not refused at once", "answer 405", to)


def _content_type(one: Exchange) -> Iterator[Objection]:
    if one.accepted and not one.answer.content_type.lower().startswith("application/json"):
        yield Objection(
            "http.content_type",
            "the answer's Content-Type is not application/json",
            "answer with Content-Type: application/json",
            severity=Severity.WARNING,
        )


CHECK = Check("http", "tries doors that should be closed", _sends, _objections)
