import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.console.findings import Severity
from ops.registration.check import check_document, check_partner, read_document
from ops.registration.declared import declared
from shared.errors import SpillwayError

Partner = Callable[[str], dict[str, str]]
WEBHOOK = {"WEBHOOK_URL": "https://partner.example/events", "PARTNER": ""}
BROKEN = 'description="x" * 230, permissions=Permissions(allow_eventless_batches=True)'


def run(*arguments: str, env: Mapping[str, str] = WEBHOOK) -> Any:
    return CliRunner().invoke(app, ["registration", *arguments], env=dict(env))


def webhook(**changed: Any) -> dict[str, Any]:
    return {**declared(WEBHOOK), **changed}


def test_the_webhook_keeps_every_rule() -> None:
    """The partner that ships passes its own check without a word of advice."""
    assert check_partner(WEBHOOK) == []
    done = run("--check")
    assert done.exit_code == 0
    assert "keeps every rule" in done.stdout
    assert json.loads(run("--check", "--json").stdout) == {"passed": True, "findings": []}


def test_every_violation_of_a_partner_is_listed(partner: Partner) -> None:
    """A declaration that is refused where it is made is explained here, rule by rule, advice included."""
    done = run("--check", "--json", env=partner(BROKEN))
    document = json.loads(done.stdout)
    assert done.exit_code == 1
    assert not document["passed"]
    found = {one["id"]: one for one in document["findings"]}
    assert set(found) == {"description.long", "registration.empty", "permissions.without_use"}
    assert found["description.long"]["mend"] == "Shorten it by 1."
    assert found["registration.empty"]["severity"] == "warning"


def test_a_registration_that_breaks_a_rule_is_printed_with_a_complaint(partner: Partner) -> None:
    """The JSON is what a forced deploy would answer; what is wrong is on standard error, and the status says so."""
    done = run(env=partner(BROKEN))
    assert done.exit_code == 1
    assert json.loads(done.stdout)["description"] == "x" * 230
    assert "description.long" in done.stderr


@pytest.mark.parametrize(
    ("declared_as", "message"),
    [
        ("nickname='V'", "Registration: nickname: mParticle's protocol has no such field."),
        (
            "event_processing_registration=EventProcessingRegistration(supported_event_types=['hologram'])",
            "EventProcessingRegistration: supported_event_types[0]: is none of 'session_start', ",
        ),
        ("permissions=Permissions(allow_everything=True)", "Permissions: allow_everything: mParticle's protocol"),
    ],
)
def test_a_declaration_that_cannot_be_made_is_explained(partner: Partner, declared_as: str, message: str) -> None:
    """A typo in a declaration is an error that names its place, not a traceback; nothing is printed to send."""
    env = partner(declared_as)
    (found,) = check_partner(env)
    assert found.severity is Severity.ERROR
    assert found.message.startswith(message)
    printed = run(env=env)
    assert printed.exit_code == 1
    assert printed.stdout == ""


def setting(**more: Any) -> dict[str, Any]:
    return webhook(audience_processing_registration={"account_settings": [{"type": "text", **more}]})


@pytest.mark.parametrize(
    ("document", "rule", "message"),
    [
        (webhook(type="event_processing_response"), "form.value", "type: is none of 'module_registration_response'."),
        (webhook(name=""), "form.value", "name: is empty."),
        (webhook(name=7), "form.value", "name: must be a string."),
        (webhook(permissions=[]), "form.value", "permissions: must be an object."),
        (
            webhook(event_processing_registration={"max_data_age_hours": "a day"}),
            "form.value",
            "event_processing_registration.max_data_age_hours: must be a whole number.",
        ),
        (
            webhook(event_processing_registration={"max_data_age_hours": 1.5}),
            "form.value",
            "event_processing_registration.max_data_age_hours: must be a whole number.",
        ),
        (
            setting(id="a"),
            "form.value",
            "audience_processing_registration.account_settings[0].name: is missing.",
        ),
        (
            setting(id="a", name="A", requierd=True),
            "form.unknown_field",
            "audience_processing_registration.account_settings[0].requierd: mParticle's protocol has no such field.",
        ),
        (
            webhook(dsr_processing_registration={"account_settings": [], "text": []}),
            "form.unknown_field",
            "dsr_processing_registration.text: mParticle's protocol has no such field.",
        ),
        (
            webhook(permissions={"user_identities": [{"type": "email", "encoding": "raw", "text": 1}]}),
            "form.unknown_field",
            "permissions.user_identities[0].text: mParticle's protocol has no such field.",
        ),
        (
            setting(id="a", name="A", text=1),
            "form.unknown_field",
            "audience_processing_registration.account_settings[0].text: mParticle's protocol has no such field.",
        ),
        (
            setting(id="a", name="A", type="secret"),
            "form.value",
            "audience_processing_registration.account_settings[0]: has an unknown type; there are 'text', ",
        ),
        (
            webhook(permissions={"user_identities": [{"type": "pinterest", "encoding": "raw"}]}),
            "form.value",
            "permissions.user_identities[0].type: is none of 'other', 'customer'",
        ),
    ],
)
def test_the_form_of_any_registration_is_explained(document: dict[str, Any], rule: str, message: str) -> None:
    """What cannot be read is said with its path, in words; a field that nobody knows is a warning."""
    found = [one for one in check_document(document) if one.id.startswith("form.")]
    assert [one.id for one in found] == [rule]
    assert found[0].message.startswith(message)
    assert (found[0].severity is Severity.WARNING) == (rule == "form.unknown_field")


def test_form_and_rules_of_a_file_are_found_together(tmp_path: Path) -> None:
    """A file of any integration is told everything at once, with status 1."""
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps(webhook(nickname="W", description="<p>", version=3)))
    done = run("--check", str(file), "--json", env={})
    assert done.exit_code == 1
    found = {one["id"] for one in json.loads(done.stdout)["findings"]}
    assert found == {"form.unknown_field", "form.value", "description.html"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is not JSON"),
        ('{"a": NaN}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "holds no JSON object"),
        (b"\xff\xfe{", "is not JSON"),
    ],
)
def test_a_file_that_holds_no_registration_is_one_line(tmp_path: Path, content: str | bytes | None, said: str) -> None:
    """The check could not be made: status 2, and one line that names the file."""
    file = tmp_path / "theirs.json"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SpillwayError, match=said):
        read_document(file)
    done = run("--check", str(file))
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["theirs.json"], ["--check", "--diff", "old.json"]])
def test_what_is_not_a_question_is_refused(arguments: list[str]) -> None:
    """A file without a question, and two questions at once, are status 2."""
    assert run(*arguments).exit_code == 2
