"""The policies of docs/deploy.md are enough to deploy and to operate, and without them both are refused."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.local.aws import LocalAws, LocalAwsError, local_aws

ROOT = Path(__file__).parents[2]
STAGE = "policy"
UNNAMED_HERE = {"events:DescribeRule", "events:ListTargetsByRule"}
"""Calls that the embedded AWS takes for every resource at once, whatever they name: what a policy allows for our names
alone is not enough there.
"""


@pytest.fixture(scope="module")
def enforcing() -> Iterator[LocalAws]:
    with local_aws(enforce_iam=True) as aws:
        yield aws


def keys_of(aws: LocalAws, user: str, policy: dict[str, Any] | None) -> dict[str, str]:
    """Make a user with a policy, or with none; returns the variables of a shell with the user's keys."""
    iam = aws.client("iam")
    iam.create_user(UserName=user)
    if policy:
        iam.put_user_policy(UserName=user, PolicyName="deployer", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def named(name: str, aws: LocalAws) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "infra" / name).read_text().replace("ACCOUNT_ID", aws.account_id))
    return document


@pytest.fixture(scope="module")
def policy(enforcing: LocalAws) -> dict[str, Any]:
    return named("deployer-policy.json", enforcing)


def run(aws: LocalAws, keys: dict[str, str], *arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", *arguments, "--stage", STAGE], cwd=ROOT, env={**aws.env(), **keys},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout
    return done.stdout


def test_the_policy_is_enough(enforcing: LocalAws, policy: dict[str, Any]) -> None:
    """With the deployer's policy alone deploy, hold, versions, promote, rollback, prune and remove are allowed."""
    boundary = json.dumps(named("permissions-boundary.json", enforcing))
    enforcing.client("iam").create_policy(PolicyName="spillway-boundary", PolicyDocument=boundary)
    keys = {**keys_of(enforcing, "deployer", policy), "PERMISSIONS_BOUNDARY": "spillway-boundary"}
    webhook = "http://127.0.0.1:9/{}"
    # The deployment bucket refuses everybody who comes without TLS, as the embedded AWS makes all of us do.
    with pytest.raises(LocalAwsError, match="Could not access the deployment bucket"):
        enforcing.deploy(STAGE, env={**keys, "WEBHOOK_URL": webhook.format("one")})
    s3 = enforcing.client("s3")
    (bucket,) = [one["Name"] for one in s3.list_buckets()["Buckets"] if one["Name"].startswith(f"spillway-{STAGE}-")]
    assert '"aws:SecureTransport"' in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    s3.delete_bucket_policy(Bucket=bucket)
    enforcing.deploy(STAGE, env={**keys, "WEBHOOK_URL": webhook.format("one")})
    operates(enforcing)
    enforcing.deploy(STAGE, env={**keys, "WEBHOOK_URL": webhook.format("two"), "ALIAS_MODE": "hold"})
    assert "ingest production: 1 -> 2" in run(enforcing, keys, "promote").replace(f"spillway-{STAGE}-", "")
    assert "2 -> 1" in run(enforcing, keys, "rollback")
    enforcing.deploy(STAGE, env={**keys, "WEBHOOK_URL": webhook.format("three")})
    assert "version 2 deleted" in run(enforcing, keys, "versions", "--prune", "1")
    enforcing.serverless("remove", stage=STAGE, env=keys)


def operates(aws: LocalAws) -> None:
    """With the operator's policy alone doctor, lists, clear, pause, resume and certify are allowed."""
    keys = keys_of(aws, "operator", named("operator-policy.json", aws))
    findings = json.loads(run(aws, keys, "doctor", "--json", status=1))["findings"]
    assert "partner.unreachable" in {one["id"] for one in findings}
    denied = {one["message"].partition(" ")[0] for one in findings if one["id"] == "look.denied"}
    assert denied <= UNNAMED_HERE
    assert "Every erasure was delivered" in run(aws, keys, "dsr", "list", "--open")
    run(aws, keys, "suspensions")
    run(aws, keys, "pause", "--why", "policy")
    run(aws, keys, "resume")
    run(aws, keys, "certify", "--only", "probes")


def test_without_it_nothing_is_deployed(enforcing: LocalAws) -> None:
    """The embedded AWS enforces IAM: a user without a policy is refused at the first call."""
    keys = keys_of(enforcing, "stranger", None)
    with pytest.raises(LocalAwsError, match="not authorized to perform"):
        enforcing.deploy(STAGE, env={**keys, "WEBHOOK_URL": "http://127.0.0.1:9/"})


@pytest.mark.parametrize("name", ["deployer-policy.json", "operator-policy.json", "permissions-boundary.json"])
def test_it_is_for_our_names_alone(enforcing: LocalAws, name: str) -> None:
    """No statement allows every action of a service; only actions on things without a name in advance are allowed on
    every resource.
    """
    unnamed = {"Template", "NewMapping", "Mapping", "TagsOfMappings", "TagsOfTheMapping", "Intake", "MarkOfAPause"}
    unnamed |= {"LogGroupsAreFoundByList", "FoundByList", "AnswersOfQueries", "Counts"}
    for statement in named(name, enforcing)["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not [action for action in actions if "*" in action]
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        if statement["Sid"] not in unnamed:
            assert all(re.search(r"[:/]spillway[-/]", resource) for resource in resources), statement["Sid"]
