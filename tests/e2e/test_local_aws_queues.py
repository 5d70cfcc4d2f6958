"""Both types of queue on real deploys, and what the tick depends on: the embedded AWS's schedules and mappings."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from ops.local.aws import LocalAws, local_aws
from ops.local.partner_api import LoopbackPartner
from testkit.requests import make_request
from tests.e2e.operated import MPARTICLE_ACCOUNT

EVENTS = "event_processing_request"
QUEUES = ("QueueUrl", "ParkingQueueUrl", "DlqUrl")
# The rule fires every minute, and the embedded AWS looks at its rules every 10 s.
TICK_WITHIN_S = 100


@dataclass(frozen=True)
class Deployed:
    """A stack with one type of queues, which replaced a stack with the other type."""

    aws: LocalAws
    stage: str
    queue_type: str
    before: dict[str, str]
    outputs: dict[str, str]

    @property
    def seed(self) -> int:
        """Seeds that no other test uses, because all tests share the partner's ledger."""
        return {"fifo": 410, "standard": 420}[self.queue_type]

    def attributes(self, output: str) -> dict[str, str]:
        url = self.outputs[output]
        sqs = self.aws.client("sqs")
        attributes: dict[str, str] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return attributes

    def mapping(self) -> dict[str, Any]:
        found: dict[str, Any] = self.aws.client("lambda").get_event_source_mapping(UUID=self.outputs["WorkerMappingId"])
        return found

    def send(self, request: dict[str, Any]) -> None:
        """Send a request as mParticle does; it is on the queue when ingest has answered."""
        lambdas = self.aws.client("lambda", account_id=MPARTICLE_ACCOUNT)
        answer = lambdas.invoke(FunctionName=self.outputs["IngestAliasArn"], Payload=json.dumps(request))
        assert json.loads(answer["Payload"].read())["type"] == "event_processing_response"


@pytest.fixture(scope="module", params=["fifo", "standard"])
def deployed(request: pytest.FixtureRequest, aws: LocalAws, partner: Any) -> Iterator[Deployed]:
    queue_type, stage = request.param, f"to-{request.param}"
    other = {"fifo": "standard", "standard": "fifo"}[queue_type]
    before, after = (
        aws.deploy(stage, env={"WEBHOOK_URL": partner.url, "QUEUE_TYPE": kind}) for kind in (other, queue_type)
    )
    yield Deployed(aws, stage, queue_type, before, after)
    aws.serverless("remove", stage=stage, env={"QUEUE_TYPE": queue_type})


def until(met: Callable[[], object], timeout_s: float = 30) -> bool:
    """Poll until a condition is met; tells whether it was."""
    deadline = time.monotonic() + timeout_s
    while not met():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def arrived(api: LoopbackPartner, request: dict[str, Any]) -> bool:
    return {event["id"] for event in request["events"]} <= set(api.ledger.arrivals)


def test_the_three_queues_are_of_the_type_that_was_asked_for(deployed: Deployed) -> None:
    """A deploy with another type replaces all three queues, and the redrive policies name the new ones."""
    for output in QUEUES:
        assert (deployed.attributes(output).get("FifoQueue") == "true") is (deployed.queue_type == "fifo")
        assert deployed.outputs[output] != deployed.before[output]
    redrive = json.loads(deployed.attributes("QueueUrl")["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"] == deployed.attributes("DlqUrl")["QueueArn"]
    allow = json.loads(deployed.attributes("DlqUrl")["RedriveAllowPolicy"])
    assert allow["sourceQueueArns"] == [deployed.attributes("QueueUrl")["QueueArn"]]


def test_a_message_arrives_through_either_type(deployed: Deployed, partner: Any) -> None:
    """Ingest sends as the queue's type requires, and the mapping reads from it, ten messages at most if it is FIFO."""
    mapping = deployed.mapping()
    assert mapping["EventSourceArn"] == deployed.attributes("QueueUrl")["QueueArn"]
    assert mapping["BatchSize"] == {"fifo": 10, "standard": 50}[deployed.queue_type]
    request = make_request(EVENTS, seed=deployed.seed, events=3, account_id=7)
    deployed.send(request)
    assert until(lambda: arrived(partner.api, request))


def test_the_tick_names_the_mapping_that_is_there_now(deployed: Deployed) -> None:
    """The tick's rule invokes the worker's alias with the id of the mapping that the deploy replaced."""
    (rule,) = deployed.aws.client("events").list_targets_by_rule(Rule=f"spillway-{deployed.stage}-tick")["Targets"]
    assert deployed.outputs["WorkerMappingId"] != deployed.before["WorkerMappingId"]
    assert json.loads(rule["Input"]) == {"tick": {"mapping_id": deployed.outputs["WorkerMappingId"]}}
    assert rule["Arn"] == deployed.outputs["WorkerAliasArn"]
    assert rule["Arn"].endswith(":production")


def test_a_tick_may_do_what_it_does(partner: Any) -> None:
    """With its role the tick reads and changes its mapping; without that policy it reports that it could not."""
    with local_aws(enforce_iam=True) as aws:
        outputs = aws.deploy(env={"WEBHOOK_URL": partner.url, "MAX_CONCURRENCY": "5"})
        lambdas, iam, uuid = aws.client("lambda"), aws.client("iam"), outputs["WorkerMappingId"]

        def tick() -> dict[str, Any]:
            lambdas.update_event_source_mapping(UUID=uuid, ScalingConfig={"MaximumConcurrency": 2})
            payload = json.dumps({"tick": {"mapping_id": uuid}})
            answer = lambdas.invoke(FunctionName=outputs["WorkerAliasArn"], Payload=payload)
            report: dict[str, Any] = json.loads(answer["Payload"].read())
            return report

        report = tick()
        assert (report["trouble"], report["concurrency"]) == (0, 5)
        (role,) = [role["RoleName"] for role in iam.list_roles()["Roles"] if "WorkerRole" in role["RoleName"]]
        iam.delete_role_policy(RoleName=role, PolicyName="tick")
        report = tick()
        assert report["trouble"]
        assert report["concurrency"] is None


@contextmanager
def without_ticks(deployed: Deployed) -> Iterator[None]:
    """Turn the tick off during the block: it would resume an intake that no operator paused."""
    events, rule = deployed.aws.client("events"), f"spillway-{deployed.stage}-tick"
    events.disable_rule(Name=rule)
    time.sleep(1)  # one that has just begun
    try:
        yield
    finally:
        events.enable_rule(Name=rule)


def test_a_paused_mapping_delivers_nothing_until_it_is_resumed(deployed: Deployed, partner: Any) -> None:
    """A mapping that a tick paused delivers nothing; resumed it delivers all, with the concurrency that was set."""
    lambdas, uuid = deployed.aws.client("lambda"), deployed.outputs["WorkerMappingId"]
    request = make_request(EVENTS, seed=deployed.seed + 1, events=1, account_id=7)
    with without_ticks(deployed):
        lambdas.update_event_source_mapping(UUID=uuid, Enabled=False)
        assert until(lambda: deployed.mapping()["State"] == "Disabled")
        time.sleep(2)  # a poll that was under way when it was paused
        deployed.send(request)
        time.sleep(3)
        assert not arrived(partner.api, request)
        assert deployed.attributes("QueueUrl")["ApproximateNumberOfMessages"] == "1"
        lambdas.update_event_source_mapping(UUID=uuid, Enabled=True, ScalingConfig={"MaximumConcurrency": 2})
        assert until(lambda: arrived(partner.api, request))
        assert deployed.mapping()["ScalingConfig"] == {"MaximumConcurrency": 2}


def test_a_held_deploy_leaves_the_tick_on_the_live_version(aws: LocalAws, partner: Any) -> None:
    """A minute after a held deploy the live worker still ticks without an error, and the held version does not tick."""
    aws.deploy("ticks", env={"WEBHOOK_URL": partner.url})
    aws.deploy("ticks", env={"WEBHOOK_URL": f"{partner.url}/next", "ALIAS_MODE": "hold"})
    logs, group = aws.client("logs"), "/aws/lambda/spillway-ticks-worker"

    def lines() -> list[tuple[str, str]]:
        """Version and text of the worker's log lines; no message was sent, so all come from ticks."""
        found = logs.filter_log_events(logGroupName=group)["events"]
        return [(event["logStreamName"].partition("[")[2].partition("]")[0], event["message"]) for event in found]

    try:
        assert until(lambda: any(text.startswith("REPORT") for _, text in lines()), TICK_WITHIN_S)
        assert {version for version, _ in lines()} == {"1"}
        assert not [text for _, text in lines() if "Error" in text or "Traceback" in text]
    finally:
        aws.serverless("remove", stage="ticks")
