"""The stack as a whole: names, stages, pods, logs, outputs."""

import json
import re

import pytest

from ops.operate.stack import pod_named, stack_name
from tests.integration.infra.templates import Package, Template, of_type


def test_functions_run_on_arm_with_python_3_13(any_stage: Template) -> None:
    """Both functions run what the zips were built for."""
    functions = of_type(any_stage, "AWS::Lambda::Function")
    assert len(functions) == 2
    for properties in functions.values():
        assert (properties["Runtime"], properties["Architectures"]) == ("python3.13", ["arm64"])


def test_data_is_kept_unless_its_deletion_is_asked_for(
    production: Template, template: Template, package: Package
) -> None:
    """Removing a stack of any name, or replacing a queue, keeps messages and state; with DATA=delete, and for `local`,
    they are deleted.
    """
    kept_by = {"dev": template, "production": production, "prod": package("prod")}
    deleted_by = {"asked for": package("prod", DATA="delete"), "local": package("local")}
    for stage, policy in (
        *((one, "Retain") for one in kept_by.values()),
        *((one, "Delete") for one in deleted_by.values()),
    ):
        kept = [r for r in stage["Resources"].values() if r["Type"] in {"AWS::SQS::Queue", "AWS::DynamoDB::Table"}]
        assert len(kept) == 4
        assert {r[name] for r in kept for name in ("DeletionPolicy", "UpdateReplacePolicy")} == {policy}


NAMES = {
    "AWS::Lambda::Function": ("FunctionName", 64),
    "AWS::Events::Rule": ("Name", 64),
    "AWS::SQS::Queue": ("QueueName", 80),
    "AWS::IAM::Role": ("RoleName", 64),
    "AWS::SNS::Topic": ("TopicName", 256),
    "AWS::DynamoDB::Table": ("TableName", 255),
    "AWS::CloudWatch::Alarm": ("AlarmName", 255),
    "AWS::CloudWatch::Dashboard": ("DashboardName", 255),
    "AWS::Logs::LogGroup": ("LogGroupName", 512),
}
"""AWS's limits for the names that a stack may give."""


@pytest.mark.parametrize(("pod", "longest"), [("us1", 48), ("eu1", 44)])
def test_the_longest_stage_keeps_every_limit_of_a_name(package: Package, pod: str, longest: int) -> None:
    """The longest stage's name that infra/stage.py accepts fits AWS's limits; one more character would be too long for
    a function.
    """
    stage = package("s" * longest, POD=pod, QUEUE_TYPE="fifo")
    lengths: dict[str, int] = {}
    for kind, (field, limit) in NAMES.items():
        named = [one[field] for one in of_type(stage, kind).values() if isinstance(one.get(field), str)]
        lengths[kind] = max(map(len, named), default=0)
        assert lengths[kind] <= limit, kind
    assert lengths["AWS::Lambda::Function"] == 64
    assert lengths["AWS::SQS::Queue"]


def test_logs_are_kept_for_a_time(any_stage: Template) -> None:
    """Each function's log group belongs to the stack and has a retention."""
    groups = of_type(any_stage, "AWS::Logs::LogGroup").values()
    functions = of_type(any_stage, "AWS::Lambda::Function").values()
    assert {g["LogGroupName"] for g in groups} == {f"/aws/lambda/{f['FunctionName']}" for f in functions}
    assert all(group["RetentionInDays"] in {14, 90} for group in groups)


def test_lambda_writes_logs_as_it_is_told(template: Template, package: Package) -> None:
    """Logs are text, or JSON without Lambda's own lines and with all lines of ours: lines without a level are INFO."""
    json_ = package(LOG_FORMAT="json")
    for stage, expected in (
        (template, {"LogFormat": "Text"}),
        (package(LOG_FORMAT=""), {"LogFormat": "Text"}),
        (json_, {"LogFormat": "JSON", "SystemLogLevel": "WARN", "ApplicationLogLevel": "INFO"}),
    ):
        functions = of_type(stage, "AWS::Lambda::Function").values()
        assert [one["LoggingConfig"] for one in functions] == [expected, expected]


def test_another_form_of_logs_is_another_version(template: Template, package: Package) -> None:
    """Another log format publishes a new version, because a version keeps the format that it was published with."""
    versions, others = (
        {name for name, one in stage["Resources"].items() if one["Type"] == "AWS::Lambda::Version"}
        for stage in (template, package(LOG_FORMAT="json"))
    )
    assert len(versions) == len(others) == 2
    assert not versions & others


def test_concurrency_is_reserved_only_when_asked_for(template: Template, package: Package) -> None:
    """By default no concurrency is reserved, because a new account cannot reserve any; a number is used as it is."""
    reserved = package(INGEST_RESERVED_CONCURRENCY="400", MAX_CONCURRENCY="40", MAX_IN_FLIGHT="5")
    for stage, expected in ((template, None), (reserved, 400)):
        functions = of_type(stage, "AWS::Lambda::Function")
        assert functions["IngestLambdaFunction"].get("ReservedConcurrentExecutions") == expected
        assert "ReservedConcurrentExecutions" not in functions["WorkerLambdaFunction"]
    (mapping,) = of_type(reserved, "AWS::Lambda::EventSourceMapping").values()
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 40}


def test_the_deploy_bucket_is_private(template: Template) -> None:
    """Nobody else can read the bucket for the zips, and nobody can without TLS."""
    (bucket,) = of_type(template, "AWS::S3::Bucket").values()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert "BucketEncryption" in bucket


def test_outputs_say_what_to_give_to_mparticle(template: Template) -> None:
    """The alias's ARN, the queues and the table are outputs, and none is exported, so no other stack can depend on
    them.
    """
    outputs = template["Outputs"]
    ours = {
        "IngestAliasArn",
        "WorkerAliasArn",
        "WorkerMappingId",
        "QueueUrl",
        "ParkingQueueUrl",
        "DlqUrl",
        "StateTableName",
    }
    assert ours <= set(outputs)
    assert outputs["IngestAliasArn"]["Value"] == {"Ref": "IngestProductionAlias"}
    assert not [name for name in ours if "Export" in outputs[name]]
    for name in ours:
        (reference,) = outputs[name]["Value"].values()
        assert reference in template["Resources"]


def test_stages_share_no_name(template: Template, production: Template) -> None:
    """Two stages in one account have different names for functions, queues, table, rule and log groups."""
    names = [
        {
            str(value)
            for resource in stage["Resources"].values()
            if resource["Type"] != "AWS::IAM::Policy"  # its name is within its role's
            for name, value in resource["Properties"].items()
            if name.endswith("Name") and name != "MetricName" and isinstance(value, str)
        }
        for stage in (template, production)
    ]
    assert names[0] - {"production"}
    assert names[0] & names[1] == {"production"}  # the alias, which is a function's own


def test_a_pod_has_names_accounts_and_a_region_of_its_own(package: Package, template: Template) -> None:
    """Two pods in one account and region share no name, and each admits its own accounts; us1 is the default."""
    assert of_type(package(POD="us1"), "AWS::SQS::Queue") == of_type(template, "AWS::SQS::Queue")
    names = {}
    for pod in ("us1", "us2", "eu1", "au1"):
        resources = package("production", POD=pod)["Resources"]
        alarms = [resources.pop(name) for name in list(resources) if name.endswith("Alarm")]
        (breaker,) = (one["Properties"] for one in alarms if one["Properties"]["MetricName"] == "BreakerOpen")
        stages = {one["Value"] for one in breaker["Dimensions"] if one["Name"] == "stage"}
        stages |= {
            one["Environment"]["Variables"]["STAGE"]
            for one in of_type({"Resources": resources}, "AWS::Lambda::Function").values()
        }
        assert stages == {f"production{pod_named(pod)['suffix']}"}  # what the functions measure is what alarms
        named = "QueueName|TableName|FunctionName|Name|LogGroupName|TopicName"
        names[pod] = set(re.findall(rf'"(?:{named})": "([^"]+)"', json.dumps(resources)))
        names[pod] |= {alarm["Properties"]["AlarmName"] for alarm in alarms}
        names[pod].discard("production")  # the alias, which is a function's own
        permissions = of_type({"Resources": resources}, "AWS::Lambda::Permission")
        del permissions["TickMayInvokeWorker"]
        assert sorted(p["Principal"] for p in permissions.values()) == sorted(pod_named(pod)["accounts"].split(","))
        assert all(stack_name("production", pod) in name for name in names[pod])
    assert len(set.union(*names.values())) == sum(len(one) for one in names.values())
