"""Each permission is needed: without it, the code that uses it fails."""

import ast
import asyncio
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ingest_fn.receipts import Receipts
from ingest_fn.suspended import Suspended
from shared.message import Head
from shared.queue import Outgoing, Sender, WorkerQueue
from shared.state import DynamoState, change
from tests.integration.infra.templates import Template
from tests.integration.infra.test_template_rights import as_list, statements
from worker_fn.accounts.suspension import Carried, Suspension
from worker_fn.clients.counts import Counts
from worker_fn.clients.mapping import LambdaMapping

ROOT = Path(__file__).parents[3]
RECORD = {"messageId": "m", "receiptHandle": "h", "body": "b", "attributes": {}, "messageAttributes": {}}
SUSPENDED = Suspension.begun(Carried("7", (), "m"), "f", status=401, now_ms=1, in_groups=False).to_item()
HEAD = Head(type="dsr_processing_request", id="r", account_id="7", received_at_ms=1)


class Denied(Exception):
    """A call without its permission."""


@dataclass
class Aws:
    """AWS as far as a role's permissions allow. Queues and the table have the names of the template."""

    allowed: set[tuple[str, str]]
    called: set[tuple[str, str]] = field(default_factory=set)

    def ask(self, action: str, on: str) -> None:
        self.called.add((action, on))
        if (action, on) not in self.allowed:
            raise Denied(f"{action} on {on}")

    def client(self, service: str) -> Any:
        return Client(self, service)

    def http(self, service: str) -> Any:
        return Http(self)


@dataclass
class Client:
    """A boto3 client: each method needs the permission of its name, a batch that of the single call."""

    aws: Aws
    service: str

    class exceptions:  # noqa: N801 - boto3's name
        class ConditionalCheckFailedException(Exception):
            pass

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        action = operation.title().replace("_", "").removesuffix("Batch")

        def call(**given: Any) -> Any:
            otherwise = "Metrics" if self.service == "cloudwatch" else "Mapping"
            on = given.get("QueueUrl") or given.get("TableName") or otherwise
            try:
                self.aws.ask(f"{self.service}:{action}", on)
            except Denied:
                answer = {"Error": {"Code": "AccessDeniedException", "Message": ""}}
                raise ClientError(answer, operation) from None  # type: ignore[arg-type]
            return {"ResponseMetadata": {"HTTPHeaders": {}}, **ANSWERS.get(operation, {})}

        return call


ANSWERS: dict[str, Any] = {
    "send_message_batch": {"Successful": [{"Id": "0"}]},
    "delete_message_batch": {"Successful": [{"Id": "0"}]},
    "receive_message": {"Messages": []},
    "query": {"Items": []},
    "get_metric_data": {"MetricDataResults": []},
    "get_event_source_mapping": {"State": "Enabled", "EventSourceMappingArn": "arn"},
}


@dataclass
class Http:
    """The signed HTTP by which ingest calls AWS."""

    aws: Aws

    def call(self, target: str, body: bytes, *, timeout_s: float) -> tuple[int, bytes]:
        service, _, operation = target.partition(".")
        asked = json.loads(body)
        try:
            name = {"AmazonSQS": "sqs"}.get(service, "dynamodb")
            self.aws.ask(f"{name}:{operation}", asked.get("QueueUrl") or asked["TableName"])
        except Denied:
            return 400, b'{"__type":"AccessDeniedException"}'
        md5 = hashlib.md5(asked.get("MessageBody", "").encode(), usedforsecurity=False).hexdigest()
        suspended = {"sk": {"S": "7"}, "value": {"S": json.dumps(SUSPENDED)}}
        return 200, json.dumps({"MD5OfMessageBody": md5, "Items": [suspended]}).encode()


def queue(aws: Aws) -> WorkerQueue:
    names = {"queue_url": "Queue", "dead_letter_url": "DeadLetterQueue", "parking_url": "ParkingQueue"}
    return WorkerQueue(aws.client("sqs"), **names)


def state(aws: Aws) -> DynamoState:
    return DynamoState(aws.client("dynamodb"), "StateTable")


def mapping(aws: Aws) -> LambdaMapping:
    return LambdaMapping(aws.client("lambda"), "id")


def is_true(found: object) -> None:
    if not found:
        raise Denied


def enqueue(aws: Aws) -> None:
    Sender("Queue", aws.http("sqs"), sleep=lambda _: None).send([Outgoing("body", {}, group_id=None)])


def ask_who_is_suspended(aws: Aws) -> None:
    is_true("7" in Suspended(aws.http("dynamodb"), "StateTable"))


def note_an_erasure(aws: Aws) -> None:
    Receipts(aws.http("dynamodb"), "StateTable").accepted(HEAD, {"request_id": "s"})


def dead_letter(aws: Aws) -> None:
    queue(aws).dead_letter(RECORD, {"reason": "rejected"})


def park(aws: Aws) -> None:
    queue(aws).park(RECORD)


def hide(aws: Aws) -> None:
    is_true(not queue(aws).hide({"h": 5}))


def take(aws: Aws) -> None:
    queue(aws).take(60)


def delete(aws: Aws) -> None:
    queue(aws).delete(RECORD)


def look_at_what_is_parked(aws: Aws) -> None:
    queue(aws).parked(60)


def unpark(aws: Aws) -> None:
    is_true(not queue(aws).unpark([RECORD]))


def remember(aws: Aws) -> None:
    asyncio.run(change(state(aws), "pk", "sk", lambda value: ({**value, "a": 1}, None), rng=random.Random(1)))


def read(aws: Aws) -> None:
    asyncio.run(state(aws).read("pk", "sk"))


def forget(aws: Aws) -> None:
    asyncio.run(state(aws).delete("pk", "sk"))


def list_suspensions(aws: Aws) -> None:
    asyncio.run(state(aws).listed("suspended"))


def look_at_the_mapping(aws: Aws) -> None:
    asyncio.run(mapping(aws).status())


def pause_the_mapping(aws: Aws) -> None:
    asyncio.run(mapping(aws).pause())


def see_an_operators_pause(aws: Aws) -> None:
    asyncio.run(mapping(aws).is_marked())


def count_what_came_and_ended(aws: Aws) -> None:
    counted = Counts(aws.client("cloudwatch"), queue="q", parking="p", stage="dev").of_a_day(1_700_000_000_000)
    is_true(asyncio.run(counted))


NEEDED: dict[tuple[str, str, str], Callable[[Aws], None]] = {
    ("IngestRole", "sqs:SendMessage", "Queue"): enqueue,
    ("IngestRole", "dynamodb:Query", "StateTable"): ask_who_is_suspended,
    ("IngestRole", "dynamodb:PutItem", "StateTable"): note_an_erasure,
    ("WorkerRole", "sqs:ReceiveMessage", "Queue"): take,
    ("WorkerRole", "sqs:DeleteMessage", "Queue"): delete,
    ("WorkerRole", "sqs:ChangeMessageVisibility", "Queue"): hide,
    ("WorkerRole", "sqs:SendMessage", "Queue"): unpark,
    ("WorkerRole", "sqs:SendMessage", "ParkingQueue"): park,
    ("WorkerRole", "sqs:ReceiveMessage", "ParkingQueue"): look_at_what_is_parked,
    ("WorkerRole", "sqs:DeleteMessage", "ParkingQueue"): unpark,
    ("WorkerRole", "sqs:SendMessage", "DeadLetterQueue"): dead_letter,
    ("WorkerRole", "dynamodb:GetItem", "StateTable"): read,
    ("WorkerRole", "dynamodb:UpdateItem", "StateTable"): remember,
    ("WorkerRole", "dynamodb:DeleteItem", "StateTable"): forget,
    ("WorkerRole", "dynamodb:Query", "StateTable"): list_suspensions,
    ("WorkerRole", "lambda:GetEventSourceMapping", "Mapping"): look_at_the_mapping,
    ("WorkerRole", "lambda:UpdateEventSourceMapping", "Mapping"): pause_the_mapping,
    ("WorkerRole", "lambda:ListTags", "Mapping"): see_an_operators_pause,
    ("WorkerRole", "cloudwatch:GetMetricData", "Metrics"): count_what_came_and_ended,
}
QUIET = {note_an_erasure}
"""What does without, and says so in the log: the worker writes the receipt then."""
LOGS = {
    (role, f"logs:{action}", "Logs")
    for role in ("IngestRole", "WorkerRole")
    for action in ("CreateLogStream", "PutLogEvents")
}
"""Lambda itself writes a function's log with these."""
FORMER = {("WorkerRole", "dynamodb:PutItem", "StateTable")}
"""The release before writes with it: a role belongs to no version, and that one may be live, or rolled back to."""
MAPPINGS = {("WorkerRole", "sqs:GetQueueAttributes", "Queue")}
"""Lambda itself asks so for the mapping, and makes none without it."""


def granted(template: Template) -> set[tuple[str, str, str]]:
    """Each role's permissions, with resources by the template's names."""

    def named(resource: Any) -> str:
        text = json.dumps(resource)
        found = re.search(r'"Fn::GetAtt": \["(\w+)"', text)
        if found:
            return found[1]
        return "Metrics" if resource == "*" else "Mapping" if "event-source-mapping" in text else "Logs"

    return {
        (role, action, named(resource))
        for role, statement in statements(template)
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


def test_no_permission_is_without_a_use(template: Template) -> None:
    """Every permission is in this file's table with the code that needs it, or is needed by Lambda itself."""
    assert granted(template) == set(NEEDED) | LOGS | MAPPINGS | FORMER


@pytest.mark.parametrize(("role", "action", "on"), list(NEEDED), ids=["-".join(one) for one in NEEDED])
def test_without_a_permission_what_needs_it_fails(
    role: str, action: str, on: str, template: Template, capsys: pytest.CaptureFixture[str]
) -> None:
    """With all permissions of its role the code works; without this one it fails."""
    use = NEEDED[role, action, on]
    whole = {(permission, resource) for owner, permission, resource in granted(template) if owner == role}
    aws = Aws(whole)
    use(aws)
    assert (action, on) in aws.called
    assert aws.called <= whole
    assert "AccessDenied" not in capsys.readouterr().out
    without = Aws(whole - {(action, on)})
    if use in QUIET:
        use(without)
        assert "AccessDenied" in capsys.readouterr().out
    else:
        with pytest.raises(Exception):  # noqa: B017, PT011 - each part has an error of its own
            use(without)


# --- the operator ---------------------------------------------------------------------------------------------------

BY_HAND = {
    "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueUrl", "sqs:SendMessage",
    "sqs:StartMessageMoveTask", "sqs:ListMessageMoveTasks", "sqs:CancelMessageMoveTask",
    "logs:FilterLogEvents", "logs:GetLogEvents", "logs:DescribeLogStreams", "logs:StartLiveTail", "logs:StartQuery",
    "logs:GetQueryResults", "logs:StopQuery",
}  # fmt: skip
"""What people do with the AWS CLI or the console, and no verb of ours: docs/deploy.md and docs/flow.md say what for."""
VERBS = ("ops/doctor", "ops/operate", "ops/certify", "worker_fn/clients/mapping.py", "shared/state")
"""Where the operator's verbs call AWS."""


def operations() -> Iterator[str]:
    """The boto3 operations that these files call, spelled as IAM's actions without their service."""
    files = [
        file for place in VERBS for file in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))
    ]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute):
                yield node.attr.title().replace("_", "")
            elif (
                isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[a-z_]+", node.value)
            ):
                yield node.value.title().replace("_", "")  # a paginator's name, or one that getattr is given


def actions(name: str) -> Iterable[str]:
    document = json.loads((ROOT / "infra" / name).read_text())
    return [action for statement in document["Statement"] for action in as_list(statement["Action"])]


SPELLED = {"lambda:InvokeFunction": "Invoke"}


def test_the_operator_may_do_what_its_verbs_do_and_nothing_else() -> None:
    """Each action of the operator's policy is called by a command's code, or is in the list of what people do by
    hand.
    """
    called = set(operations())
    unused = {one for one in actions("operator-policy.json") if SPELLED.get(one, one.partition(":")[2]) not in called}
    assert unused <= BY_HAND, unused - BY_HAND
    assert set(actions("operator-policy.json")) >= BY_HAND


@pytest.mark.parametrize("action", sorted(set(actions("operator-policy.json")) - BY_HAND))
def test_a_verb_of_the_operators_needs_it(action: str) -> None:
    """An action is in the policy exactly if a command calls it."""
    assert SPELLED.get(action, action.partition(":")[2]) in set(operations())


def test_no_verb_calls_what_the_operator_may_not() -> None:
    """Each action that the doctor may report as denied is in the policy."""
    asked = set(re.findall(r'"([a-z]+:[A-Z]\w+)"', (ROOT / "ops/doctor/look.py").read_text()))
    assert asked
    assert asked <= set(actions("operator-policy.json"))
