"""Each rule of a registration: what breaks it, and what does not."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.firehose import ModuleRegistrationResponse, registration_response
from shared.firehose.rules import AUDIENCES, ERASURES, EVENTS, Violation, violations

ROOT = Path(__file__).parents[5]
Document = dict[str, Any]


def text(**more: Any) -> Document:
    return {"type": "text", "id": "region", "name": "Region", "visible": True, "required": False, **more}


def integer(**more: Any) -> Document:
    return {"type": "integer", "id": "batch", "name": "Batch", "visible": True, "required": False, **more}


def oauth2(**more: Any) -> Document:
    return {
        "type": "oauth2",
        "authorization_url": "https://velo.example/authorize",
        "refresh_url": "https://velo.example/token",
        "token_url": "https://velo.example/token",
        "grant_type": "authorization_code",
        "default_expires_in": 3600,
        "client_id": "velo",
        "access_token_type": "bearer",
        "scopes": [{"name": "rides", "description": "Write rides"}],
        **more,
    }


GOOD: Document = {
    "name": "Velo",
    "version": "1.6.0",
    "description": "<a href='https://velo.example'>Velo</a> counts rides.<br>All of them.",
    "permissions": {"user_identities": [{"type": "email", "encoding": "raw", "required": False}]},
    EVENTS: {
        "account_settings": [text(id="apiKey", name="API key", required=True, confidential=True)],
        "event_connection_settings": [text(), integer(min_value=0, default_value=5, max_value=10)],
        "supported_event_types": ["custom_event", "user_identity_change"],
        "supported_runtime_environments": ["ios"],
        "max_data_age_hours": 24,
        "authentication": oauth2(),
    },
    AUDIENCES: {
        "account_settings": [text(id="apiKey", name="API key", required=True, confidential=True)],
        "audience_subscription_settings": [text(id="apiKey", name="List's API key", confidential=True)],
        "bulk_configuration": {"bulk_forward_wait_for_messages": 100},
    },
    ERASURES: {"supported_dsr_types": ["erasure"], "domain": "privacy.velo.example"},
}

# rule, where in the registration, what stands there
BROKEN: list[tuple[str, str, Any]] = [
    ("text.blank", "name", "  "),
    ("text.blank", "version", " "),
    ("text.blank", f"{EVENTS}.event_connection_settings.0.name", " "),
    ("text.blank", f"{EVENTS}.event_connection_settings.0.id", " "),
    ("text.blank", "permissions.partner_identities", [{"type": " ", "encoding": "raw", "required": False}]),
    ("text.blank", f"{EVENTS}.authentication.scopes.0.description", " "),
    ("version.shape", "version", "spring release"),
    ("description.missing", "description", None),
    ("description.long", "description", "x" * 230),
    ("description.html", "description", "<div>Rides</div>"),
    ("description.html", "description", "<img src='https://velo.example/x.png'>"),
    ("description.html", "description", "<b>Rides"),
    ("description.html", "description", "Rides</b>"),
    ("description.html", "description", "<b><i>Rides</b></i>"),
    ("description.html", "description", "<b onclick='ride()'>Rides</b>"),
    ("description.html", "description", "<a href=' java\nscript:ride()'>Rides</a>"),
    ("description.html", "description", "<script>ride()</script>"),
    ("description.html", "description", "Rides<!-- or not -->"),
    ("permissions.user_attributes", f"{EVENTS}.supported_event_types", ["custom_event", "user_attribute_change"]),
    ("permissions.user_identities", "permissions", {"allow_access_mpid": True}),
    ("permissions.partner_identities", "permissions.partner_identities", [{"type": "a"}, {"type": "b"}]),
    ("events.push_provider", f"{EVENTS}.supported_event_types", ["push_message_receipt"]),
    ("events.max_data_age", f"{EVENTS}.max_data_age_hours", 0),
    ("events.max_data_age", f"{EVENTS}.max_data_age_hours", -2),
    ("events.none", f"{EVENTS}.supported_event_types", []),
    ("events.no_environment", f"{EVENTS}.supported_runtime_environments", []),
    ("audiences.bulk", f"{AUDIENCES}.bulk_configuration.bulk_forward_wait_for_messages", 0),
    ("audiences.bulk", f"{AUDIENCES}.bulk_configuration.bulk_forward_wait_in_minutes", -5),
    ("audiences.bulk_empty", f"{AUDIENCES}.bulk_configuration", {}),
    ("erasures.none", f"{ERASURES}.supported_dsr_types", []),
    ("erasures.domain", f"{ERASURES}.domain", "https://velo.example/callbacks"),
    ("erasures.domain", f"{ERASURES}.domain", "localhost"),
    ("oauth2.url", f"{EVENTS}.authentication.token_url", "http://velo.example/token"),
    ("oauth2.url", f"{EVENTS}.authentication.authorization_url", "velo.example"),
    ("oauth2.url", f"{EVENTS}.authentication.refresh_url", "https://[velo"),
    ("oauth2.client_id", f"{EVENTS}.authentication.client_id", None),
    ("oauth2.header", f"{EVENTS}.authentication.access_token_type", "custom_header"),
    ("oauth2.header", f"{EVENTS}.authentication", oauth2(access_token_type="custom_header", custom_header_name="a b")),
    ("oauth2.header_unused", f"{EVENTS}.authentication.custom_header_name", "X-Velo"),
    ("oauth2.expires", f"{EVENTS}.authentication.default_expires_in", 0),
    ("oauth2.refresh", f"{EVENTS}.authentication.refresh_url", None),
    ("oauth2.unsaid", f"{EVENTS}.authentication.grant_type", None),
    ("oauth2.scope", f"{EVENTS}.authentication.scopes.0.name", "rides tours"),
    ("settings.same_id", f"{EVENTS}.event_connection_settings", [text(), text()]),
    ("settings.same_id", f"{EVENTS}.event_connection_settings.0", text(id="apiKey", confidential=True)),
    ("settings.same_id", f"{AUDIENCES}.audience_subscription_settings", [text(), integer(id="region")]),
    ("settings.unfillable", f"{EVENTS}.event_connection_settings.0", text(required=True, visible=False)),
    ("settings.range", f"{EVENTS}.event_connection_settings.1.default_value", 11),
    ("settings.range", f"{EVENTS}.event_connection_settings.1.default_value", -1),
    ("settings.range", f"{EVENTS}.event_connection_settings.1", integer(min_value=3, max_value=2)),
    ("settings.range", f"{EVENTS}.event_connection_settings.1", integer(max_value=2**63)),
    ("settings.range", f"{EVENTS}.event_connection_settings.1", integer(type="float", max_value=float("inf"))),
    ("settings.range", f"{EVENTS}.event_connection_settings.1", integer(type="float", max_value=float("nan"))),
    ("settings.range", f"{EVENTS}.event_connection_settings.1", integer(type="float", max_value=10**400)),
    ("settings.not_confidential", f"{EVENTS}.event_connection_settings.0", text(id="clientSecret")),
    ("settings.not_confidential", f"{EVENTS}.event_connection_settings.0", text(name="Write API Key")),
    ("settings.secret_default", f"{EVENTS}.account_settings.0.default_value", "hunter2"),
    ("settings.differ", f"{AUDIENCES}.account_settings.0", integer(id="apiKey")),
    ("list.repeated", f"{EVENTS}.supported_event_types", ["custom_event", "custom_event"]),
    ("list.repeated", "permissions.user_identities", [{"type": "email"}, {"type": "email", "encoding": "md5"}]),
]
WARNINGS = {
    "version.shape", "description.missing", "registration.empty", "permissions.user_identities",
    "permissions.without_use", "events.none", "events.no_environment", "audiences.nobody", "audiences.bulk_empty",
    "erasures.none", "oauth2.header_unused", "oauth2.refresh", "oauth2.unsaid", "settings.not_confidential",
    "settings.secret_default", "settings.differ", "list.repeated",
}  # fmt: skip


def with_value(path: str, value: Any) -> Document:
    """The good registration with one place of it changed; None takes the field away."""
    document = copy.deepcopy(GOOD)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    holder: Any = document
    for step in steps:
        holder = holder[step]
    if value is None:
        del holder[last]
    else:
        holder[last] = value
    return document


def test_a_registration_that_keeps_every_rule_has_no_violation() -> None:
    """Nothing is found in a good one, not even advice."""
    assert violations(GOOD) == []


@pytest.mark.parametrize(("rule", "path", "value"), BROKEN)
def test_each_rule_finds_what_breaks_it(rule: str, path: str, value: Any) -> None:
    """One change to a good registration breaks one rule, which says in sentences what is wrong and what to do."""
    found = violations(with_value(path, value))
    assert {one.rule for one in found} == {rule}
    for one in found:
        assert one.is_warning == (rule in WARNINGS)
        assert one.problem.endswith("."), one
        assert one.mend.endswith((".", "...", "</b>.")), one


def asking(permission: str, without: str) -> Document:
    """The good registration with one more permission, and without one of its parts."""
    return {**GOOD, without: None, "permissions": {**GOOD["permissions"], permission: True}}


@pytest.mark.parametrize(
    ("rule", "document"),
    [
        ("registration.empty", {"name": "Velo", "version": "1", "description": "Rides."}),
        ("permissions.without_use", asking("allow_eventless_batches", without=EVENTS)),
        ("permissions.without_use", asking("allow_audience_user_attributes", without=AUDIENCES)),
        ("audiences.nobody", {**GOOD, EVENTS: None, "permissions": {}}),
    ],
)
def test_what_is_registered_fits_together(rule: str, document: Document) -> None:
    """Permissions without use, audiences of nobody, and a registration of nothing are advised against."""
    found = violations(document)
    assert [(one.rule, one.is_warning) for one in found] == [(rule, True)]


def test_the_longest_description_is_229_characters() -> None:
    """229 pass, 230 do not, and the markup counts."""
    assert violations(with_value("description", "x" * 229)) == []
    (found,) = violations(with_value("description", f"<b>{'x' * 223}</b>"))
    assert "has 230 characters" in found.problem
    assert found.mend == "Shorten it by 1."


def test_every_violation_is_listed() -> None:
    """A registration that breaks three rules is told all three, each with its place."""
    document = with_value("description", "<p>" + "x" * 300)
    document[EVENTS]["max_data_age_hours"] = 0
    found = {(one.rule, one.where) for one in violations(document)}
    assert found == {
        ("description.long", "description"),
        ("description.html", "description"),
        ("events.max_data_age", f"{EVENTS}.max_data_age_hours"),
    }


def test_every_rule_has_a_case_here() -> None:
    """A rule that nothing here breaks fails this test."""
    sources = "".join(path.read_text() for path in (ROOT / "shared/firehose/rules").glob("*.py"))
    rules = set(re.findall(r'Violation\(\s*"([a-z0-9_]+\.[a-z0-9_]+)"', sources))
    tested = {rule for rule, _, _ in BROKEN} | {"registration.empty", "permissions.without_use", "audiences.nobody"}
    assert rules == tested
    assert tested >= WARNINGS


PLACES = [
    "name", "version", "description", "permissions", "permissions.user_identities", EVENTS,
    f"{EVENTS}.account_settings", f"{EVENTS}.event_connection_settings.0",
    f"{EVENTS}.event_connection_settings.1.min_value", f"{EVENTS}.supported_event_types",
    f"{EVENTS}.max_data_age_hours", f"{EVENTS}.authentication", f"{EVENTS}.authentication.scopes",
    f"{EVENTS}.authentication.default_expires_in", f"{AUDIENCES}.bulk_configuration", f"{ERASURES}.domain",
    f"{ERASURES}.supported_dsr_types",
]  # fmt: skip
WRONG = [None, 7, True, "text", [], [None, 3, "x", []], {}, {"type": 5, "id": [], "name": {}}]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("path", PLACES)
def test_values_of_wrong_types_are_passed_over(path: str, wrong: Any) -> None:
    """The rules look at any JSON without failing; that its form is wrong is found elsewhere."""
    assert all(isinstance(one, Violation) for one in violations(with_value(path, wrong)))


def test_the_fixture_registration_breaks_no_rule(fixture_text: Callable[[str], bytes]) -> None:
    """The registration with everything in it could be deployed, read or written."""
    wire = json.loads(fixture_text("module_registration_response.json"))
    assert [one.rule for one in violations(wire) if not one.is_warning] == []
    declared = ModuleRegistrationResponse.model_validate(wire).registration()
    assert violations(registration_response(declared, id="i", timestamp_ms=1)) == violations(wire)
