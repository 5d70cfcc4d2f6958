"""Who may do what: the roles of both functions, who may invoke them, and the Function URL."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ingest_fn.settings
from shared.receipts import RECEIPT_PREFIX
from shared.state import SUSPENDED
from tests.integration.infra.templates import Package, Template, of_type, resolved

ROOT = Path(__file__).parents[3]
US_ACCOUNTS = {"338661164609", "457804467337"}


def statements(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every statement of every role's policies, with the role's logical id."""
    for role, properties in of_type(template, "AWS::IAM::Role").items():
        for policy in properties["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                yield role, statement
    for policy in of_type(template, "AWS::IAM::Policy").values():
        assert set(policy) == {"PolicyName", "Roles", "PolicyDocument"}, "policies are for roles alone"
        for role in policy["Roles"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                yield role["Ref"], statement


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_a_role_may_do_what_its_function_does_and_nothing_else(template: Template) -> None:
    """Each role allows exactly the actions and resources that the code uses."""
    allowed = {
        (role, action, json.dumps(statement["Resource"]))
        for role, statement in statements(template)
        for action in as_list(statement["Action"])
    }
    names = ("Queue", "ParkingQueue", "DeadLetterQueue", "StateTable")
    queue, parking, dlq, table = (json.dumps({"Fn::GetAtt": [name, "Arn"]}) for name in names)
    mappings = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:event-source-mapping"
    mapping = json.dumps({"Fn::Sub": f"{mappings}:${{WorkerEventSourceMappingSQSQueue}}"})
    groups = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:/aws/lambda/spillway-dev"
    logs = {name: json.dumps({"Fn::Sub": f"{groups}-{name}:*"}) for name in ("ingest", "worker")}
    assert allowed == {
        ("IngestRole", "sqs:SendMessage", queue),
        ("IngestRole", "dynamodb:Query", table),
        ("IngestRole", "dynamodb:PutItem", table),
        ("IngestRole", "logs:CreateLogStream", logs["ingest"]),
        ("IngestRole", "logs:PutLogEvents", logs["ingest"]),
        ("WorkerRole", "sqs:ReceiveMessage", queue),
        ("WorkerRole", "sqs:DeleteMessage", queue),
        ("WorkerRole", "sqs:GetQueueAttributes", queue),
        ("WorkerRole", "sqs:ChangeMessageVisibility", queue),
        ("WorkerRole", "sqs:SendMessage", queue),
        ("WorkerRole", "sqs:SendMessage", parking),
        ("WorkerRole", "sqs:ReceiveMessage", parking),
        ("WorkerRole", "sqs:DeleteMessage", parking),
        ("WorkerRole", "sqs:SendMessage", dlq),
        ("WorkerRole", "dynamodb:GetItem", table),
        ("WorkerRole", "dynamodb:UpdateItem", table),
        ("WorkerRole", "dynamodb:PutItem", table),
        ("WorkerRole", "dynamodb:DeleteItem", table),
        ("WorkerRole", "dynamodb:Query", table),
        ("WorkerRole", "lambda:GetEventSourceMapping", mapping),
        ("WorkerRole", "lambda:UpdateEventSourceMapping", mapping),
        ("WorkerRole", "lambda:ListTags", mapping),
        ("WorkerRole", "cloudwatch:GetMetricData", '"*"'),
        ("WorkerRole", "logs:CreateLogStream", logs["worker"]),
        ("WorkerRole", "logs:PutLogEvents", logs["worker"]),
    }


def test_no_action_and_no_resource_is_a_wildcard(any_stage: Template) -> None:
    """No role allows `*` or every action of a service; only log streams, whose names are not known before, and metrics,
    which IAM cannot name, are wildcards.
    """
    for role, statement in statements(any_stage):
        if statement["Action"] == "cloudwatch:GetMetricData":
            assert statement["Resource"] == "*"
            continue
        assert statement["Effect"] == "Allow"
        assert not [action for action in as_list(statement["Action"]) if "*" in action], role
        for resource in as_list(statement["Resource"]):
            named = json.dumps(resource)
            assert "*" not in named or re.search(r":log-group:/aws/lambda/[a-z-]+:\*", named), (role, named)


def test_ingest_reads_suspended_accounts_and_writes_receipts_and_nothing_else(template: Template) -> None:
    """Ingest's role can use only two kinds of keys of the state table: it reads suspensions and writes receipts of
    erasures.
    """
    opened = {
        statement["Action"]: statement["Condition"] for role, statement in statements(template)
        if role == "IngestRole" and "dynamodb" in str(statement["Action"])
    }  # fmt: skip
    assert opened == {
        "dynamodb:Query": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [SUSPENDED]}},
        "dynamodb:PutItem": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [f"{RECEIPT_PREFIX}*"]}},
    }


def test_each_function_has_a_role_of_its_own(template: Template) -> None:
    """No two functions share a role, and only Lambda may assume one."""
    functions = of_type(template, "AWS::Lambda::Function")
    assert functions["IngestLambdaFunction"]["Role"] == {"Fn::GetAtt": ["IngestRole", "Arn"]}
    assert functions["WorkerLambdaFunction"]["Role"] == {"Fn::GetAtt": ["WorkerRole", "Arn"]}
    roles = of_type(template, "AWS::IAM::Role")
    assert set(roles) == {"IngestRole", "WorkerRole"}
    for role in roles.values():
        assert "ManagedPolicyArns" not in role
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert (trust["Principal"], trust["Action"]) == ({"Service": "lambda.amazonaws.com"}, "sts:AssumeRole")


def test_roles_carry_the_boundary_that_is_named(package: Package, template: Template) -> None:
    """PERMISSIONS_BOUNDARY names a policy of the account; without it CloudFormation leaves the property out."""
    policy = {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/spillway-boundary"}
    bounded = package(PERMISSIONS_BOUNDARY="spillway-boundary")
    for role in of_type(bounded, "AWS::IAM::Role").values():
        assert role["PermissionsBoundary"] == {"Fn::If": ["HasBoundary", policy, {"Ref": "AWS::NoValue"}]}
    for one, named in ((bounded, "spillway-boundary"), (template, "")):
        assert one["Conditions"]["HasBoundary"] == {"Fn::Not": [{"Fn::Equals": [named, ""]}]}


def test_the_boundary_holds_all_that_a_role_may_do(package: Package) -> None:
    """The boundary contains every action of both roles, so a deploy within it works as one without."""
    document = json.loads((ROOT / "infra/permissions-boundary.json").read_text())
    most = {action for statement in document["Statement"] for action in as_list(statement["Action"])}
    on = package(TOKEN_SOURCE="ssm:/spillway/t", WEBHOOK_SECRET_HEADERS=f"secretsmanager:{SECRET_ARN}")
    used = {action for _, statement in statements(on) for action in as_list(statement["Action"])}
    assert used == most


def test_both_functions_have_the_alias_and_a_deploy_moves_it(template: Template) -> None:
    """`production` points at the version that the deploy publishes."""
    aliases = of_type(template, "AWS::Lambda::Alias")
    assert set(aliases) == {"IngestProductionAlias", "WorkerProductionAlias"}
    for logical_id, alias in aliases.items():
        version, attribute = alias["FunctionVersion"]["Fn::GetAtt"]
        published = template["Resources"][version]
        assert (alias["Name"], attribute) == ("production", "Version")
        assert published["Properties"]["FunctionName"] == alias["FunctionName"]
        assert alias["FunctionName"]["Ref"].startswith(logical_id.removesuffix("ProductionAlias"))
        # A version that is live must outlast the deploy that published it.
        assert published["DeletionPolicy"] == "Retain"


def test_mparticle_and_the_tick_may_invoke_an_alias_and_nobody_may_invoke_anything_else(template: Template) -> None:
    """Only mParticle's accounts may invoke ingest's alias, and only the tick's rule the worker's."""
    permissions = of_type(template, "AWS::Lambda::Permission")
    tick = permissions.pop("TickMayInvokeWorker")
    assert tick == {
        "FunctionName": {"Ref": "WorkerProductionAlias"},
        "Action": "lambda:InvokeFunction",
        "Principal": "events.amazonaws.com",
        "SourceArn": {"Fn::GetAtt": ["Tick", "Arn"]},
    }
    assert {p["Principal"] for p in permissions.values()} == US_ACCOUNTS
    for permission in permissions.values():
        assert permission["FunctionName"] == {"Ref": "IngestProductionAlias"}
        assert permission["Action"] == "lambda:InvokeFunction"
    assert not of_type(template, "AWS::Lambda::Url")


def test_other_accounts_are_a_parameter(package: Package) -> None:
    """Another pod's accounts can be set without an edit, and replace the default ones."""
    permissions = of_type(
        package(MPARTICLE_ACCOUNTS=" 386705975570, 111122223333,386705975570"), "AWS::Lambda::Permission"
    )
    del permissions["TickMayInvokeWorker"]
    assert sorted(p["Principal"] for p in permissions.values()) == ["111122223333", "386705975570"]


SECRET_ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:spillway/token-AbCdEf"


@pytest.mark.parametrize(
    ("source", "action", "resource"),
    [
        (
            "ssm:/spillway/token",
            "ssm:GetParameter",
            {"Fn::Sub": "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/spillway/token"},
        ),
        (f"secretsmanager:{SECRET_ARN}", "secretsmanager:GetSecretValue", SECRET_ARN),
    ],
    ids=["ssm", "secretsmanager"],
)
def test_the_function_url_is_the_aliass_and_reads_its_tokens_alone(
    package: Package, template: Template, source: str, action: str, resource: Any
) -> None:
    """TOKEN_SOURCE adds a URL of the alias, permissions for calls by that URL only, and permission to read the
    tokens.
    """
    on = package(TOKEN_SOURCE=source)
    (url,) = of_type(on, "AWS::Lambda::Url").values()
    assert url == {
        "TargetFunctionArn": {"Ref": "IngestLambdaFunction"},
        "Qualifier": "production",
        "AuthType": "NONE",
    }
    added = [s for s in statements(on) if s not in list(statements(template))]
    assert added == [("IngestRole", {"Effect": "Allow", "Action": action, "Resource": resource})]
    public = [p for p in of_type(on, "AWS::Lambda::Permission").values() if p["Principal"] == "*"]
    alias = {"FunctionName": {"Ref": "IngestProductionAlias"}, "Principal": "*"}
    assert public == [
        {**alias, "Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
        {**alias, "Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
    ]
    assert on["Outputs"]["IngestUrl"]["Value"] == {"Fn::GetAtt": ["IngestUrl", "FunctionUrl"]}
    assert "Export" not in on["Outputs"]["IngestUrl"]
    assert [one["Fn::Equals"] for one in on["Conditions"]["HasUrl"]["Fn::Not"]] == [[source, ""]]
    assert on["Resources"]["UrlErrorAlarm"]["Condition"] == "HasUrl"
    variables = of_type(on, "AWS::Lambda::Function")["IngestLambdaFunction"]["Environment"]["Variables"]
    assert ingest_fn.settings.Settings.from_env({"AWS_REGION": "us-east-1", **resolved(variables)}).token_store


def test_the_function_url_is_off_by_default(any_stage: Template) -> None:
    """No stage has a URL, or anything public, unless it was asked for."""
    assert not of_type(any_stage, "AWS::Lambda::Url")
    assert "IngestUrl" not in any_stage["Outputs"]
    assert any_stage["Conditions"]["HasUrl"] == {"Fn::Not": [{"Fn::Equals": ["", ""]}]}
    assert "*" not in {p["Principal"] for p in of_type(any_stage, "AWS::Lambda::Permission").values()}
