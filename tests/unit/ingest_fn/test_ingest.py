import json
import subprocess
import sys
from typing import Any

import pytest

from ingest_fn.ingest import ingest
from ingest_fn.settings import Settings
from shared.errors import InvalidRequest, QueueUnavailable
from shared.message import decode
from shared.queue import Outgoing

NOW_S = 1_700_000_000.5
NOW_MS = 1_700_000_000_500

ENV = {
    "QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/1/q",
    "STATE_TABLE": "state",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "WEBHOOK_URL": "https://partner.example/events",
}


class ListQueue:
    def __init__(self) -> None:
        self.sent: list[Outgoing] = []

    def send(self, messages: list[Outgoing]) -> list[str]:
        self.sent += messages
        return [f"m-{number}" for number, _ in enumerate(messages)]


class DownQueue:
    def send(self, messages: list[Outgoing]) -> list[str]:
        raise QueueUnavailable("down")


def run(request: object, queue: Any = None, **env: str) -> tuple[dict[str, Any], list[Outgoing]]:
    queue = ListQueue() if queue is None else queue
    answer = ingest(request, settings=Settings.from_env({**ENV, **env}), queue=queue, clock=lambda: NOW_S)
    return answer, queue.sent


def event_request(**fields: Any) -> dict[str, Any]:
    return {"type": "event_processing_request", "id": "r-1", "account": {"account_id": 7}, **fields}


def test_events_are_queued_then_answered() -> None:
    """An event request ends up on the queue as it came, grouped by account, and is answered with its own id."""
    request = event_request(events=[{"type": "custom_event", "id": "e-1", "new_field": 1.5}])
    answer, [sent] = run(request)
    assert answer == {
        "type": "event_processing_response",
        "id": "r-1",
        "timestamp_ms": NOW_MS,
        "firehose_version": "3.2.0",
    }
    message = decode(sent.body)
    assert message.payload == request
    assert (message.id, message.received_at_ms, sent.group_id) == ("r-1", NOW_MS, "7")
    assert sent.attributes == {"type": "event_processing_request", "account_id": "7"}


def test_audience_changes_are_queued_and_always_say_whether_to_suspend() -> None:
    """The answer to an audience change carries suspend_subscription also when it is false."""
    request = {"type": "audience_membership_change_request", "id": "r-2", "user_profiles": [{"mpid": "1"}]}
    answer, sent = run(request)
    assert answer["type"] == "audience_membership_change_response"
    assert answer["suspend_subscription"] is False
    assert len(sent) == 1


def test_suspended_account_is_told_so_and_its_request_is_queued_all_the_same() -> None:
    """mParticle learns from the next audience change that the account is suspended; the change itself is kept."""
    request = {
        "type": "audience_membership_change_request",
        "id": "r-2",
        "account": {"account_id": 7},
        "user_profiles": [{"mpid": "1"}],
    }
    queue = ListQueue()
    answers = [
        ingest(request, settings=Settings.from_env(ENV), queue=queue, suspended=suspended)["suspend_subscription"]
        for suspended in ({"7"}, {"8"}, ())
    ]
    assert answers == [True, False, False]
    assert len(queue.sent) == 3


def test_suspension_is_not_looked_up_for_events() -> None:
    """Events can not be suspended by an answer that mParticle reads only for audiences: no read is spent on them."""

    class Untouchable:
        def __contains__(self, _: object) -> bool:
            raise AssertionError("looked up")

    ingest(
        event_request(events=[{"id": "e"}]),
        settings=Settings.from_env(ENV),
        queue=ListQueue(),
        suspended=Untouchable(),
    )


def test_fifo_drops_no_other_accounts_request_of_the_same_id() -> None:
    """Two accounts may have requests of one id: SQS must not take the second for a repetition of the first."""
    one = {"type": "event_processing_request", "id": "r-1", "mpid": "5", "events": [{}]}
    sent = [run({**one, "account": {"account_id": account}}, QUEUE_TYPE="fifo")[1][0] for account in (7, 8)]
    assert sent[0].deduplication_id != sent[1].deduplication_id
    assert sent[0].group_id != sent[1].group_id


def test_fifo_keeps_a_users_messages_together() -> None:
    """On a FIFO queue the user is the group, and the same request again is a duplicate."""
    one = event_request(events=[{"id": "e-1"}], mpid="-5")
    _, [first] = run(one, QUEUE_TYPE="fifo")
    _, [again] = run(one, QUEUE_TYPE="fifo")
    _, [later] = run({**one, "id": "r-2"}, QUEUE_TYPE="fifo")
    _, [other] = run({**one, "mpid": "-6"}, QUEUE_TYPE="fifo")
    assert first.group_id == again.group_id == later.group_id != other.group_id
    assert first.deduplication_id == again.deduplication_id != later.deduplication_id


def test_erasures_are_queued_without_an_account() -> None:
    """An erasure request without an account, as mParticle's own sample has it, is queued."""
    answer, [sent] = run({"type": "dsr_processing_request", "id": "r-3", "subject_identities": {}})
    assert answer["type"] == "dsr_processing_response"
    assert "suspend_subscription" not in answer
    assert sent.group_id is None
    assert sent.attributes == {"type": "dsr_processing_request"}


@pytest.mark.parametrize(
    "probe",
    [
        event_request(events=[]),
        event_request(events=None),
        event_request(),
        event_request(events=[], system_notifications=[]),
        event_request(events=[], mpid="5"),
        {"type": "audience_membership_change_request", "id": "r-1"},
        {"type": "audience_membership_change_request", "id": "r-1", "user_profiles": None},
        {"type": "audience_membership_change_request", "id": "r-1", "user_profiles": []},
    ],
)
def test_verification_probes_are_answered_and_not_queued(probe: dict[str, Any]) -> None:
    """mParticle's probes get a normal answer and cost the partner nothing."""
    answer, sent = run(probe)
    assert answer["id"] == "r-1"
    assert sent == []


def test_notifications_without_events_are_queued() -> None:
    """A change of consent comes without events and is no probe."""
    _, sent = run(event_request(events=[], system_notifications=[{"type": "gdpr_consent_state"}]))
    assert len(sent) == 1


def test_eventless_batch_is_queued_for_a_partner_that_asked_for_them() -> None:
    """A partner that registered for eventless batches gets the change of the user; a bare probe still stops here."""
    _, sent = run(event_request(events=[], user_attributes={"a": "b"}), WEBHOOK_PER="request")
    assert len(sent) == 1
    _, sent = run(event_request(events=[]), WEBHOOK_PER="request")
    assert sent == []


def test_registration_is_answered_from_the_partner() -> None:
    """A registration request is answered in line with the partner's declaration."""
    answer, sent = run({"type": "module_registration_request", "id": "r-4"})
    assert answer["type"] == "module_registration_response"
    assert (answer["id"], answer["timestamp_ms"], answer["name"]) == ("r-4", NOW_MS, "Webhook")
    assert sent == []


def test_audience_subscription_keeps_its_settings_by_default() -> None:
    """A subscription is answered with the settings that came with it."""
    request = {
        "type": "audience_subscription_request",
        "id": "r-5",
        "account": {"account_id": 7},
        "audience_id": 1,
        "audience_name": "n",
        "action": "add",
        "audience_subscription_settings": {"listId": "5"},
    }
    answer, sent = run(request)
    assert answer["type"] == "audience_subscription_response"
    assert answer["audience_subscription_settings"] == {"listId": "5"}
    assert sent == []


@pytest.mark.parametrize(
    ("request_", "where"),
    [
        (None, ""),
        ([], ""),
        ("text", ""),
        ({}, "type"),
        ({"type": None}, "type"),
        ({"type": "canary_request"}, "type"),
        ({"type": "event_processing_response"}, "type"),
        (event_request(events={"canary": 1}), "events"),
        (event_request(events="canary"), "events"),
        (event_request(system_notifications=5), "system_notifications"),
        ({"type": "audience_membership_change_request", "user_profiles": {"canary": 1}}, "user_profiles"),
    ],
)
def test_bad_request_is_refused_by_field(request_: object, where: str) -> None:
    """A request that can never be right is refused with the name of the field and nothing of its content."""
    with pytest.raises(InvalidRequest) as refused:
        run(request_)
    assert refused.value.where == where
    assert "canary" not in str(refused.value)


def test_queue_that_is_down_fails_the_invocation() -> None:
    """No success is answered for what is not durably queued."""
    with pytest.raises(QueueUnavailable):
        run(event_request(events=[{"id": "e-1"}]), queue=DownQueue())


def test_same_request_twice_gives_the_same_id() -> None:
    """A request without an id keeps the id that was made for it when it is sent again."""
    request = {"type": "dsr_processing_request", "subject_request_id": "s-1"}
    (first, [one]), (second, [other]) = run(request), run(request)
    assert first["id"] == second["id"]
    assert decode(one.body).id == decode(other.body).id


def test_hot_path_imports_nothing_heavy() -> None:
    """Importing the ingest handler brings neither pydantic nor boto3, Powertools, the worker or a partner; nor what is
    ours and rare.
    """
    code = "import json, sys, ingest_fn.handler; print(json.dumps(sorted(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = {name.partition(".")[0] for name in json.loads(printed)}
    heavy = {"pydantic", "worker_fn", "partners", "boto3", "botocore", "aws_lambda_powertools", "simplejson"}
    assert loaded & (heavy | {"urllib3", "pycurl", "requests", "tenacity", "httpx"}) == set()
    rare = ("function_url", "tokens", "receipts", "registration", "subscription", "partner_call")
    assert not {f"ingest_fn.{name}" for name in rare} & set(json.loads(printed))


def test_answering_a_registration_loads_no_rules() -> None:
    """Rules are for whoever deploys: a function that is asked who we are does not pay for them."""
    code = (
        "import sys\nfrom ingest_fn.registration import register\n"
        "register({'WEBHOOK_URL': 'https://partner.example'}, request_id='r-1', now_ms=1)\n"
        "print({'shared.firehose.rules', 'html.parser'} & sys.modules.keys())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "set()\n"
