"""mParticle asks once who is there, and a person reads the answer: all of it has to be right the first time."""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from ops.certify.answers import VERSION, refusals, shapes
from ops.certify.check import Check
from ops.certify.exchange import Exchange, Sent, Token
from ops.certify.objections import Objection
from ops.certify.registration_rules import broken_rules
from ops.certify.script import Script
from ops.findings import Severity
from shared.firehose import ModuleRegistrationResponse

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
    if not VERSION.fullmatch(str(found.get("sdk_version", ""))):
        yield Objection(
            "registration.sdk_version",
            "the registration does not name the level of mParticle's SDK that it follows",
            'answer the registration with "sdk_version": "3.2.0"',
        )
    read, unknown, unreadable = read_registration(found)
    for where in unknown:
        yield Objection(
            "registration.unknown_field",
            "the registration has fields that mParticle's SDK 3.2.0 does not know",
            "compare the spelling with the SDK; mParticle ignores what it does not know",
            where,
            Severity.WARNING,
        )
    for where in unreadable:
        yield Objection(
            "registration.unreadable",
            "the registration has values that mParticle's SDK 3.2.0 does not have, or lacks what must be there",
            "compare them with the SDK; `spillway registration` prints one that is right",
            where,
        )
    if read is not None:
        yield from broken_rules(read)


def read_registration(found: dict[str, Any]) -> tuple[ModuleRegistrationResponse | None, list[str], list[str]]:
    """Read a registration: what it declares (None if it cannot be read), unknown fields, unreadable ones."""
    unknown: list[str] = []
    try:
        return ModuleRegistrationResponse.model_validate(found), unknown, []
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    extra = [fault["loc"] for fault in faults if fault["type"] == "extra_forbidden"]
    unreadable = [f"{_path(fault['loc'])} ({fault['msg']})" for fault in faults if fault["type"] != "extra_forbidden"]
    if unreadable or not extra:
        return None, [_path(where) for where in extra], unreadable
    read, _, unreadable = read_registration(_without(found, extra))
    return read, [_path(where) for where in extra], unreadable


def _without(found: Any, paths: Sequence[tuple[int | str, ...]]) -> Any:
    """A copy without the fields at the ends of the paths. A path may name a union's branch, which is no step."""
    if isinstance(found, list):
        return [_without(item, _below(paths, index)) for index, item in enumerate(found)]
    if not isinstance(found, dict):
        return found
    branch = found.get("type")
    paths = [path[1:] if len(path) > 1 and path[0] == branch and branch not in found else path for path in paths]
    gone = {path[0] for path in paths if len(path) == 1}
    return {name: _without(value, _below(paths, name)) for name, value in found.items() if name not in gone}


def _below(paths: Sequence[tuple[int | str, ...]], step: int | str) -> list[tuple[int | str, ...]]:
    return [path[1:] for path in paths if len(path) > 1 and path[0] == step]


def _path(where: tuple[int | str, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where).removeprefix(".")


CHECK = Check("registration", "asks who is there", _sends, _objections)
