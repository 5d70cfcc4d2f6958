"""Everything that is wrong with a registration: the one of the partner here, or one of any integration in a file.

Its form can be wrong (a value of a wrong type, a word that mParticle does not know): the models find that. Or it breaks
a rule (shared/firehose/rules).
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ops.console.findings import Finding, Severity
from ops.registration.declared import declared
from shared.errors import SpillwayError
from shared.firehose import ModuleRegistrationResponse
from shared.firehose.rules import violations
from shared.firehose.rules.settings import SETTING_LISTS

_UNKNOWN_FIELD = "extra_forbidden"
_SETTING_LISTS = frozenset(field for _, field in SETTING_LISTS)
_KINDS = {
    "string": "a string",
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "list": "a list",
    "model_attributes": "an object",
    "model": "an object",
    "dict": "an object",
}


class RegistrationUnreadable(SpillwayError):
    """A file that holds no registration; the text names it and says what is wrong."""


def check_partner(env: Mapping[str, str]) -> list[Finding]:
    """Return what is wrong with the registration of the partner that `env` names. Raises InvalidSettings."""
    try:
        return rule_findings(declared(env))
    except ValidationError as error:
        return [_form_finding(one, inside=error.title) for one in error.errors(include_url=False)]


def check_document(document: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with an answer to a module registration, of any integration."""
    _, findings = read_response(document)
    return [*findings, *rule_findings(document)]


def read_document(path: Path) -> dict[str, Any]:
    """Read a file's JSON object. Raises RegistrationUnreadable."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=_no_number)
    except OSError as error:
        raise RegistrationUnreadable(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise RegistrationUnreadable(
            f"{path} is not JSON: save the answer to a module registration there, as `spillway registration` prints it"
        ) from None
    if not isinstance(document, dict):
        raise RegistrationUnreadable(f"{path} holds no JSON object: a registration is one")
    return document


def read_response(document: Mapping[str, Any]) -> tuple[ModuleRegistrationResponse | None, list[Finding]]:
    """Read an answer, fields that nobody knows left out; None if its form is wrong. The findings say what was found."""
    findings: list[Finding] = []
    try:
        return ModuleRegistrationResponse.model_validate(document), findings
    except ValidationError as error:
        found = error.errors(include_url=False)
    findings = [_form_finding(one) for one in found]
    known = json.loads(json.dumps(document))
    for one in found:
        if one["type"] != _UNKNOWN_FIELD:
            return None, findings
        holder = known
        for step in (path := _path(one["loc"]))[:-1]:
            holder = holder[step]
        del holder[path[-1]]
    return ModuleRegistrationResponse.model_validate(known), findings


def rule_findings(document: Mapping[str, Any]) -> list[Finding]:
    """Return which of mParticle's rules a registration breaks."""
    return [
        Finding(
            one.rule,
            f"{one.where}: {one.problem}" if one.where else one.problem,
            one.mend,
            Severity.WARNING if one.is_warning else Severity.ERROR,
        )
        for one in violations(document)
    ]


def _form_finding(error: Mapping[str, Any], inside: str = "") -> Finding:
    where = "".join(_spelled(_path(error["loc"]))) or "the registration"
    if inside:
        where = f"{inside}: {where}"
    if error["type"] == _UNKNOWN_FIELD:
        return Finding(
            "form.unknown_field",
            f"{where}: mParticle's protocol has no such field.",
            "Compare its spelling with the protocol's; mParticle passes over what it does not know.",
            Severity.ERROR if inside else Severity.WARNING,
        )
    return Finding("form.value", f"{where}: {_problem(error)}", "Correct it: such a registration cannot be read.")


def _problem(error: Mapping[str, Any]) -> str:
    kind, limits = str(error["type"]), error.get("ctx", {})
    if kind == "missing":
        return "is missing."
    if kind == "string_too_short":
        return "is empty."
    if kind in {"enum", "literal_error"}:
        return f"is none of {limits['expected']}."
    if kind == "union_tag_not_found":
        return "has no type."
    if kind == "union_tag_invalid":
        return f"has an unknown type; there are {limits['expected_tags']}."
    name = next((name for name in _KINDS if kind.startswith(f"{name}_") or kind == name), None)
    return f"must be {_KINDS[name]}." if name else f"{error['msg'].removesuffix('.')}."


def _path(location: tuple[int | str, ...]) -> list[int | str]:
    """A fault's path without the models' addition: the type of a setting, after its place in a list of settings."""
    return [
        step
        for place, step in enumerate(location)
        if place < 2 or not (isinstance(location[place - 1], int) and location[place - 2] in _SETTING_LISTS)
    ]


def _spelled(path: list[int | str]) -> Iterator[str]:
    for place, step in enumerate(path):
        if isinstance(step, int):
            yield f"[{step}]"
        else:
            yield f".{step}" if place else step


def _no_number(name: str) -> None:
    raise ValueError(name)
