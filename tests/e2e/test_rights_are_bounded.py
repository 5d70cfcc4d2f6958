"""No holder of one of our policies can get more rights than it gives: with IAM enforced, roles and mappings of others
stay out of reach.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from ops.local.aws import LocalAws, local_aws

ROOT = Path(__file__).parents[2]
EVERYTHING = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
LAMBDA = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [LAMBDA]})


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with local_aws(enforce_iam=True) as running:
        boundary = json.dumps(named("permissions-boundary.json", running))
        running.client("iam").create_policy(PolicyName="spillway-boundary", PolicyDocument=boundary)
        running.client("iam").create_policy(PolicyName="spillway-all", PolicyDocument=EVERYTHING)
        yield running


def named(name: str, aws: LocalAws) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "infra" / name).read_text().replace("ACCOUNT_ID", aws.account_id))
    return document


def as_user(aws: LocalAws, user: str, policy: dict[str, Any]) -> Callable[[str], Any]:
    """Make a user with a policy; returns a function that makes clients with the user's keys."""
    iam = aws.client("iam")
    iam.create_user(UserName=user)
    iam.put_user_policy(UserName=user, PolicyName="only", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    session = boto3.session.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=aws.region)
    return lambda service: session.client(service, endpoint_url=aws.endpoint_url)


@pytest.fixture(scope="module")
def deployer(aws: LocalAws) -> Any:
    return as_user(aws, "deployer", named("deployer-policy.json", aws))


@pytest.fixture(scope="module")
def operator(aws: LocalAws) -> Any:
    return as_user(aws, "operator", named("operator-policy.json", aws))


def denied(call: Callable[..., Any], **given: Any) -> bool:
    """Whether IAM refused the call; any other error fails the test."""
    try:
        call(**given)
    except ClientError as error:
        if error.response["Error"]["Code"] in {"AccessDenied", "AccessDeniedException"}:
            return True
        raise
    return False


def arn(aws: LocalAws, policy: str) -> str:
    return f"arn:aws:iam::{aws.account_id}:policy/{policy}"


def test_a_deployer_makes_roles_within_the_boundary_alone(aws: LocalAws, deployer: Any) -> None:
    """The deployer can neither make a role without the boundary or with another one, nor give such a role a policy."""
    iam, ours = deployer("iam"), arn(aws, "spillway-boundary")
    role = {"RoleName": "spillway-dev-x", "AssumeRolePolicyDocument": TRUST}
    assert denied(iam.create_role, **role)
    assert denied(iam.create_role, **role, PermissionsBoundary=arn(aws, "spillway-all"))
    assert not denied(iam.create_role, **role, PermissionsBoundary=ours)
    assert not denied(iam.put_role_policy, RoleName="spillway-dev-x", PolicyName="p", PolicyDocument=EVERYTHING)
    assert denied(
        iam.put_role_permissions_boundary, RoleName="spillway-dev-x", PermissionsBoundary=arn(aws, "spillway-all")
    )
    assert denied(iam.delete_role_permissions_boundary, RoleName="spillway-dev-x")
    assert denied(iam.attach_role_policy, RoleName="spillway-dev-x", PolicyArn=arn(aws, "spillway-all"))
    assert denied(iam.create_role, RoleName="other", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=ours)


def test_a_deployer_opens_no_role_that_is_there(aws: LocalAws, deployer: Any) -> None:
    """The deployer cannot change who may assume an existing role, nor what a role without the boundary may do, nor the
    boundary itself.
    """
    aws.client("iam").create_role(RoleName="spillway-old", AssumeRolePolicyDocument=TRUST)
    iam = deployer("iam")
    stranger = TRUST.replace('{"Service": "lambda.amazonaws.com"}', '{"AWS": "arn:aws:iam::999999999999:root"}')
    assert denied(iam.update_assume_role_policy, RoleName="spillway-old", PolicyDocument=stranger)
    assert denied(iam.put_role_policy, RoleName="spillway-old", PolicyName="p", PolicyDocument=EVERYTHING)
    ours = arn(aws, "spillway-boundary")
    assert denied(iam.create_policy_version, PolicyArn=ours, PolicyDocument=EVERYTHING, SetAsDefault=True)
    assert denied(iam.delete_policy, PolicyArn=ours)
    assert not denied(iam.put_role_permissions_boundary, RoleName="spillway-old", PermissionsBoundary=ours)


def test_a_role_that_may_do_everything_does_spillways_work_alone(aws: LocalAws) -> None:
    """A policy that the deployer writes into a role is limited by the boundary: no user, no other queue, no other
    secret.
    """
    iam, root = aws.client("iam"), {"AWS": f"arn:aws:iam::{aws.account_id}:root"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [{**LAMBDA, "Principal": root}]})
    boundary = arn(aws, "spillway-boundary")
    role = iam.create_role(RoleName="spillway-all", AssumeRolePolicyDocument=trust, PermissionsBoundary=boundary)[
        "Role"
    ]
    iam.put_role_policy(RoleName="spillway-all", PolicyName="p", PolicyDocument=EVERYTHING)
    took = aws.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="deployed")["Credentials"]
    keys = (took["AccessKeyId"], took["SecretAccessKey"], took["SessionToken"])
    session = boto3.session.Session(*keys, region_name=aws.region)

    def client(service: str) -> Any:
        return session.client(service, endpoint_url=aws.endpoint_url)

    queues = [aws.client("sqs").create_queue(QueueName=name)["QueueUrl"] for name in ("spillway-dev-messages", "other")]
    assert not denied(client("sqs").send_message, QueueUrl=queues[0], MessageBody="x")
    assert denied(client("sqs").send_message, QueueUrl=queues[1], MessageBody="x")
    assert denied(client("iam").create_user, UserName="admin")
    aws.client("ssm").put_parameter(Name="/spillway/headers", Value="{}", Type="String")
    aws.client("ssm").put_parameter(Name="/other/key", Value="{}", Type="String")
    assert not denied(client("ssm").get_parameter, Name="/spillway/headers")
    assert denied(client("ssm").get_parameter, Name="/other/key")


def test_an_operator_changes_no_mapping_of_another_function(aws: LocalAws, operator: Any, deployer: Any) -> None:
    """Operator and deployer can pause Spillway's mapping, but neither can read or change a mapping of another function
    in the account.
    """
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("x.py", "def handler(event, context): pass")
    mappings, iam = {}, aws.client("iam")
    role = iam.create_role(RoleName="any", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    iam.put_role_policy(RoleName="any", PolicyName="p", PolicyDocument=EVERYTHING)
    for name in ("spillway-dev-worker", "payments"):
        aws.client("lambda").create_function(
            FunctionName=name, Runtime="python3.12", Handler="x.handler", Code={"ZipFile": code.getvalue()},
            Role=role,
        )  # fmt: skip
        queue = f"arn:aws:sqs:{aws.region}:{aws.account_id}:{name}"
        aws.client("sqs").create_queue(QueueName=name)
        made = aws.client("lambda").create_event_source_mapping(EventSourceArn=queue, FunctionName=name, Enabled=False)
        mappings[name] = made["UUID"]
    for user in (operator, deployer):
        client = user("lambda")
        assert not denied(client.update_event_source_mapping, UUID=mappings["spillway-dev-worker"], Enabled=False)
        assert denied(client.update_event_source_mapping, UUID=mappings["payments"], Enabled=False)
        assert denied(client.get_event_source_mapping, UUID=mappings["payments"])
    theirs = f"arn:aws:lambda:{aws.region}:{aws.account_id}:event-source-mapping:{mappings['payments']}"
    assert denied(operator("lambda").tag_resource, Resource=theirs, Tags={"owner": "me"})


def test_an_operator_redrives_and_reads_logs(aws: LocalAws, operator: Any) -> None:
    """The operator may look at dead letters, send them back and delete them, but not read messages that wait for the
    partner.
    """
    sqs, root = operator("sqs"), aws.client("sqs")
    dead = root.create_queue(QueueName="spillway-ops-dlq")["QueueUrl"]
    dead_arn = f"arn:aws:sqs:{aws.region}:{aws.account_id}:spillway-ops-dlq"
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 1000})
    live = root.create_queue(QueueName="spillway-ops-messages", Attributes={"RedrivePolicy": redrive})["QueueUrl"]
    destination = dead_arn.replace("-dlq", "-messages")
    root.send_message(QueueUrl=dead, MessageBody="letter")
    assert not denied(sqs.receive_message, QueueUrl=dead, VisibilityTimeout=0)
    # As docs/flow.md has it: without a destination SQS does not find where a letter came from, and moves nothing.
    sqs.start_message_move_task(SourceArn=dead_arn)
    [task] = sqs.list_message_move_tasks(SourceArn=dead_arn)["Results"]
    assert (task["Status"], task["FailureReason"]) == ("FAILED", "CouldNotDetermineMessageSource")
    sqs.start_message_move_task(SourceArn=dead_arn, DestinationArn=destination)
    [task] = sqs.list_message_move_tasks(SourceArn=dead_arn)["Results"]
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 1)
    command = re.search(r"start-message-move-task(.*\n)+?(?=    aws )", (ROOT / "docs/flow.md").read_text())
    assert command
    assert all(f"--{name}" in command[0] for name in ("source-arn", "destination-arn"))
    assert denied(sqs.receive_message, QueueUrl=live)
    assert denied(sqs.purge_queue, QueueUrl=dead)
    group = "/aws/lambda/spillway-ops-worker"
    aws.client("logs").create_log_group(logGroupName=group)
    aws.client("logs").create_log_group(logGroupName="/aws/lambda/payments")
    assert not denied(operator("logs").filter_log_events, logGroupName=group)
    assert denied(operator("logs").filter_log_events, logGroupName="/aws/lambda/payments")
