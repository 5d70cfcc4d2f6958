import copy
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.console.findings import Severity
from ops.registration.diff import changes, felt
from shared.firehose.rules import AUDIENCES, ERASURES, EVENTS

OLD: dict[str, Any] = {
    "type": "module_registration_response",
    "id": "63d0b1e4-5908-4361-a58c-b274d5f0a176",
    "timestamp_ms": 1767226023009,
    "name": "Velo",
    "version": "1.6.0",
    "permissions": {
        "user_identities": [{"type": "email", "encoding": "raw", "required": False}],
        "partner_identities": [{"type": "velo_id", "encoding": "raw", "required": False}],
        "allow_access_mpid": True,
    },
    EVENTS: {
        "account_settings": [
            {"type": "text", "id": "apiKey", "name": "API key", "required": True, "confidential": True},
            {"type": "text", "id": "region", "name": "Region", "required": False, "confidential": False},
        ],
        "supported_event_types": ["custom_event", "screen_view"],
        "supported_runtime_environments": ["ios"],
        "max_data_age_hours": -1,
        "authentication": {
            "type": "oauth2",
            "authorization_url": "https://velo.example/authorize",
            "token_url": "https://velo.example/token",
            "scopes": [{"name": "rides", "description": "Write rides"}],
        },
    },
    AUDIENCES: {"audience_subscription_settings": [{"type": "integer", "id": "listId", "name": "List"}]},
}
NEW = OLD | {"version": "1.7.0"}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The registration of a new version with one place changed; None takes the field away."""
    document = copy.deepcopy(NEW)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    holder: Any = document
    for step in steps:
        holder = holder[step]
    if value is None:
        del holder[last]
    else:
        holder[last] = value
    return document


def text(**more: Any) -> dict[str, Any]:
    return {"type": "text", "id": "tour", "name": "Tour", "required": False, "confidential": False, **more}


OLD_TOKEN, TOKEN = "https://velo.example/token", "https://velo.example/v2/token"
SETTINGS = f"{EVENTS}.account_settings"
API_KEY, REGION = OLD[EVENTS]["account_settings"]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("name", "Velo Pro", '~ name: "Velo" → "Velo Pro"'),
        ("description", "Rides", '+ description: "Rides"'),
        ("permissions.allow_access_mpid", None, "- allow_access_mpid"),
        ("permissions.allow_device_info", True, "+ allow_device_info"),
        ("permissions.user_identities.0.encoding", "md5", '~ user identity email: encoding "raw" → "md5"'),
        (f"{EVENTS}.supported_event_types", ["custom_event", "screen_view", "error"], "+ event type error"),
        (f"{EVENTS}.supported_event_types", ["custom_event"], "- event type screen_view"),
        (SETTINGS, [API_KEY], "- account setting region (text)"),
        (SETTINGS, [API_KEY, REGION, text(default_value="")], '+ account setting tour (text, default "")'),
        (f"{SETTINGS}.0.confidential", False, "~ account setting apiKey: confidential true → false"),
        (f"{SETTINGS}.0.description", "A key", '~ account setting apiKey: description nothing → "A key"'),
        (f"{EVENTS}.max_data_age_hours", 24, "~ max_data_age_hours: -1 → 24"),
        (f"{EVENTS}.authentication.scopes.0.description", "All", '~ scope rides: description "Write rides" → "All"'),
        (f"{EVENTS}.authentication.token_url", TOKEN, f'~ authentication token_url: "{OLD_TOKEN}" → "{TOKEN}"'),
    ],
)  # fmt: skip
def test_a_change_is_told_in_words(path: str, value: Any, said: str) -> None:
    """What was added, removed or changed, under the name by which people know it."""
    found = changes(NEW, changed(path, value))
    assert [f"{one.sign} {one}" for one in found] == [said]


def test_order_and_envelope_do_not_matter() -> None:
    """Lists in another order, another id and another time are the same registration."""
    new = copy.deepcopy(OLD) | {"id": "another", "timestamp_ms": 1}
    new[EVENTS]["account_settings"].reverse()
    new[EVENTS]["supported_event_types"].reverse()
    assert changes(OLD, new) == []
    assert felt([], same_version=True) == []


def test_changes_are_grouped_by_part() -> None:
    """A whole part that is new comes with everything in it, in one group."""
    new = changed(ERASURES, {"supported_dsr_types": ["erasure"]})
    new["name"] = "Velo Pro"
    assert [(one.thing.part, f"{one.sign} {one}") for one in changes(NEW, new)] == [
        ("Integration", '~ name: "Velo" → "Velo Pro"'),
        ("Erasure requests", "+ the whole part"),
        ("Erasure requests", "+ request type erasure"),
    ]


@pytest.mark.parametrize("identities", [None, [], [{"type": "velo_visitor", "encoding": "raw", "required": False}]])
def test_a_partner_identity_may_never_change(identities: Any) -> None:
    """Its name gone or changed is an error; anything else is advice at most."""
    found = felt(changes(OLD, changed("permissions.partner_identities", identities)), same_version=False)
    (error,) = [one for one in found if one.severity is Severity.ERROR]
    assert error.id == "diff.partner_identity"
    assert "velo_id is gone" in error.message


def test_a_partner_identity_may_not_go_with_all_permissions() -> None:
    """That no permission is left changes nothing about it."""
    found = felt(changes(OLD, changed("permissions", None)), same_version=False)
    assert "diff.partner_identity" in {one.id for one in found}


@pytest.mark.parametrize(
    ("path", "value", "rules"),
    [
        (SETTINGS, [API_KEY], ["diff.setting_removed"]),
        (SETTINGS, [API_KEY, REGION, text(required=True)], ["diff.setting_required"]),
        (SETTINGS, [API_KEY, REGION, text(required=True, default_value="all")], []),
        (SETTINGS, [API_KEY, REGION, text()], []),
        (f"{SETTINGS}.1.required", True, ["diff.setting_required"]),
        (f"{SETTINGS}.0.required", False, []),
        (f"{SETTINGS}.1.type", "integer", ["diff.setting_type"]),
        (f"{EVENTS}.supported_event_types", ["custom_event"], ["diff.no_longer_sent"]),
        (f"{EVENTS}.supported_event_types", ["custom_event", "screen_view", "error"], []),
        (f"{EVENTS}.max_data_age_hours", 24, ["diff.data_age"]),
        (f"{EVENTS}.authentication.token_url", "https://velo.example/new", ["diff.authentication"]),
        (f"{EVENTS}.authentication", None, ["diff.authentication", "diff.authentication"]),
        (EVENTS, None, ["diff.part_removed"]),
        (f"{AUDIENCES}.audience_subscription_settings", [], ["diff.setting_removed"]),
        (ERASURES, {"account_settings": [text(required=True)], "supported_dsr_types": ["erasure"]}, []),
        ("permissions.user_identities", [], ["diff.no_longer_sent"]),
        ("permissions.user_identities.0.required", True, ["diff.identity_required"]),
        ("permissions.user_identities.0.encoding", "md5", ["diff.encoding"]),
        ("permissions.partner_identities.0.encoding", "md5", ["diff.encoding"]),
        ("permissions.allow_access_mpid", None, ["diff.no_longer_sent"]),
        ("permissions.allow_device_info", True, []),
        ("description", "Rides", []),
    ],
)
def test_what_existing_customers_feel_is_a_warning(path: str, value: Any, rules: list[str]) -> None:
    """Narrower is felt, wider is not; a warning does not fail the comparison."""
    found = felt(changes(OLD, changed(path, value)), same_version=False)
    assert [one.id for one in found] == rules
    assert {one.severity for one in found} <= {Severity.WARNING}


def test_a_wider_data_age_is_not_felt() -> None:
    """From a day to any age, more is sent."""
    assert felt(changes(changed(f"{EVENTS}.max_data_age_hours", 24), NEW), same_version=False) == []


def test_a_change_under_the_same_version_is_told() -> None:
    """Two registrations that differ have two versions."""
    found = felt(changes(OLD, OLD | {"name": "Velo Pro"}), same_version=True)
    assert [one.id for one in found] == ["diff.same_version"]


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """The old registration, and one without its partner identity."""
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(OLD))
    new.write_text(json.dumps(changed("permissions.partner_identities", None)))
    return str(old), str(new)


def test_a_forbidden_change_is_status_1(files: tuple[str, str]) -> None:
    """Shown in words and in the document of every check, with the changes beside it."""
    old, new = files
    shown = CliRunner().invoke(app, ["registration", "--diff", old, new])
    assert shown.exit_code == 1
    assert "  - partner identity velo_id (raw)" in shown.stdout
    assert "diff.partner_identity" in shown.stdout
    document = json.loads(CliRunner().invoke(app, ["registration", "--diff", old, new, "--json"]).stdout)
    assert not document["passed"]
    assert [one["id"] for one in document["findings"]] == ["diff.partner_identity"]
    assert {one["text"] for one in document["changes"]} == {
        'version: "1.6.0" → "1.7.0"',
        "partner identity velo_id (raw)",
    }


def test_the_declared_one_is_compared_with_what_was_sent(tmp_path: Path) -> None:
    """What `spillway registration` printed, kept until approved, is what it is compared with later."""
    env = {"WEBHOOK_URL": "https://partner.example/events", "PARTNER": ""}
    printed = CliRunner().invoke(app, ["registration"], env=env).stdout
    (tmp_path / "old.json").write_text(printed)
    same = CliRunner().invoke(app, ["registration", "--diff", str(tmp_path / "old.json")], env=env)
    assert (same.exit_code, same.stdout) == (0, "Nothing changed.\n")
    signed = {**env, "WEBHOOK_SIGN": "true"}
    other = CliRunner().invoke(app, ["registration", "--diff", str(tmp_path / "old.json")], env=signed)
    assert other.exit_code == 0
    assert "+ account setting signingSecret (text, required, confidential)" in other.stdout


def test_what_cannot_be_compared_is_one_line(tmp_path: Path, files: tuple[str, str]) -> None:
    """A file of the wrong form ends with status 2, and with the command that explains it."""
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps({**OLD, "name": 7}))
    done = CliRunner().invoke(app, ["registration", "--diff", str(broken), files[1]])
    assert done.exit_code == 2
    assert f"`spillway registration --check {broken}` says why" in done.stderr


def test_fields_that_nobody_knows_are_passed_over(tmp_path: Path, files: tuple[str, str]) -> None:
    """A registration that was approved with a field of its own can be compared."""
    odd = tmp_path / "odd.json"
    odd.write_text(json.dumps({**OLD, "nickname": "V"}))
    done = CliRunner().invoke(app, ["registration", "--diff", str(odd), files[0]])
    assert (done.exit_code, done.stdout) == (0, "Nothing changed.\n")
