"""An erasure from ingest to its receipt, over real SQS and DynamoDB calls, and as `spillway dsr` shows it."""

import json
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from ingest_fn import handler as ingest_entry
from ops.certify.script import Script
from ops.cli import app
from ops.operate.stack import Stack
from worker_fn import handler as worker_entry

SUBJECT = "3c5a1d2e-0000-4000-8000-000000000001"
REQUEST = {
    "type": "dsr_processing_request",
    "id": "r-1",
    "account": {"account_id": 7},
    "subject_request_id": SUBJECT,
    "subject_request_type": "erasure",
    "subject_identities": {"email": {"encoding": "raw", "value": "canary@example.com"}},
}


def reply(status: int) -> Any:
    def answer(handler: Any, _: Any) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@pytest.fixture
def dsr(queues: Any, moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run `spillway dsr` on the stack of these queues."""
    session = boto3.session.Session(region_name="us-east-1")
    stack = Stack("test", "us-east-1", {"StateTableName": "state"}, session)
    monkeypatch.setattr("ops.operate.erasures.find_stack", lambda _: stack)

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["dsr", *arguments])
        return done.exit_code, done.stdout

    return run


def standing(dsr: Any) -> tuple[int, str]:
    code, printed = dsr("status", SUBJECT, "--json")
    [receipt] = json.loads(printed)["receipts"]
    return code, receipt["standing"]


def test_an_erasure_is_accounted_for_from_the_moment_it_is_accepted(queues: Any, partner: Any, dsr: Any) -> None:
    """An erasure is unknown at first, open once it is queued, and delivered once it arrived; its receipt has ids and
    times and nothing of the person.
    """
    assert dsr("status", SUBJECT)[0] == 1
    ingest_entry.handler(REQUEST, None)
    assert standing(dsr) == (1, "open")
    assert SUBJECT in dsr("list", "--open")[1]
    queues.drain_once()
    assert standing(dsr) == (0, "delivered")
    code, printed = dsr("status", SUBJECT)
    assert code == 0
    assert printed.startswith(f"{SUBJECT}  delivered  account 7: accepted 20")
    assert SUBJECT in dsr("list")[1]
    assert dsr("list", "--open")[1] == "Every erasure was delivered.\n"
    assert json.loads(dsr("list", "--open", "--json")[1]) == {"receipts": [], "made_up_by_certify": 0}
    items = boto3.client("dynamodb", region_name="us-east-1").scan(TableName="state")["Items"]
    assert "canary" not in json.dumps(items)


def test_what_certify_made_up_is_listed_apart(queues: Any, partner: Any, dsr: Any) -> None:
    """An erasure that certify made up is counted but not listed, and only one with certify's own form of id."""
    made_up = Script(now_ms=1_790_000_000_000).fresh(dict(REQUEST), 1)
    partner.answer = reply(422)
    for request in (made_up, REQUEST):
        ingest_entry.handler(request, None)
    queues.drain_once()
    printed = dsr("list", "--open")[1]
    assert made_up["subject_request_id"] not in printed
    assert SUBJECT in printed
    assert "1 of spillway certify are left out: --certify shows them." in printed
    assert made_up["subject_request_id"] in dsr("list", "--open", "--certify")[1]
    listed = json.loads(dsr("list", "--json")[1])
    assert ([one["subject_request_id"] for one in listed["receipts"]], listed["made_up_by_certify"]) == ([SUBJECT], 1)
    assert dsr("status", made_up["subject_request_id"])[0] == 1


def test_an_id_without_a_receipt_is_told_what_has_one(queues: Any, dsr: Any) -> None:
    """For an id without a receipt the command says that only erasures have one."""
    code, printed = dsr("status", "11111111-2222-4333-8444-555555555555")
    assert code == 1
    assert "no erasure with this id was accepted there in the last 400 days" in printed
    assert "it was not accepted there" not in printed


def test_a_request_that_mparticle_repeats_has_one_receipt(queues: Any, partner: Any, dsr: Any) -> None:
    """An erasure that is sent again is delivered again, and its receipt keeps the first times."""
    ingest_entry.handler(REQUEST, None)
    queues.drain_once()
    first = dsr("status", SUBJECT, "--json")[1]
    ingest_entry.handler(REQUEST, None)
    queues.drain_once()
    assert len(partner.calls) == 2
    assert dsr("status", SUBJECT, "--json")[1] == first


def test_a_dead_letter_is_shown_until_it_was_redriven(queues: Any, partner: Any, dsr: Any) -> None:
    """A refused erasure is shown as dead-lettered, with the reason; once it is redriven and accepted, as delivered."""
    partner.answer = reply(422)
    ingest_entry.handler(REQUEST, None)
    queues.drain_once()
    assert standing(dsr) == (1, "dead-lettered")
    assert "dead-lettered as rejected" in dsr("list", "--open")[1]
    partner.answer = reply(200)
    [letter] = queues.dead_letters()
    queues.sqs.send_message(QueueUrl=queues.url, MessageBody=letter["Body"])
    queues.drain_once()
    assert standing(dsr) == (0, "delivered")
    assert "dead-lettered as rejected" in dsr("status", SUBJECT)[1]


def test_without_the_state_table_an_erasure_is_accepted_and_kept(
    queues: Any, partner: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the state table an erasure is accepted and delivered, its message waits for the receipt, and the log has
    its id.
    """
    monkeypatch.setenv("STATE_TABLE", "no-such-table")
    for cache in (
        ingest_entry._settings,
        ingest_entry._receipts,
        ingest_entry._suspended,
        worker_entry._settings,
        worker_entry._worker,
    ):
        cache.cache_clear()
    assert ingest_entry.handler(REQUEST, None)["type"] == "dsr_processing_response"
    printed = capsys.readouterr().out
    assert SUBJECT in printed
    assert "canary" not in printed
    answer = queues.drain_once()
    assert len(partner.calls) == 1
    assert len(answer["batchItemFailures"]) == 1
    assert queues.depth() == (0, 1)
