"""The product on a real deploy: mParticle's account invokes the alias, events arrive at the partner."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ops.local.aws import LocalAws
from testkit.requests import make_request
from tests.e2e.operated import until

MPARTICLE_ACCOUNTS = ("338661164609", "457804467337")
STRANGER_ACCOUNT = "999999999999"
EVENTS = "event_processing_request"

Invoke = Callable[..., dict[str, Any]]


@pytest.fixture
def invoke(aws: LocalAws, stack: dict[str, str]) -> Invoke:
    """Invoke the alias as mParticle does, from its own account and by ARN; returns the answer."""

    def call(request: Any, account_id: str = MPARTICLE_ACCOUNTS[0]) -> dict[str, Any]:
        client = aws.client("lambda", account_id=account_id)
        answer = client.invoke(FunctionName=stack["IngestAliasArn"], Payload=json.dumps(request).encode())
        return {"error": answer.get("FunctionError"), **json.loads(answer["Payload"].read())}

    return call


def event_ids(request: dict[str, Any]) -> set[str]:
    return {event["id"] for event in request["events"]}


@pytest.mark.parametrize("account_id", MPARTICLE_ACCOUNTS)
def test_events_arrive_at_the_partner(account_id: str, invoke: Invoke, partner: Any) -> None:
    """Either of mParticle's accounts sends events through the alias, and each arrives once."""
    request = make_request(EVENTS, seed=int(account_id[-3:]), events=5, account_id=7)
    answer = invoke(request, account_id)
    assert (answer["error"], answer["type"], answer["id"]) == (None, "event_processing_response", request["id"])
    until(lambda: event_ids(request) <= set(partner.api.ledger.arrivals))
    assert [len(partner.api.ledger.arrivals[event_id]) for event_id in event_ids(request)] == [1] * 5


def test_registration_and_probes_are_answered_in_line(invoke: Invoke, aws: LocalAws, stack: dict[str, str]) -> None:
    """mParticle's registration and verification requests are answered and leave the queue empty."""
    registration = invoke({"type": "module_registration_request", "id": "r-1"})
    assert registration["type"] == "module_registration_response"
    assert registration["permissions"]["allow_access_mpid"] is True
    probe = invoke({"type": "audience_membership_change_request", "id": "r-2"})
    assert (probe["id"], probe["suspend_subscription"]) == ("r-2", False)


def test_large_request_arrives_whole(invoke: Invoke, partner: Any) -> None:
    """A request of several megabytes passes the queue in parts, and each of its events arrives."""
    request = make_request(EVENTS, seed=3, events=40, account_id=7)
    for number, event in enumerate(request["events"]):
        event["padding"] = "".join(chr(0x4E00 + (i * 7919 + number * 104_729) % 20_000) for i in range(35_000))
    assert len(json.dumps(request, ensure_ascii=False).encode()) > 4_000_000
    assert invoke(request)["error"] is None
    until(lambda: event_ids(request) <= set(partner.api.ledger.arrivals))


def test_bad_request_is_refused_with_the_field(invoke: Invoke) -> None:
    """A request that can never be right fails with the field's name and without its content."""
    answer = invoke({"type": EVENTS, "events": "canary"})
    assert answer["error"]
    assert "events: must be a list" in answer["errorMessage"]
    assert "canary" not in json.dumps(answer)


def test_poison_message_ends_in_the_dead_letter_queue(aws: LocalAws, stack: dict[str, str]) -> None:
    """A message that ingest did not write ends in the dead-letter queue with its reason, and nowhere else."""
    sqs = aws.client("sqs")
    sqs.send_message(QueueUrl=stack["QueueUrl"], MessageBody="poison")
    letters = until(
        lambda: sqs.receive_message(QueueUrl=stack["DlqUrl"], MessageAttributeNames=["All"]).get("Messages")
    )
    assert [letter["Body"] for letter in letters] == ["poison"]
    assert letters[0]["MessageAttributes"]["reason"]["StringValue"] == "undecodable"
    sqs.delete_message(QueueUrl=stack["DlqUrl"], ReceiptHandle=letters[0]["ReceiptHandle"])
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    until(
        lambda: (
            set(sqs.get_queue_attributes(QueueUrl=stack["QueueUrl"], AttributeNames=names)["Attributes"].values())
            == {"0"}
        )
    )


@contextmanager
def reserved(aws: LocalAws, alias_arn: str, executions: int) -> Iterator[None]:
    """Reserve executions for the function behind an alias for as long as the block lasts."""
    function, client = alias_arn.rpartition(":")[0], aws.client("lambda")
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=executions)
    try:
        yield
    finally:
        client.delete_function_concurrency(FunctionName=function)


def test_throttled_alias_answers_429(invoke: Invoke, aws: LocalAws, stack: dict[str, str]) -> None:
    """At the concurrency limit mParticle gets Lambda's 429, after which it tries again later."""
    with reserved(aws, stack["IngestAliasArn"], 0), pytest.raises(ClientError) as throttled:
        invoke({"type": "audience_membership_change_request"})
    assert throttled.value.response["Error"]["Code"] == "TooManyRequestsException"
    assert throttled.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert invoke({"type": "audience_membership_change_request"})["error"] is None


def test_account_without_permission_is_refused(invoke: Invoke) -> None:
    """Nobody but mParticle's accounts may invoke the alias."""
    with pytest.raises(ClientError) as refused:
        invoke({"type": "audience_membership_change_request"}, STRANGER_ACCOUNT)
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


def test_only_the_alias_may_be_invoked(aws: LocalAws, stack: dict[str, str]) -> None:
    """mParticle has no permission on the function itself, so it cannot reach a version that is not promoted."""
    client = aws.client("lambda", account_id=MPARTICLE_ACCOUNTS[0])
    with pytest.raises(ClientError) as refused:
        client.invoke(FunctionName=stack["IngestAliasArn"].rpartition(":")[0], Payload=b"{}")
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
