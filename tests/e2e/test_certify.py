"""`spillway certify` on real deploys: our own alias is certified, a bad integration is not, and is told why."""

import json
import subprocess
import sys
from typing import Any

from ops.local.aws import ROOT, LocalAws

CALM = ("--max-ms", "60000")
"""Speed decides no test: this machine may be busy."""

FAULTS = {
    "registration_long": "registration.description.long",
    "registration_no_sdk_version": "registration.sdk_version",
    "registration_shown_key": "registration.settings.not_confidential",
    "probe_profiles": "probe.user_profiles",
    "no_roku": "events.refused",
    "needs_environment": "events.bare",
    "no_id": "answer.id",
    "seconds": "answer.timestamp_ms",
    "suspend_text": "answer.suspend_subscription",
    "new_event": "newer.event_type",
    "new_field": "newer.field",
    "needs_version": "newer.no_version",
    "small": "size.refused",
    "swallows": "malformed.accepted",
    "erasure_account": "erasures.no_account",
    "no_update": "subscriptions.refused",
    "stores_undeclared": "subscriptions.undeclared",
}


def certify(aws: LocalAws, arn: str, *options: str) -> tuple[int, dict[str, Any]]:
    """Run the command with the deployer's credentials; returns its status and its document."""
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "certify", arn, "--json", *CALM, *options],
        cwd=ROOT, env=aws.env(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_our_own_alias_is_certified(aws: LocalAws, stack: dict[str, str]) -> None:
    """Every check but answer times passes on the deployed product."""
    status, document = certify(aws, stack["IngestAliasArn"], "--setting", "apiKey=made-up", "--burst", "4")
    errors = [one for one in document["findings"] if one["severity"] == "error"]
    assert (errors, status, document["passed"]) == ([], 0, True)
    checks = {one["name"]: one for one in document["checks"]}
    assert len(checks) == 12
    assert all(one["accepted"] == one["requests"] for name, one in checks.items() if name != "malformed")
    assert document["times"]["warm"]["calls"] == 100


def test_a_bad_integration_is_told_what_to_mend(aws: LocalAws) -> None:
    """From its ARN alone the command finds seventeen faults of a deployed function, and says how to mend each."""
    env = {"BAD_FAULTS": " ".join(FAULTS)}
    folder = ROOT / "tests" / "fixtures" / "bad_integration"
    outputs = aws.deploy(env=env, cwd=folder)
    try:
        status, document = certify(aws, outputs["FunctionArn"], "--burst", "4")
    finally:
        aws.serverless("remove", cwd=folder, env=env)
    assert (status, document["passed"]) == (1, False)
    found = {one["id"]: one for one in document["findings"]}
    assert {*FAULTS.values(), "target.unqualified"} <= found.keys()
    assert all(one["message"] and one["mend"] for one in found.values())
