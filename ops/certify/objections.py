"""What a check objects to; the same objection to several answers becomes one finding."""

from collections.abc import Iterable
from dataclasses import dataclass

from ops.console.findings import Finding, Severity

_NAMED = 3
"""The most requests that a finding names; the others are counted."""


@dataclass(frozen=True, slots=True)
class Objection:
    """`to` names the request with the faulty answer, and in brackets how it ended; empty for the integration itself."""

    id: str
    message: str
    mend: str
    to: str = ""
    severity: Severity = Severity.ERROR


def findings(objections: Iterable[Objection]) -> list[Finding]:
    """Merge equal objections to several requests into one, in the order of the first ones."""
    said: dict[tuple[str, str], tuple[Objection, dict[str, None]]] = {}
    for one in objections:
        _, to = said.setdefault((one.id, one.message), (one, {}))
        if one.to:
            to[one.to] = None
    return [Finding(one.id, _told(one.message, list(to)), one.mend, one.severity) for one, to in said.values()]


def _told(message: str, to: list[str]) -> str:
    if not to:
        return message
    named = "; ".join(to[:_NAMED])
    more = f" and {len(to) - _NAMED} more" if len(to) > _NAMED else ""
    return f"{message}: {named}{more}"
