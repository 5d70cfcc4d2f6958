"""The functions' roles, enforced: they allow all that the code does, and what they do not allow is refused."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ops.local.aws import LocalAws, local_aws
from ops.local.partner_api import Behaviour, LoopbackPartner, serve
from tests.e2e.operated import MPARTICLE_ACCOUNT, until

ATTEMPTS = 3
"""Of one invocation, as nothing else is said at the deploy."""


@dataclass(frozen=True)
class Enforced:
    """A deployed stack on an AWS that enforces IAM, and the partner behind it."""

    aws: LocalAws
    api: LoopbackPartner
    outputs: dict[str, str]

    def invoke(self, event_id: str) -> dict[str, Any]:
        """Send one event as mParticle; returns the answer, or the function's error."""
        request = {
            "type": "event_processing_request",
            "id": f"request-{event_id}",
            "timestamp_ms": 1700000000000,
            "account": {"account_id": 5001, "account_settings": {"apiKey": "key"}},
            "events": [{"type": "custom_event", "id": event_id, "timestamp_ms": 1700000000000}],
        }
        answer = self.aws.client("lambda", account_id=MPARTICLE_ACCOUNT).invoke(
            FunctionName=self.outputs["IngestAliasArn"], Payload=json.dumps(request)
        )
        said = json.loads(answer["Payload"].read())
        assert isinstance(said, dict)
        return said

    def dead_letters(self) -> list[dict[str, Any]]:
        sqs = self.aws.client("sqs")
        found = sqs.receive_message(QueueUrl=self.outputs["DlqUrl"], MessageAttributeNames=["All"])
        return list(found.get("Messages", []))


@pytest.fixture(scope="module")
def enforced() -> Iterator[Enforced]:
    api = LoopbackPartner(Behaviour())
    with serve(api) as url, local_aws(enforce_iam=True) as aws:
        yield Enforced(aws, api, aws.deploy(env={"WEBHOOK_URL": url}))


def test_the_roles_allow_all_that_the_functions_do(enforced: Enforced) -> None:
    """With enforced roles, queueing, receiving, hiding during an outage, delivering, deleting and dead-lettering all
    work.
    """
    # An outage until the message has come back, as it fails oftener than one invocation tries. Were the worker not
    # allowed to set when that is, it would be after the queue's own two and a half minutes.
    enforced.api.behaviour = Behaviour(outages=((0, 3_600),))
    enforced.api.begin()
    assert enforced.invoke("e1")["type"] == "event_processing_response"
    until(lambda: len(enforced.api.ledger.failed_s) > ATTEMPTS)
    enforced.api.behaviour = Behaviour()
    until(lambda: "e1" in enforced.api.ledger.arrivals)

    enforced.aws.client("sqs").send_message(QueueUrl=enforced.outputs["QueueUrl"], MessageBody="not ours")
    (letter,) = until(enforced.dead_letters)
    assert letter["Body"] == "not ours"
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "undecodable"


def test_a_role_is_needed_for_what_it_allows(enforced: Enforced) -> None:
    """Without ingest's permission the same stack accepts nothing, so it is the roles that let it work."""
    iam = enforced.aws.client("iam")
    (role,) = [role["RoleName"] for role in iam.list_roles()["Roles"] if "IngestRole" in role["RoleName"]]
    policy = iam.get_role_policy(RoleName=role, PolicyName="queue")["PolicyDocument"]
    iam.delete_role_policy(RoleName=role, PolicyName="queue")
    try:
        assert "the queue did not take the message" in enforced.invoke("e2")["errorMessage"]
    finally:
        iam.put_role_policy(RoleName=role, PolicyName="queue", PolicyDocument=json.dumps(policy))
    assert enforced.invoke("e3")["type"] == "event_processing_response"
