"""`spillway registration`: prints, checks or compares; what each returns is the exit status."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from ops.console import findings as checks
from ops.console.screen import BAD, GOOD, WARN, Screen
from ops.console.terminal import safe, say_json
from ops.registration.check import (
    RegistrationUnreadable,
    check_document,
    check_partner,
    read_document,
    read_response,
)
from ops.registration.declared import declared, written
from ops.registration.diff import Change, changes, felt


def show_registration(env: Mapping[str, str]) -> int:
    """Print the JSON to send to mParticle; what is wrong with it goes to standard error. Raises InvalidSettings."""
    found = check_partner(env)
    with suppress(ValidationError):  # it cannot be made at all, and the findings say why
        say_json(json.dumps(declared(env), indent=2, ensure_ascii=False))
    if not checks.passed(found):
        checks.show(found, Screen(stderr=True), good="")
    return checks.exit_status(found)


def check(env: Mapping[str, str], file: Path | None, *, as_json: bool) -> int:
    """Explain everything that is wrong with the partner's registration, or with a file's."""
    found = check_document(read_document(file)) if file else check_partner(env)
    if as_json:
        say_json(checks.as_json(found))
    else:
        checks.show(found, Screen(), good="The registration keeps every rule.")
    return checks.exit_status(found)


def diff(env: Mapping[str, str], old_file: Path, new_file: Path | None, *, as_json: bool) -> int:
    """Show what changed since `old_file`, and who will notice it. Status 1: a change that is never allowed."""
    old = _registration(old_file)
    new = _registration(new_file) if new_file else _declared(env)
    found = changes(old, new)
    findings = felt(found, same_version=old.get("version") == new.get("version"))
    if as_json:
        say_json(checks.as_json(findings, {"changes": [_plain(one) for one in found]}))
    else:
        _show(found, Screen())
        if findings:
            checks.show(findings, Screen(), good="")
    return checks.exit_status(findings)


def _registration(file: Path) -> dict[str, Any]:
    response, _ = read_response(read_document(file))
    if response is None:
        raise RegistrationUnreadable(
            f"{file} holds no registration that can be compared: `spillway registration --check {file}` says why"
        )
    return written(response.registration())


def _declared(env: Mapping[str, str]) -> dict[str, Any]:
    try:
        return declared(env)
    except ValidationError:
        raise RegistrationUnreadable(
            "the partner's registration cannot be made: `spillway registration --check` says why"
        ) from None


def _show(found: list[Change], console: Console) -> None:
    colours = {"+": GOOD, "-": BAD, "~": WARN}
    for part, group in groupby(found, key=lambda one: one.thing.part):
        console.print(Text(safe(part), style="bold"))
        for one in group:
            console.print(Text.assemble("  ", (one.sign, colours[one.sign]), f" {safe(one)}"))
    if not found:
        console.print("Nothing changed.")


def _plain(change: Change) -> dict[str, Any]:
    kind = {"+": "added", "-": "removed", "~": "changed"}[change.sign]
    return {"change": kind, **asdict(change), "text": str(change)}
