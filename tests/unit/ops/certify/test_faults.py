"""Each planted fault is found, alone, with its own id and something to do about it."""

import json
from typing import Any

import pytest

from ops.certify.checks import CHECKS
from ops.certify.play import Result
from ops.console.findings import Severity

FOUND_BY_ARN = {
    "registration_raises": "registration.refused",
    "registration_as_event": "answer.type",
    "registration_typo": "registration.form.value",
    "registration_new_field": "registration.form.unknown_field",
    "registration_long": "registration.description.long",
    "registration_no_sdk_version": "registration.sdk_version",
    "registration_twins": "registration.settings.same_id",
    "registration_two_identities": "registration.permissions.partner_identities",
    "registration_no_attributes": "registration.permissions.user_attributes",
    "registration_push": "registration.events.push_provider",
    "registration_shown_key": "registration.settings.not_confidential",
    "probe_events": "probe.events",
    "probe_profiles": "probe.user_profiles",
    "probe_missing": "probe.missing_list",
    "no_roku": "events.refused",
    "no_errors": "events.refused",
    "needs_environment": "events.bare",
    "needs_identity": "audiences.bare",
    "no_deletes": "audiences.refused",
    "null": "answer.not_object",
    "text": "answer.text",
    "wrapped": "answer.wrapped",
    "wrong_type": "answer.type",
    "no_id": "answer.id",
    "short_id": "answer.id",
    "seconds": "answer.timestamp_ms",
    "no_version": "answer.firehose_version",
    "bad_version": "answer.firehose_version",
    "suspend_text": "answer.suspend_subscription",
    "suspend_missing": "answer.suspend_subscription",
    "suspends": "answer.suspended",
    "new_event": "newer.event_type",
    "new_identity": "newer.identity_type",
    "new_device_identity": "newer.device_identity_type",
    "new_environment": "newer.environment",
    "new_enum": "newer.enum",
    "new_notification": "newer.notification",
    "new_field": "newer.field",
    "new_version": "newer.version",
    "needs_version": "newer.no_version",
    "new_action": "newer.audience_action",
    "refuses_repeats": "repeats.refused",
    "empties_repeats": "repeats.answer",
    "small": "size.refused",
    "swallows": "malformed.accepted",
    "hangs": "malformed.hangs",
    "echoes": "malformed.echo",
    "no_erasure": "erasures.refused",
    "erasure_account": "erasures.no_account",
    "erasure_iso": "erasures.time",
    "erasure_strict": "erasures.extensions",
    "no_update": "subscriptions.refused",
    "creates_twice": "subscriptions.repeated",
    "stores_undeclared": "subscriptions.undeclared",
    "stores_numbers": "subscriptions.settings",
    "slow": "times.p99",
}
FOUND_BY_HTTP = {
    "http_500": "malformed.retried",
    "http_302": "malformed.status",
    "http_open": "http.open",
    "http_any_token": "http.open",
    "http_403_as_500": "http.unauthorized_status",
    "http_register_closed": "registration.refused",
    "http_get": "http.method",
    "http_content_type": "http.content_type",
    "http_409": "repeats.refused",
}
WARNINGS = {
    "registration_new_field",
    "registration_shown_key",
    "probe_missing",
    "no_version",
    "suspend_missing",
    "suspends",
    "echoes",
    "http_get",
    "http_content_type",
}
LIGHT = [check for check in CHECKS if check.name != "size"]
"""Without the one request of 6 MB, which costs more than all the others."""


def ids(result: Result) -> list[str]:
    return sorted({finding.id for finding in result.findings})


def test_every_fault_is_looked_for(target: Any) -> None:
    """What the bad integration can do wrong is what these tests plant, and it is many times ten."""
    assert FOUND_BY_ARN.keys() | FOUND_BY_HTTP.keys() | {"breaks"} == target().module.FAULTS.keys()
    assert len({*FOUND_BY_ARN.values(), *FOUND_BY_HTTP.values()}) > 45


@pytest.mark.parametrize("seed", [0, 1, 2, 77, 9_999, 123_456])
def test_an_integration_without_faults_is_certified(target: Any, http_target: Any, play: Any, seed: int) -> None:
    """Nothing is objected to, neither by ARN nor by HTTP, whatever the seed."""
    assert play(target(), seed=seed).findings == []
    assert play(http_target(), seed=seed).findings == []


@pytest.mark.parametrize(("fault", "found"), FOUND_BY_ARN.items())
def test_a_fault_is_found(target: Any, play: Any, fault: str, found: str) -> None:
    """By ARN: this id and no other of the same weight, with something to do about it."""
    result = play(target(fault), checks=CHECKS if fault == "small" else LIGHT)
    of_weight = [one for one in result.findings if (one.severity is Severity.WARNING) is (fault in WARNINGS)]
    assert {one.id for one in of_weight} == {found}
    assert all(one.mend for one in result.findings)


@pytest.mark.parametrize(("fault", "found"), FOUND_BY_HTTP.items())
def test_a_fault_of_an_http_integration_is_found(http_target: Any, play: Any, fault: str, found: str) -> None:
    """By HTTP: this id and no other."""
    result = play(http_target(fault), checks=LIGHT)
    assert ids(result) == [found]
    assert {one.severity for one in result.findings} == {Severity.WARNING if fault in WARNINGS else Severity.ERROR}


def test_what_a_malformed_request_breaks_is_found(target: Any, play: Any) -> None:
    """The next good request shows that the execution environment did not survive."""
    assert "malformed.after" in ids(play(target("breaks"), checks=LIGHT))


def test_throttling_is_found(target: Any, play: Any) -> None:
    """Three executions for four requests at once: one is throttled."""
    (finding,) = play(target(executions=3, at_once=4), checks=LIGHT).findings
    assert (finding.id, finding.message[:6]) == ("burst.throttled", "1 of 4")


def test_a_burst_refused_for_good_is_found(http_target: Any, play: Any) -> None:
    """A 400 to a good request in a burst loses it: mParticle sends it no more."""
    (finding,) = play(http_target(executions=3, at_once=4, busy_status=400), checks=LIGHT).findings
    assert finding.id == "burst.failed"
    assert "never sends it again" in finding.message


def test_many_faults_at_once_are_all_found(target: Any, play: Any) -> None:
    """Faults do not hide each other, as long as something is accepted."""
    faults = (
        *("registration_long", "registration_no_sdk_version", "probe_events", "no_roku", "needs_environment"),
        *("no_id", "seconds", "new_event", "new_identity", "refuses_repeats", "swallows", "no_erasure"),
        *("stores_undeclared", "creates_twice", "needs_version", "slow"),
    )
    found = ids(play(target(*faults), checks=LIGHT))
    assert {FOUND_BY_ARN[fault] for fault in faults} <= set(found)


def test_findings_name_no_value_that_was_sent(target: Any, play: Any) -> None:
    """A customer's setting is in the requests, and in no finding, not even of an integration that quotes them."""
    played = target("echoes", "swallows", "no_roku", "new_event")
    result = play(played, checks=LIGHT, settings={"apiKey": "canary-setting"})
    assert any(b"canary-setting" in sent.body for sent in played.sent)
    assert "canary" not in json.dumps([(one.message, one.mend) for one in result.findings])
