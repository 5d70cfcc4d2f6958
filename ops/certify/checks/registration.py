"""mParticle asks for the registration once, and a person reads it: all of it has to be right the first time."""

from collections.abc import Iterator, Sequence
from typing import Any

from ops.certify.answers import PROTOCOL_VERSION, refusals, shapes
from ops.certify.check import Check
from ops.certify.exchange import Exchange, Sent, Token
from ops.certify.objections import Objection
from ops.certify.script import Script
from ops.registration.check import read_response, rule_findings

LABEL = "registration"
_TYPE = "module_registration_response"


def _sends(script: Script) -> list[Sent]:
    """mParticle asks without a token: it has none yet."""
    return [Sent.of(LABEL, script.registration(), token=Token.NONE)]


def _objections(exchanges: Sequence[Exchange], script: Script) -> Iterator[Objection]:
    yield from refusals(
        exchanges,
        "registration.refused",
        "the registration request is not answered",
        "answer module_registration_request with the declaration, before anything else and without authentication",
    )
    yield from shapes(exchanges, script.now_ms)
    for one in exchanges:
        found = one.answer.json()
        if one.accepted and isinstance(found, dict) and found.get("type") == _TYPE:
            yield from _declared(found)


def _declared(found: dict[str, Any]) -> Iterator[Objection]:
    if not PROTOCOL_VERSION.fullmatch(str(found.get("sdk_version", ""))):
        yield Objection(
            "registration.sdk_version",
            "the registration does not name the level of mParticle's SDK that it follows",
            'answer the registration with "sdk_version": "3.2.0"',
        )
    _, of_form = read_response(found)
    for one in (*of_form, *rule_findings(found)):
        id_ = one.id if one.id.startswith("registration.") else f"registration.{one.id}"
        yield Objection(id_, one.message, one.mend, severity=one.severity)


CHECK = Check("registration", "asks who is there", _sends, _objections)
