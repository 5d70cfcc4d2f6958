"""What the template of every deploy holds to."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import ingest_fn.settings
import worker_fn.settings
from ops.stack import pod_named, stack_name
from partners import load_partner
from shared.message import READS, VERSION
from shared.receipts import PREFIX
from shared.state import SUSPENDED

Template = dict[str, Any]
Package = Callable[..., Template]

ROOT = Path(__file__).parents[3]
FOURTEEN_DAYS_S = 14 * 24 * 3600
US_ACCOUNTS = {"338661164609", "457804467337"}
QUEUES = {"Queue", "ParkingQueue", "DeadLetterQueue"}


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """Give the properties of every resource of a type, by logical id."""
    return {
        logical_id: resource["Properties"]
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


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


@pytest.fixture(scope="module", params=["dev", "production", "local", "production, fifo"])
def any_stage(request: pytest.FixtureRequest, package: Package) -> Template:
    """Give the template of every stage, and that of FIFO queues."""
    stage, _, queue_type = request.param.partition(", ")
    return package(stage, QUEUE_TYPE=queue_type) if queue_type else package(stage)


@pytest.fixture(scope="module")
def fifo(package: Package) -> Template:
    return package(QUEUE_TYPE="fifo")


def test_a_role_may_do_what_its_function_does_and_nothing_else(template: Template) -> None:
    """Each role's actions, and on what, are exactly those that the code calls."""
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
        ("WorkerRole", "sqs:ChangeMessageVisibility", parking),
        ("WorkerRole", "sqs:SendMessage", dlq),
        ("WorkerRole", "dynamodb:GetItem", table),
        ("WorkerRole", "dynamodb:PutItem", table),
        ("WorkerRole", "dynamodb:DeleteItem", table),
        ("WorkerRole", "dynamodb:Query", table),
        ("WorkerRole", "lambda:GetEventSourceMapping", mapping),
        ("WorkerRole", "lambda:UpdateEventSourceMapping", mapping),
        ("WorkerRole", "lambda:ListTags", mapping),
        ("WorkerRole", "logs:CreateLogStream", logs["worker"]),
        ("WorkerRole", "logs:PutLogEvents", logs["worker"]),
    }


def test_no_action_and_no_resource_is_a_wildcard(any_stage: Template) -> None:
    """No role of any stage is allowed `*`, or every action of a service; only log streams have no name in advance."""
    for role, statement in statements(any_stage):
        assert statement["Effect"] == "Allow"
        assert not [action for action in as_list(statement["Action"]) if "*" in action], role
        for resource in as_list(statement["Resource"]):
            named = json.dumps(resource)
            assert "*" not in named or re.search(r":log-group:/aws/lambda/[a-z-]+:\*", named), (role, named)


def test_ingest_reads_suspended_accounts_and_writes_receipts_and_nothing_else(template: Template) -> None:
    """Its role opens two kinds of keys of the state table: suspensions to read, receipts of erasures to write."""
    opened = {
        statement["Action"]: statement["Condition"] for role, statement in statements(template)
        if role == "IngestRole" and "dynamodb" in str(statement["Action"])
    }  # fmt: skip
    assert opened == {
        "dynamodb:Query": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [SUSPENDED]}},
        "dynamodb:PutItem": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [f"{PREFIX}*"]}},
    }


def test_each_function_has_a_role_of_its_own(template: Template) -> None:
    """No two functions share a role, and Lambda alone may take one on."""
    functions = of_type(template, "AWS::Lambda::Function")
    assert functions["IngestLambdaFunction"]["Role"] == {"Fn::GetAtt": ["IngestRole", "Arn"]}
    assert functions["WorkerLambdaFunction"]["Role"] == {"Fn::GetAtt": ["WorkerRole", "Arn"]}
    roles = of_type(template, "AWS::IAM::Role")
    assert set(roles) == {"IngestRole", "WorkerRole"}
    for role in roles.values():
        assert "ManagedPolicyArns" not in role
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert (trust["Principal"], trust["Action"]) == ({"Service": "lambda.amazonaws.com"}, "sts:AssumeRole")


def test_functions_run_on_arm_with_python_3_13(any_stage: Template) -> None:
    """Both functions run what the zips were built for."""
    functions = of_type(any_stage, "AWS::Lambda::Function")
    assert len(functions) == 2
    for properties in functions.values():
        assert (properties["Runtime"], properties["Architectures"]) == ("python3.13", ["arm64"])


def test_queues_are_encrypted_and_keep_messages_14_days(any_stage: Template) -> None:
    """Queue, parking queue and dead-letter queue encrypt and keep as long as SQS can."""
    queues = of_type(any_stage, "AWS::SQS::Queue")
    assert set(queues) == QUEUES
    for properties in queues.values():
        assert properties["SqsManagedSseEnabled"] is True
        assert properties["MessageRetentionPeriod"] == FOURTEEN_DAYS_S


def test_only_a_thousand_receives_send_a_message_to_the_dead_letter_queue(any_stage: Template) -> None:
    """The queue dead-letters at SQS's maximum, into a queue that takes nobody else's dead letters."""
    queues = of_type(any_stage, "AWS::SQS::Queue")
    redrive = queues["Queue"]["RedrivePolicy"]
    assert redrive == {"deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}, "maxReceiveCount": 1000}
    allow = queues["DeadLetterQueue"]["RedriveAllowPolicy"]
    assert allow["redrivePermission"] == "byQueue"
    (source,) = allow["sourceQueueArns"]
    assert source["Fn::Sub"].endswith(f":{queues['Queue']['QueueName']}")


def test_a_message_stays_invisible_for_six_timeouts_and_the_window(any_stage: Template) -> None:
    """SQS's rule for mappings, so that a message that is being worked on is not handed out again."""
    worker = of_type(any_stage, "AWS::Lambda::Function")["WorkerLambdaFunction"]
    (mapping,) = of_type(any_stage, "AWS::Lambda::EventSourceMapping").values()
    visibility = of_type(any_stage, "AWS::SQS::Queue")["Queue"]["VisibilityTimeout"]
    assert visibility >= 6 * worker["Timeout"] + mapping.get("MaximumBatchingWindowInSeconds", 0)


def test_queues_are_standard_unless_told_otherwise(template: Template, package: Package) -> None:
    """A standard queue has no property of a FIFO queue, not even one that says no: CloudFormation refuses it."""
    queues = of_type(template, "AWS::SQS::Queue")
    assert of_type(package(QUEUE_TYPE="standard"), "AWS::SQS::Queue") == queues
    for properties in queues.values():
        assert not [name for name in properties if re.search("(?i)fifo|deduplication", name)]
        assert not properties["QueueName"].endswith(".fifo")


def test_fifo_queues_are_fifo_all_three(fifo: Template, template: Template) -> None:
    """Queue, parking queue and dead-letter queue are FIFO, of high throughput, and find no duplicates by themselves."""
    for logical_id, properties in of_type(fifo, "AWS::SQS::Queue").items():
        standard = of_type(template, "AWS::SQS::Queue")[logical_id]
        assert properties["QueueName"] == f"{standard['QueueName']}.fifo"
        assert {name: properties[name] for name in set(properties) - set(standard)} == {
            "FifoQueue": True,
            "ContentBasedDeduplication": False,
            "DeduplicationScope": "messageGroup",
            "FifoThroughputLimit": "perMessageGroupId",
        }


def test_a_fifo_queue_is_read_in_tens_without_a_window(package: Package) -> None:
    """Lambda takes no more than ten messages of a FIFO queue and gathers none, whatever is set for a standard one."""
    (mapping,) = of_type(
        package(QUEUE_TYPE="fifo", BATCH_SIZE="100", BATCH_WINDOW_S="5"), "AWS::Lambda::EventSourceMapping"
    ).values()
    assert mapping["BatchSize"] == 10
    assert "MaximumBatchingWindowInSeconds" not in mapping


def test_the_type_of_the_queues_changes_nothing_else(fifo: Template, template: Template) -> None:
    """Roles, rule and table are the same, both functions are told the type, and a deploy publishes new versions."""
    versions = "AWS::Lambda::Version"
    same = {
        logical_id
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] != versions and fifo["Resources"][logical_id] == resource
    }
    changed = {
        *QUEUES, "WorkerEventSourceMappingSQSQueue", "IngestLambdaFunction", "WorkerLambdaFunction",
        "IngestProductionAlias", "WorkerProductionAlias",
    }  # fmt: skip
    others = {logical_id for logical_id, resource in template["Resources"].items() if resource["Type"] != versions}
    assert others - same == changed
    for stage, queue_type in ((template, "standard"), (fifo, "fifo")):
        for properties in of_type(stage, "AWS::Lambda::Function").values():
            assert properties["Environment"]["Variables"]["QUEUE_TYPE"] == queue_type
    # A changed reference alone would leave the alias on a version that sends to queues of the other type.
    assert not set(of_type(template, versions)) & set(of_type(fifo, versions))


def test_the_state_table_is_on_demand_encrypted_and_forgets(any_stage: Template) -> None:
    """Its key is pk and sk, items go at `expires_at`, and nobody plans its capacity."""
    (table,) = of_type(any_stage, "AWS::DynamoDB::Table").values()
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert {key["AttributeName"]: key["KeyType"] for key in table["KeySchema"]} == {"pk": "HASH", "sk": "RANGE"}


def test_production_keeps_its_data_when_the_stack_goes(production: Template, template: Template) -> None:
    """Removing the production stack, or replacing a queue, leaves messages and state; elsewhere it cleans up."""
    for stage, policy in ((production, "Retain"), (template, "Delete")):
        kept = [r for r in stage["Resources"].values() if r["Type"] in {"AWS::SQS::Queue", "AWS::DynamoDB::Table"}]
        assert len(kept) == 4
        assert {r[name] for r in kept for name in ("DeletionPolicy", "UpdateReplacePolicy")} == {policy}


def test_logs_are_kept_for_a_time(any_stage: Template) -> None:
    """Each function's log group belongs to the stack and forgets."""
    groups = of_type(any_stage, "AWS::Logs::LogGroup").values()
    functions = of_type(any_stage, "AWS::Lambda::Function").values()
    assert {g["LogGroupName"] for g in groups} == {f"/aws/lambda/{f['FunctionName']}" for f in functions}
    assert all(group["RetentionInDays"] in {14, 90} for group in groups)


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
    """Permissions are for ingest's alias and exactly mParticle's accounts, and for the worker's and its own rule."""
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


def test_a_tick_a_minute_invokes_the_live_worker(any_stage: Template) -> None:
    """The rule stands on the alias, which a held deploy leaves alone, and names the mapping that it is to steer."""
    (rule,) = of_type(any_stage, "AWS::Events::Rule").values()
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 minute)", "ENABLED")
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Ref": "WorkerProductionAlias"}
    payload = re.sub(r"\$\{(\w+)\}", r"\1", target["Input"]["Fn::Sub"])
    assert json.loads(payload) == {"tick": {"mapping_id": any_stage["Outputs"]["WorkerMappingId"]["Value"]["Ref"]}}


def test_a_tick_that_fails_is_not_repeated(template: Template) -> None:
    """Neither EventBridge nor Lambda sends it again: the next one is due, and late ones would pile up."""
    ((_, rule),) = of_type(template, "AWS::Events::Rule").items()
    assert rule["Targets"][0]["RetryPolicy"] == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    (invocation,) = of_type(template, "AWS::Lambda::EventInvokeConfig").values()
    alias = of_type(template, "AWS::Lambda::Alias")["WorkerProductionAlias"]
    assert (invocation["FunctionName"], invocation["Qualifier"]) == (alias["FunctionName"], alias["Name"])
    assert (invocation["MaximumRetryAttempts"], invocation["MaximumEventAgeInSeconds"]) == (0, 60)
    assert {"WorkerTickPolicy", "WorkerTickInvocation"} == set(template["Resources"]["Tick"]["DependsOn"])


def test_other_accounts_are_a_parameter(package: Package) -> None:
    """Another pod's account is allowed without an edit, in place of the default ones."""
    permissions = of_type(
        package(MPARTICLE_ACCOUNTS=" 386705975570, 111122223333,386705975570"), "AWS::Lambda::Permission"
    )
    del permissions["TickMayInvokeWorker"]
    assert sorted(p["Principal"] for p in permissions.values()) == ["111122223333", "386705975570"]


def test_the_mapping_feeds_the_alias_and_reports_failures_by_message(template: Template) -> None:
    """A held deploy must not change the live worker, and one bad message must not bring its batch back."""
    (mapping,) = of_type(template, "AWS::Lambda::EventSourceMapping").values()
    worker_arn = {"Fn::GetAtt": ["WorkerLambdaFunction", "Arn"]}
    assert mapping["FunctionName"] == {"Fn::Join": [":", [worker_arn, "production"]]}
    assert mapping["EventSourceArn"] == {"Fn::GetAtt": ["Queue", "Arn"]}
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert 2 <= mapping["ScalingConfig"]["MaximumConcurrency"] <= 1000
    # Lambda's rule: more than ten messages need a window.
    assert mapping["BatchSize"] <= 10 or mapping["MaximumBatchingWindowInSeconds"] >= 1


def test_the_worker_knows_how_many_it_can_be(any_stage: Template, package: Package) -> None:
    """Its share of the partner's limits is reckoned from the mapping's own MaximumConcurrency, whoever set it."""
    for stage in (any_stage, package(MAX_CONCURRENCY="40")):
        (mapping,) = of_type(stage, "AWS::Lambda::EventSourceMapping").values()
        worker = of_type(stage, "AWS::Lambda::Function")["WorkerLambdaFunction"]["Environment"]["Variables"]
        assert int(worker["MAX_CONCURRENCY"]) == mapping["ScalingConfig"]["MaximumConcurrency"]


def test_ages_fit_the_retention_of_the_queues(any_stage: Template) -> None:
    """A message that is hidden when its age ends is seen once more before the queue forgets it."""
    variables = resolved(
        of_type(any_stage, "AWS::Lambda::Function")["WorkerLambdaFunction"]["Environment"]["Variables"]
    )
    settings = worker_fn.settings.Settings.from_env(variables)
    retention_s = of_type(any_stage, "AWS::SQS::Queue")["Queue"]["MessageRetentionPeriod"]
    for age_s in (settings.max_age_s, settings.erasure_max_age_s):
        assert age_s + settings.visibility_margin_s <= retention_s


def test_connections_divide_a_batch_evenly(any_stage: Template) -> None:
    """The last round of a batch keeps every connection busy."""
    worker = of_type(any_stage, "AWS::Lambda::Function")["WorkerLambdaFunction"]
    (mapping,) = of_type(any_stage, "AWS::Lambda::EventSourceMapping").values()
    assert mapping["BatchSize"] % int(worker["Environment"]["Variables"]["MAX_IN_FLIGHT"]) == 0


def test_the_worker_has_time_for_a_call_and_for_settling(any_stage: Template) -> None:
    """A call that takes as long as it may, and the settling after it, fit into the worker's timeout."""
    properties = of_type(any_stage, "AWS::Lambda::Function")["WorkerLambdaFunction"]
    variables = resolved(properties["Environment"]["Variables"])
    settings = worker_fn.settings.Settings.from_env(variables)
    assert settings.connect_timeout_s + settings.read_timeout_s + settings.settle_reserve_s <= properties["Timeout"]


def test_concurrency_is_reserved_only_when_asked_for(template: Template, package: Package) -> None:
    """A new account cannot reserve any, so by default nothing is; a number is taken as it is."""
    reserved = package(INGEST_RESERVED_CONCURRENCY="400", MAX_CONCURRENCY="40", MAX_IN_FLIGHT="5")
    for stage, expected in ((template, None), (reserved, 400)):
        functions = of_type(stage, "AWS::Lambda::Function")
        assert functions["IngestLambdaFunction"].get("ReservedConcurrentExecutions") == expected
        assert "ReservedConcurrentExecutions" not in functions["WorkerLambdaFunction"]
    (mapping,) = of_type(reserved, "AWS::Lambda::EventSourceMapping").values()
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 40}


class Recorded(dict[str, str]):
    """An environment that remembers which variables were looked at."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(variables)
        self.seen: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.seen.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> str:
        self.seen.add(key)
        return super().__getitem__(key)


def resolved(variables: Mapping[str, Any]) -> dict[str, str]:
    """Give a function's environment as it is once deployed: a queue's reference is its URL, a table's its name."""

    def value_of(value: Any) -> str:
        if isinstance(value, str):
            return value
        reference = str(value["Ref"])
        return f"https://sqs.us-east-1.amazonaws.com/0/{reference}" if reference in QUEUES else reference

    return {name: value_of(value) for name, value in variables.items()}


# What Lambda itself sets, and what is read for the end-to-end tests alone.
RUNTIME_VARIABLES = re.compile(r"^AWS_")
# Read by Powertools, not by us.
LIBRARY_VARIABLES = {"ingest": set[str](), "worker": {"LOG_LEVEL"}}
# Notes of a version for `spillway versions` and `promote`; no code of the function reads them.
NOTED_VARIABLES = {"ingest": {"COMMIT", "WRITES_MESSAGES"}, "worker": {"COMMIT", "READS_MESSAGES"}}

WEBHOOK = {
    "WEBHOOK_URL": "https://partner.example/events",
    "WEBHOOK_METHOD": "PUT",
    "WEBHOOK_HEADERS": "{}",
    "WEBHOOK_PER": "request",
    "WEBHOOK_AUTH": "none",
    "WEBHOOK_SUBSCRIBE_URL": "https://partner.example/lists",
    "WEBHOOK_SIGN": "false",
    "WEBHOOK_RATE": "45/20",
    "WEBHOOK_ACCOUNT_RATE": "5",
}
ITERABLE = {
    "PARTNER": "partners.iterable",
    "ITERABLE_DATA_CENTER": "eu",
    "ITERABLE_MODE": "bulk",
    "ITERABLE_LIST_RATE": "5",
}
AMPLITUDE = {"PARTNER": "partners.amplitude", "AMPLITUDE_REGION": "eu"}


@pytest.mark.parametrize("function", ["ingest", "worker"])
@pytest.mark.parametrize("partner", [WEBHOOK, ITERABLE, AMPLITUDE], ids=["webhook", "iterable", "amplitude"])
def test_a_function_is_given_the_variables_that_it_reads(
    package: Package, function: str, partner: Mapping[str, str]
) -> None:
    """Every variable that settings and partner read is in the template, with a value they take; and no other is."""
    template = package(**partner)
    properties = of_type(template, "AWS::Lambda::Function")[f"{function.title()}LambdaFunction"]
    variables = Recorded({"AWS_REGION": "us-east-1", **resolved(properties["Environment"]["Variables"])})
    if function == "ingest":
        ingest_fn.settings.Settings.from_env(variables)
    else:
        worker_fn.settings.Settings.from_env(variables)
    load_partner(variables)
    read = {name for name in variables.seen if not RUNTIME_VARIABLES.match(name)}
    assert set(properties["Environment"]["Variables"]) == read | LIBRARY_VARIABLES[function] | NOTED_VARIABLES[function]


def test_a_version_notes_its_commit_and_its_messages(template: Template) -> None:
    """Ingest says what it writes and the worker what it reads, as the code that was built has it."""
    functions = of_type(template, "AWS::Lambda::Function")
    ingest, worker = (
        functions[name]["Environment"]["Variables"] for name in ("IngestLambdaFunction", "WorkerLambdaFunction")
    )
    assert ingest["WRITES_MESSAGES"] == str(VERSION)
    assert worker["READS_MESSAGES"] == ",".join(map(str, READS))
    assert ingest["COMMIT"] == worker["COMMIT"]
    assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?|unknown", ingest["COMMIT"])


def test_a_partner_is_given_the_variables_that_it_names(package: Package) -> None:
    """Those of the shell that begin with its name and stand in its file; those of another, or of a tool, are not."""
    strangers = {"WEBHOOK_TOKEN": "canary", "ACME_URL": "https://acme.example"}
    template = package(WEBHOOK_URL="https://partner.example/events", **strangers)
    for function in of_type(template, "AWS::Lambda::Function").values():
        variables = function["Environment"]["Variables"]
        assert (variables["PARTNER"], variables["WEBHOOK_URL"]) == (
            "partners.webhook",
            "https://partner.example/events",
        )
        assert not {"WEBHOOK_TOKEN", "ACME_URL", "WEBHOOK_RATE"} & set(variables)


def test_no_secret_is_in_the_template(any_stage: Template) -> None:
    """No variable is named like a credential, and no value looks like one."""
    for function in of_type(any_stage, "AWS::Lambda::Function").values():
        variables = dict(function["Environment"]["Variables"])
        assert variables.pop("TOKEN_SOURCE", "") == ""  # says where they are kept
        for name, value in variables.items():
            assert not re.search(r"SECRET|TOKEN|PASSWORD|API_?KEY|CREDENTIAL", name)
            assert not re.search(r"AKIA[0-9A-Z]{16}|(?i:bearer )\S|[A-Za-z0-9/+]{40}", str(value))


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
    """TOKEN_SOURCE brings a URL of the alias, permissions for calls by it alone, and leave to read the tokens."""
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
    variables = of_type(on, "AWS::Lambda::Function")["IngestLambdaFunction"]["Environment"]["Variables"]
    assert ingest_fn.settings.Settings.from_env({"AWS_REGION": "us-east-1", **resolved(variables)}).token_store


def test_the_function_url_is_off_by_default(any_stage: Template) -> None:
    """No stage has a URL, or anything public, unless it was asked for."""
    assert not of_type(any_stage, "AWS::Lambda::Url")
    assert "IngestUrl" not in any_stage["Outputs"]
    assert "*" not in {p["Principal"] for p in of_type(any_stage, "AWS::Lambda::Permission").values()}


def test_the_deploy_bucket_is_private(template: Template) -> None:
    """Where serverless puts the zips nobody else reads, and nobody without TLS."""
    (bucket,) = of_type(template, "AWS::S3::Bucket").values()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert "BucketEncryption" in bucket


def test_outputs_say_what_to_give_to_mparticle(template: Template) -> None:
    """The alias's ARN, the queues and the table are outputs, and none is exported for another stack to hold on to."""
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
    """Two stages live in one account side by side: functions, queues, table, rule and log groups have other names."""
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
    """Two pods in one account and region share no name, and each lets its own accounts in; us1 is the default."""
    assert of_type(package(POD="us1"), "AWS::SQS::Queue") == of_type(template, "AWS::SQS::Queue")
    names = {}
    for pod in ("us1", "us2", "eu1", "au1"):
        resources = package("production", POD=pod)["Resources"]
        alarms = [resources.pop(name) for name in list(resources) if name.endswith("Alarm")]
        named = "QueueName|TableName|FunctionName|Name|LogGroupName|TopicName"
        names[pod] = set(re.findall(rf'"(?:{named})": "([^"]+)"', json.dumps(resources)))
        names[pod] |= {alarm["Properties"]["AlarmName"] for alarm in alarms}
        names[pod].discard("production")  # the alias, which is a function's own
        permissions = of_type({"Resources": resources}, "AWS::Lambda::Permission")
        del permissions["TickMayInvokeWorker"]
        assert sorted(p["Principal"] for p in permissions.values()) == sorted(pod_named(pod)["accounts"].split(","))
        assert all(stack_name("production", pod) in name for name in names[pod])
    assert len(set.union(*names.values())) == sum(len(one) for one in names.values())
