"""The findings of a check: one form for every command that checks something, for people and for tools.

{"passed": false, "findings": [{"id": "alias.missing", "severity": "error", "message": "...", "mend": "..."}]}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.text import Text

from ops.console.screen import BAD, DIM, GOOD, WARN
from ops.console.terminal import safe


class Severity(StrEnum):
    ERROR = "error"
    """The check has not passed."""
    WARNING = "warning"
    """Worth a look; the check passes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `id` is stable, so that a tool can key on it; `mend` says what to do, as a command where
    there is one. Neither `message` nor `mend` may hold a secret or anything of a user's data.
    """

    id: str
    message: str
    mend: str
    severity: Severity = Severity.ERROR


def passed(findings: Sequence[Finding]) -> bool:
    """Whether nothing found is an error."""
    return all(one.severity is not Severity.ERROR for one in findings)


def exit_status(findings: Sequence[Finding]) -> int:
    """0 if the check passed, 1 if not; 2 is for a check that could not be made."""
    return 0 if passed(findings) else 1


def as_json(findings: Sequence[Finding], more: Mapping[str, Any] | None = None) -> str:
    """Return the document that `--json` prints, indented. `more` are a command's fields beside its findings."""
    document = {"passed": passed(findings), "findings": [asdict(one) for one in findings], **(more or {})}
    return json.dumps(document, indent=2, ensure_ascii=False)


def show(findings: Sequence[Finding], console: Console, *, good: str) -> None:
    """Print the findings, errors first, or `good` if there are none."""
    for one in sorted(findings, key=lambda finding: finding.severity is not Severity.ERROR):
        mark = Text("✗ ", style=BAD) if one.severity is Severity.ERROR else Text("! ", style=WARN)
        console.print(Text.assemble(mark, safe(one.message), (f"  [{safe(one.id)}]", DIM)))
        console.print(Text(f"  {safe(one.mend)}"))
    if not findings:
        console.print(Text.assemble(("✓ ", GOOD), safe(good)))
