"""The embedded AWS: each shim of ops/local/ministack_shims.py, with it and without.

A test `without_the_shim` that fails says that MiniStack does by itself what the shim is there for: remove the shim.
"""

import io
import json
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from ops.local.aws import LocalAws, local_aws
from tests.e2e.operated import MPARTICLE_ACCOUNT

STRANGER_ACCOUNT = "999999999999"
ROOT = Path(__file__).parents[2]
SHIMS = (
    "alias_concurrency",
    "foreign_invoke",
    "move_tasks",
    "mapping_batches",
    "batch_failures",
    "batch_permissions",
    "mapping_permissions",
    "condition_keys",
    "table_ttl",
    "fast_logs",
    "shared_code",
)
TRUST_LAMBDA = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
NOTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
NEED_IAM = {"batch_permissions", "mapping_permissions", "condition_keys"}


def until(met: Callable[[], object], timeout_s: float = 20) -> bool:
    """Poll until a condition is met; returns whether it was."""
    deadline = time.monotonic() + timeout_s
    while not met():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def make_function(aws: LocalAws, name: str, source: str, *, timeout_s: int = 20) -> str:
    """Create a function with the alias `production`; returns the alias's ARN."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("code.py", source)
    lambdas = aws.client("lambda")
    lambdas.create_function(
        FunctionName=name, Runtime="python3.13", Handler="code.handler", Timeout=timeout_s,
        Role=f"arn:aws:iam::{aws.account_id}:role/any", Code={"ZipFile": code.getvalue()}, Publish=True,
    )  # fmt: skip
    return str(lambdas.create_alias(FunctionName=name, Name="production", FunctionVersion="1")["AliasArn"])


def invoke(aws: LocalAws, arn: str, payload: object = None, *, account_id: str | None = None) -> Any:
    """Invoke a function; returns its answer."""
    answer = aws.client("lambda", account_id=account_id).invoke(FunctionName=arn, Payload=json.dumps(payload))
    return json.loads(answer["Payload"].read())


def refused(call: Callable[[], object]) -> str | None:
    """The code of the error with which AWS answers; None if there is none."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return None


def make_queue(aws: LocalAws, name: str, **attributes: str) -> tuple[str, str]:
    """Create a queue; returns its URL and ARN."""
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def client_of_user(aws: LocalAws, service: str, actions: list[str], resource: str) -> Any:
    """Return a client of a user who may do only these actions on one resource."""
    iam, user = aws.client("iam"), f"user-of-{service}"
    iam.create_user(UserName=user)
    allowed = {"Effect": "Allow", "Action": actions, "Resource": resource}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=user, PolicyName="allowed", PolicyDocument=policy)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return boto3.client(
        service, endpoint_url=aws.endpoint_url, region_name=aws.region,
        aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"],
    )  # fmt: skip


def depth(aws: LocalAws, url: str) -> int:
    """Count the messages of a queue, those in flight included."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)


def alias_concurrency(aws: LocalAws, folder: Path) -> bool:
    """A function whose reserved concurrency is used up answers 429 on its alias."""
    source = """
        import pathlib, time
        def handler(event, context):
            running = pathlib.Path(event)
            running.touch()
            while running.exists():
                time.sleep(0.01)
    """
    arn = make_function(aws, "busy", source.replace("\n        ", "\n"), timeout_s=60)
    aws.client("lambda").put_function_concurrency(FunctionName="busy", ReservedConcurrentExecutions=1)
    running = [folder / "first", folder / "second"]
    codes: dict[Path, str | None] = {}

    def call(file: Path) -> None:
        codes[file] = refused(lambda: invoke(aws, arn, str(file)))

    first, second = calls = [threading.Thread(target=call, args=(file,)) for file in running]
    first.start()
    try:
        assert until(running[0].exists)
        second.start()
        assert until(lambda: running[1].exists() or not second.is_alive()), "neither let in nor refused"
    finally:
        for file in running:
            file.unlink(missing_ok=True)
        for one in calls:
            if one.is_alive():
                one.join()
    return codes[running[1]] == "TooManyRequestsException"


def foreign_invoke(aws: LocalAws, folder: Path) -> bool:
    """The account that the alias's policy names may invoke the alias and nothing else, and no other account may."""
    arn = make_function(aws, "shared", "def handler(event, context): return 'hello'")
    aws.client("lambda").add_permission(
        FunctionName="shared", Qualifier="production", StatementId="one", Action="lambda:InvokeFunction",
        Principal=MPARTICLE_ACCOUNT,
    )  # fmt: skip
    if refused(lambda: invoke(aws, arn, account_id=MPARTICLE_ACCOUNT)):
        return False
    without_alias = arn.removesuffix(":production")
    return (
        invoke(aws, arn, account_id=MPARTICLE_ACCOUNT) == "hello"
        and refused(lambda: invoke(aws, arn, account_id=STRANGER_ACCOUNT)) == "AccessDeniedException"
        and refused(lambda: invoke(aws, without_alias, account_id=MPARTICLE_ACCOUNT)) == "AccessDeniedException"
    )


def move_tasks(aws: LocalAws, folder: Path) -> bool:
    """A dead-letter queue knows its source queues, and moves its messages to a queue that is named, but not back
    without a name.
    """
    sqs = aws.client("sqs")
    dlq_url, dlq_arn = make_queue(aws, "moves-dlq")
    redrive = json.dumps({"deadLetterTargetArn": dlq_arn, "maxReceiveCount": 1})
    url, arn = make_queue(aws, "moves", RedrivePolicy=redrive, VisibilityTimeout="0")
    try:
        if sqs.list_dead_letter_source_queues(QueueUrl=dlq_url)["queueUrls"] != [url]:
            return False
        sqs.send_message(QueueUrl=dlq_url, MessageBody="sent there directly")
        sqs.start_message_move_task(SourceArn=dlq_arn)
        stayed = depth(aws, dlq_url) == 1
        (failed,) = sqs.list_message_move_tasks(SourceArn=dlq_arn)["Results"]
        sqs.start_message_move_task(SourceArn=dlq_arn, DestinationArn=arn)
        (done,) = sqs.list_message_move_tasks(SourceArn=dlq_arn)["Results"]
    except ClientError:
        return False
    return (
        stayed
        and failed["Status"] == "FAILED"
        and (done["Status"], done["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 1)
        and (depth(aws, dlq_url), depth(aws, url)) == (0, 1)
    )


def batches_of(aws: LocalAws, folder: Path, name: str, bodies: list[str], *, window_s: int) -> list[int]:
    """Send messages and return the sizes of the batches that a mapping with batch size 20 made of them."""
    seen = folder / f"{name}.txt"
    source = f"def handler(event, context):\n    print(len(event['Records']), file=open({str(seen)!r}, 'a'))\n"
    arn = make_function(aws, name, source)
    url, queue_arn = make_queue(aws, name)
    for body in bodies:
        aws.client("sqs").send_message(QueueUrl=url, MessageBody=body)
    mapping = aws.client("lambda").create_event_source_mapping(
        EventSourceArn=queue_arn, FunctionName=arn, BatchSize=20, MaximumBatchingWindowInSeconds=window_s
    )
    assert until(lambda: depth(aws, url) == 0)
    aws.client("lambda").delete_event_source_mapping(UUID=mapping["UUID"])
    return [int(line) for line in seen.read_text().split()]


def mapping_batches(aws: LocalAws, folder: Path) -> bool:
    """A mapping hands over more than ten messages at once, and never more than 6 MB."""
    many = batches_of(aws, folder, "many", ["x"] * 15, window_s=1)
    large = batches_of(aws, folder, "large", ["x" * 1_000_000] * 8, window_s=1)
    return many == [15] and sorted(large) == [2, 6]


def batch_failures(aws: LocalAws, folder: Path) -> bool:
    """An answer that names an unknown message brings the whole batch back."""
    seen = folder / "seen.txt"
    source = (
        f"def handler(event, context):\n    print(1, file=open({str(seen)!r}, 'a'))\n"
        "    return {'batchItemFailures': [{'itemIdentifier': 'nobody'}]}\n"
    )
    arn = make_function(aws, "wrong-answer", source, timeout_s=1)
    url, queue_arn = make_queue(aws, "wrong-answer", VisibilityTimeout="1")
    aws.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    mapping = aws.client("lambda").create_event_source_mapping(
        EventSourceArn=queue_arn, FunctionName=arn, FunctionResponseTypes=["ReportBatchItemFailures"]
    )

    def times() -> int:
        return len(seen.read_text().split()) if seen.exists() else 0

    assert until(lambda: times() > 1 or depth(aws, url) == 0)
    aws.client("lambda").delete_event_source_mapping(UUID=mapping["UUID"])
    return times() > 1


def batch_permissions(aws: LocalAws, folder: Path) -> bool:
    """Permission to send a message covers a batch of ten, and no other call."""
    url, arn = make_queue(aws, "batches")
    sqs = client_of_user(aws, "sqs", ["sqs:SendMessage"], arn)
    sqs.send_message(QueueUrl=url, MessageBody="one")
    assert refused(lambda: sqs.receive_message(QueueUrl=url))
    return refused(lambda: sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "x"}])) is None


def mapping_permissions(aws: LocalAws, folder: Path) -> bool:
    """A user who may read and pause one mapping may not do so to another, and may not list or remove any."""
    aws.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument=TRUST_LAMBDA)
    arn = make_function(aws, "fed", "def handler(event, context): return None")
    own, other = (
        aws.client("lambda").create_event_source_mapping(EventSourceArn=make_queue(aws, name)[1], FunctionName=arn)
        for name in ("own", "other")
    )
    actions = ["lambda:GetEventSourceMapping", "lambda:UpdateEventSourceMapping"]
    lambdas = client_of_user(aws, "lambda", actions, own["EventSourceMappingArn"])
    calls: list[tuple[Callable[[], object], bool]] = [
        (lambda: lambdas.get_event_source_mapping(UUID=own["UUID"]), True),
        (lambda: lambdas.update_event_source_mapping(UUID=own["UUID"], Enabled=False), True),
        (lambda: lambdas.get_event_source_mapping(UUID=other["UUID"]), False),
        (lambda: lambdas.update_event_source_mapping(UUID=other["UUID"], Enabled=False), False),
        (lambda: lambdas.delete_event_source_mapping(UUID=own["UUID"]), False),
        (lambdas.list_event_source_mappings, False),
    ]
    return all((refused(call) is None) is allowed for call, allowed in calls)


def condition_keys(aws: LocalAws, folder: Path) -> bool:
    """A user who may make roles only within one boundary can make them with that boundary and not without it."""
    iam = aws.client("iam")
    boundary = iam.create_policy(PolicyName="most", PolicyDocument=json.dumps(NOTHING))
    arn = boundary["Policy"]["Arn"]
    allowed = {
        "Effect": "Allow",
        "Action": "iam:CreateRole",
        "Resource": "*",
        "Condition": {"StringEquals": {"iam:PermissionsBoundary": arn}},
    }
    iam.create_user(UserName="maker")
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="maker", PolicyName="make", PolicyDocument=document)
    key = iam.create_access_key(UserName="maker")["AccessKey"]
    session = boto3.session.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=aws.region)
    maker = session.client("iam", endpoint_url=aws.endpoint_url)
    role = {"RoleName": "made", "AssumeRolePolicyDocument": TRUST_LAMBDA}
    without = refused(lambda: maker.create_role(**role))
    return without is not None and refused(lambda: maker.create_role(**role, PermissionsBoundary=arn)) is None


def fast_logs(aws: LocalAws, folder: Path) -> bool:
    """A function that prints nothing answers sooner than the 50 ms for which MiniStack waits for a line."""
    arn, lambdas = make_function(aws, "silent", "def handler(event, context): return 1"), aws.client("lambda")

    def one_ms() -> float:
        started = time.perf_counter()
        lambdas.invoke(FunctionName=arn)["Payload"].read()
        return (time.perf_counter() - started) * 1000

    return any(one_ms() < 45 for _ in range(40))  # of so many one is quick on a busy machine, and none that waits


def table_ttl(aws: LocalAws, folder: Path) -> bool:
    """Items of a table expire if its template says so."""
    key = {"AttributeName": "pk"}
    table = {
        "AttributeDefinitions": [{**key, "AttributeType": "S"}],
        "KeySchema": [{**key, "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
        "TableName": "expiring",
        "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
    }
    template = {"Resources": {"Table": {"Type": "AWS::DynamoDB::Table", "Properties": table}}}
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(StackName="expiring", TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(StackName="expiring", WaiterConfig={"Delay": 1})
    found = aws.client("dynamodb").describe_time_to_live(TableName="expiring")["TimeToLiveDescription"]
    return found["TimeToLiveStatus"] == "ENABLED" and found["AttributeName"] == "expires_at"


def shared_code(aws: LocalAws, folder: Path) -> bool:
    """Two workers of a function run the same unzipped file."""
    source = (
        "import os, pathlib, time\n"
        "def handler(event, context):\n"
        "    pathlib.Path(event, str(os.getpid())).touch()\n"
        "    while len(list(pathlib.Path(event).iterdir())) < 2:\n"
        "        time.sleep(0.01)\n"
        "    return [os.getpid(), os.stat(__file__).st_ino]\n"
    )
    arn = make_function(aws, "twice", source)
    answers: list[list[int]] = []
    calls = [threading.Thread(target=lambda: answers.append(invoke(aws, arn, str(folder)))) for _ in range(2)]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    (pid, inode), (other_pid, other_inode) = answers
    assert pid != other_pid
    return inode == other_inode


BEHAVIOURS: dict[str, Callable[[LocalAws, Path], bool]] = {
    behaviour.__name__: behaviour
    for behaviour in (
        alias_concurrency, foreign_invoke, move_tasks, mapping_batches, batch_failures, batch_permissions,
        mapping_permissions, condition_keys, table_ttl, fast_logs, shared_code,
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def enforcing() -> Iterator[LocalAws]:
    with local_aws(enforce_iam=True) as running:
        yield running


@pytest.mark.parametrize("name", SHIMS)
def test_with_the_shim_it_is_as_on_aws(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    """The embedded AWS behaves as AWS does."""
    running = request.getfixturevalue("enforcing" if name in NEED_IAM else "aws")
    assert BEHAVIOURS[name](running, tmp_path)


@pytest.mark.parametrize("name", SHIMS)
def test_without_the_shim_it_is_not(tmp_path: Path, name: str) -> None:
    """MiniStack alone behaves differently from AWS, so the shim is still needed."""
    others = ",".join(shim for shim in SHIMS if shim != name) or "none"
    with local_aws(shims=others, enforce_iam=name in NEED_IAM) as running:
        assert not BEHAVIOURS[name](running, tmp_path), f"MiniStack does this by itself now: remove the shim {name}"


def test_every_shim_is_looked_at() -> None:
    """This file tests every shim that the launcher lists."""
    launcher = (ROOT / "ops/local/ministack_shims.py").read_text()
    listed = launcher.split("for shim in (")[1].split(")")[0]
    assert sorted(name.strip() for name in listed.split(",") if name.strip()) == sorted(SHIMS) == sorted(BEHAVIOURS)
