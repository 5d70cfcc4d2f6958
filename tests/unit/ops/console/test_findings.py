import io
import json

import pytest
from rich.console import Console

from ops.console.findings import Finding, Severity, as_json, exit_status, show

ERROR = Finding("alias.missing", "The alias is not there.", "make deploy STAGE=production")
WARNING = Finding("alarm.silent", "Nobody hears the alarms.", "ALARM_EMAIL=... make deploy", Severity.WARNING)


@pytest.mark.parametrize(("findings", "passes"), [([], True), ([WARNING], True), ([WARNING, ERROR], False)])
def test_only_an_error_fails_a_check(findings: list[Finding], passes: bool) -> None:
    """A warning is shown and passes; the document and the exit status agree."""
    document = json.loads(as_json(findings))
    assert document["passed"] is passes
    assert exit_status(findings) == int(not passes)
    assert [one["id"] for one in document["findings"]] == [one.id for one in findings]


def test_a_finding_has_four_fields() -> None:
    """What tools read: id, severity, message, mend."""
    (found,) = json.loads(as_json([ERROR]))["findings"]
    assert found == {
        "id": "alias.missing",
        "message": "The alias is not there.",
        "mend": "make deploy STAGE=production",
        "severity": "error",
    }


def test_people_see_errors_first_and_how_to_mend_them() -> None:
    """The error stands above the warning, each with its mend below."""
    console = Console(file=io.StringIO(), width=100)
    show([WARNING, ERROR], console, good="all is well")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.index("The alias is not there.") < text.index("Nobody hears the alarms.")
    assert "make deploy STAGE=production" in text
    assert "all is well" not in text


def test_nothing_found_is_said() -> None:
    """Silence would look like a check that did not run."""
    console = Console(file=io.StringIO(), width=100)
    show([], console, good="all is well")
    assert "✓ all is well" in console.file.getvalue()  # type: ignore[attr-defined]
