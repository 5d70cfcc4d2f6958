"""Facts read from CloudWatch Logs, and what the commands make of them, against moto."""

import asyncio
import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from ops.console.screen import Screen
from ops.operate import facts, ledger, status, status_screen, tail, trace
from ops.operate.depth import depth
from ops.operate.facts import Logs, Reading
from ops.operate.stack import Stack, StackUnavailable
from shared.errors import InvalidSettings
from shared.ledger import Depths
from shared.message import Head, encode, to_json
from shared.receipts import Receipt, receipt_key
from shared.state import DynamoState, Item

NOW_MS = int(time.time() * 1_000)
R = "0d5d6c1e-0000-4000-8000-00000000000"
LINES = {
    "ingest": [
        (
            0,
            {
                "fact": "accepted",
                "request_id": f"{R}{n}",
                "messages": [f"m{n}-x"],
                "type": "events",
                "account_id": "7",
                "events": 2,
                "bytes": 9,
                "ms": 8,
            },
        )
        for n in range(4)
    ],
    "worker": [
        (50, {"fact": "delivered", "messages": [f"{R}0 m0-x 2", f"{R}1 m1-x 2-1"]}),
        (
            60,
            {
                "fact": "attempt",
                "request_id": f"{R}2",
                "message_id": "m2-x",
                "status": 400,
                "error": "HTTP 400",
                "ms": 9,
            },
        ),
        (
            61,
            {
                "fact": "dead_letter",
                "request_id": f"{R}2",
                "message_id": "m2-x",
                "reason": "rejected",
                "events": 2,
                "attempts": 1,
            },
        ),
    ],
}


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        session = boto3.session.Session(region_name="us-east-1")
        sqs = session.client("sqs")
        urls = {
            name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("QueueUrl", "ParkingQueueUrl", "DlqUrl")
        }
        session.client("dynamodb").create_table(
            TableName="state",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
        arns = {
            f"{one.title()}AliasArn": f"arn:aws:lambda:us-east-1:123456789012:function:spillway-dev-{one}:production"
            for one in facts.FUNCTIONS
        }
        yield Stack("dev", "us-east-1", {**urls, **arns, "StateTableName": "state", "WorkerMappingId": "m"}, session)


def put(stack: Stack, lines: dict[str, list[tuple[int, dict[str, Any]]]] | None = None) -> None:
    """Write lines into the functions' logs, among other lines that such a log has."""
    logs = stack.client("logs")
    for function, written in (LINES if lines is None else lines).items():
        group = f"/aws/lambda/spillway-dev-{function}"
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="s")
        events = [
            {"timestamp": NOW_MS - 1_000 + at, "message": json.dumps(line, separators=(",", ":"))}
            for at, line in written
        ]
        events.append({"timestamp": NOW_MS, "message": "START RequestId: 1 Version: 3"})
        logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)


def count(stack: Stack, depths: Depths | None = None, **options: Any) -> ledger.Counted:
    asked = {"since_ms": NOW_MS - 5_000, "until_ms": NOW_MS + 1, "account_id": None, "by_account": True, **options}
    return ledger.count(Logs.of(stack), depths or ledger.depths_of(stack), **asked)


@pytest.mark.parametrize("lies", [True, False], ids=["something waits", "all is empty"])
def test_the_oldest_is_known_while_nobody_tells_of_it(stack: Stack, lies: bool) -> None:
    """CloudWatch has the age of a message that was parked for hours, and it counts while the queue holds a message."""
    put(stack)
    if lies:
        stack.client("sqs").send_message(QueueUrl=stack.output("ParkingQueueUrl"), MessageBody="b")
    for minutes, age_s in ((10, 7_200), (60, 9_999)):
        told = {"MetricName": "OldestWaiting", "Value": age_s, "Timestamp": NOW_MS / 1_000 - 60 * minutes}
        dimensions = [{"Name": "stage", "Value": "dev-us2"}, {"Name": "service", "Value": "worker"}]
        stack.client("cloudwatch").put_metric_data(
            Namespace="Spillway", MetricData=[{**told, "Dimensions": dimensions}]
        )
    found = status.look(replace(stack, name="spillway-us2-dev"), now_ms=NOW_MS).lately.oldest_ms
    assert found == (pytest.approx(NOW_MS - (7_200 + 600) * 1_000, abs=60_000) if lies else None)


def test_the_ledger_closes_over_both_logs(stack: Stack) -> None:
    """Of eight events three are delivered, one is left out, two are dead-lettered and two are in no queue: these are a
    gap, and the ledger names their message.
    """
    put(stack)
    counted = count(stack)
    assert ledger.line_of(counted.sums).endswith(
        "delivered 3 + left out 1 + waiting 0 + parked 0 + dead-lettered 2 + gap 2"
    )
    assert [one.request_id for one in counted.sums.gap_of] == [f"{R}3"]
    console = Screen(file=io.StringIO(), width=80)
    ledger.show(counted, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"request {R}3, account 7, unseen since" in " ".join(said.split())
    assert json.loads(ledger.as_json(counted))["by_account"]["7"]["accepted"] == 8


def test_what_still_waits_is_no_gap(stack: Stack) -> None:
    """A message that is still in the queue is not counted as a gap."""
    put(stack)
    stack.client("sqs").send_message(QueueUrl=stack.output("QueueUrl"), MessageBody="x")
    assert (count(stack).sums.gap, count(stack).sums.waiting) == (0, 2)


def test_a_look_that_was_cut_off_claims_no_gap(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """If reading the logs was cut off, the ledger reports how far it came, and no gap."""
    put(stack)
    monkeypatch.setattr(facts, "MOST_PAGES", 1)
    counted = count(stack)
    assert (counted.sums.gap, counted.bounded_by) == (None, "1 pages")


def test_a_log_is_read_page_by_page(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fact is read once, however many pages a log has."""
    put(stack)
    monkeypatch.setattr(facts, "PAGE", 2)
    reading = Reading()
    found = list(facts.read(Logs.of(stack), since_ms=NOW_MS - 5_000, reading=reading))
    assert len(found) == 7
    assert reading.pages > 3


def test_a_function_that_was_never_called_has_no_log(stack: Stack) -> None:
    """A function without a log was never called, which is not an error."""
    assert list(facts.read(Logs.of(stack), since_ms=0)) == []


def test_a_trace_finds_a_dead_letter_and_what_was_delivered(stack: Stack) -> None:
    """A trace by the request's id or the message's finds dead letters and delivered messages."""
    put(stack)
    dead = trace.trace(stack, f"{R}2", since_ms=NOW_MS - 5_000)
    assert [step.kind for step in dead.steps] == ["accepted", "attempt", "dead_letter"]
    assert "rejected" in dead.places[f"{R}2"]["1/1"]
    done = trace.trace(stack, "m0-x", since_ms=NOW_MS - 5_000)
    assert done.places == {f"{R}0": {"1/1": "delivered"}}


def test_an_erasure_is_traced_by_the_id_that_mparticle_has(stack: Stack) -> None:
    """An erasure is found by mParticle's id, because its receipt has the request's own id."""
    put(stack)
    receipt = Receipt("subject-1", f"{R}2", "7", NOW_MS)
    state = DynamoState(stack.client("dynamodb"), "state")
    asyncio.run(state.swap(receipt_key("subject-1"), "7", Item(), receipt.value(), expires_at=None))
    assert trace.trace(stack, "subject-1", since_ms=NOW_MS - 5_000).steps[-1].kind == "dead_letter"
    assert trace.trace(stack, "nobody", since_ms=NOW_MS - 5_000).steps == []


def test_an_event_is_found_in_the_dead_letters(stack: Stack) -> None:
    """An event is found by its id in a letter's payload, and the letter stays in the queue."""
    put(stack)
    request = {"type": "event_processing_request", "id": f"{R}2", "events": [{"id": "event-77"}]}
    [body] = encode(Head(f"{R}2", "event_processing_request", "7", NOW_MS), to_json(request))
    stack.client("sqs").send_message(QueueUrl=stack.output("DlqUrl"), MessageBody=body)
    assert trace.trace(stack, "event-77", since_ms=NOW_MS - 5_000).steps[-1].kind == "dead_letter"
    assert depth(stack.client("sqs"), stack.output("DlqUrl")).all == 1


def test_a_trace_by_sqs_whole_id_finds_what_was_accepted_and_nothing_more(stack: Stack) -> None:
    """Usually only the beginning of SQS's id is logged; a trace by the whole id shows no other request whose id begins
    alike.
    """
    fields = {"fact": "accepted", "type": "events", "events": 1, "bytes": 9, "ms": 5, "account_id": "7"}
    lines = [
        (0, {**fields, "request_id": f"{R}1", "messages": ["61bd120d"]}),
        (1, {**fields, "request_id": f"{R}2-61bd120d", "messages": ["99999999"]}),
    ]
    put(stack, {"ingest": lines, "worker": []})
    found = trace.trace(stack, "61bd120d-5c4e-4000-8000-000000000001", since_ms=NOW_MS - 5_000)
    assert {step.request_id for step in found.steps} == {f"{R}1"}


def test_tail_shows_what_is_asked_for_once(stack: Stack) -> None:
    """`tail` filters by end and account, and shows no line twice, however often it polls."""
    put(stack)

    def followed(wanted: tail.Wanted) -> list[str]:
        looks = tail.follow(Logs.of(stack), wanted, since_ms=NOW_MS - 5_000, looks=3, sleep=lambda _: None)
        return [tail.line_of(told).plain for told in looks]

    [letter] = followed(tail.Wanted(ends=frozenset({"dead_letter"})))
    assert "reason=rejected" in letter
    assert len(followed(tail.Wanted(accounts=frozenset({"7"})))) == 7
    assert followed(tail.Wanted(accounts=frozenset({"8"}))) == []
    assert len(followed(tail.Wanted(functions=frozenset({"worker"})))) == 3
    assert len(followed(tail.Wanted())) == 7


def test_a_range_with_nothing_in_it_has_no_gap(stack: Stack) -> None:
    """Messages before and after the range do not count; a range that ends before it begins is refused."""
    put(stack)
    counted = count(stack, since_ms=NOW_MS - 60_000, until_ms=NOW_MS - 30_000)
    assert (counted.sums.accepted, counted.sums.gap, counted.by_account) == (0, 0, {})
    console = Screen(file=io.StringIO(), width=80)
    ledger.show(counted, console)
    assert "Nothing was accepted in this time" in console.file.getvalue()  # type: ignore[attr-defined]
    with pytest.raises(InvalidSettings, match="--until"):
        count(stack, since_ms=NOW_MS - 30_000, until_ms=NOW_MS - 60_000)


def test_tail_follows_an_account_through_lines_of_many(stack: Stack) -> None:
    """A line of delivered messages names no account; `tail` knows the account's requests from the lines in which they
    were accepted.
    """
    lines = {
        "ingest": [
            (0, {"fact": "accepted", "request_id": request_id, "messages": ["m"], "account_id": account, "events": 1})
            for request_id, account in (("a", "7"), ("b", "8"), ("c", "7"))
        ],
        "worker": [
            (5, {"fact": "attempt", "messages": ["a m1", "b m2"], "status": 500}),
            (6, {"fact": "delivered", "messages": ["a m1 1", "b m2 1", "c 1/1 m3 1", "d m4 1"]}),
            (7, {"fact": "breaker", "is_open": True}),
        ],
    }
    put(stack, lines)

    def followed(account: str) -> list[Any]:
        wanted = tail.Wanted(accounts=frozenset({account}), functions=frozenset({"worker"}))
        found = tail.follow(Logs.of(stack), wanted, since_ms=NOW_MS - 5_000, looks=1)
        return [told.fields["messages"] for told in found]

    assert followed("7") == [["a m1"], ["a m1 1", "c 1/1 m3 1"]]
    assert followed("8") == [["b m2"], ["b m2 1"]]
    assert followed("9") == []


def test_tail_sees_that_the_stage_has_the_partner_that_is_meant(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The partner may be given by its short name or its module; another partner, or one that cannot be read, is
    refused.
    """

    class Lambda:
        def get_function_configuration(self, **_: str) -> dict[str, Any]:
            return {"Environment": {"Variables": {"PARTNER": "partners.iterable"}}}

    with pytest.raises(StackUnavailable, match="cannot be read"):
        tail.check_partner(stack, "iterable")
    monkeypatch.setattr(Stack, "client", lambda *_: Lambda())
    tail.check_partner(stack, "iterable")
    tail.check_partner(stack, "partners.iterable")
    with pytest.raises(InvalidSettings, match=r"delivers to partners\.iterable"):
        tail.check_partner(stack, "webhook")


def test_status_reads_a_stack_and_says_what_it_may_not_read(stack: Stack) -> None:
    """`status` shows depths, rates and reasons, and names what it has no permission to read."""
    put(stack)
    stack.client("sqs").send_message(QueueUrl=stack.output("DlqUrl"), MessageBody="x")
    found = status.look(stack, now_ms=NOW_MS + 1_000)
    assert (found.dead.visible, found.lately.accepted, found.lately.delivered) == (1, 4, 2)
    assert found.lately.dead == {"rejected": 1}
    assert set(found.unread) == {"lambda:GetEventSourceMapping", "lambda:GetAlias"}
    assert json.loads(status_screen.as_json(found))["says"].startswith("1 message is dead-lettered")


def test_status_is_drawn_while_the_state_table_and_the_queues_are_out_of_reach(stack: Stack) -> None:
    """`status` is drawn even if the state table and the queues do not answer, because that is when it is needed."""
    put(stack)
    stack.client("dynamodb").delete_table(TableName="state")
    stack.client("sqs").delete_queue(QueueUrl=stack.output("QueueUrl"))
    found = status.look(stack, now_ms=NOW_MS + 1_000)
    assert {"dynamodb:Query", "sqs:GetQueueAttributes"} <= set(found.unread)
    assert {"state", "queue"} <= set(found.unknown)
    assert found.lately.accepted == 4


@pytest.mark.parametrize(
    ("code", "said"),
    [("AccessDeniedException", "logs:FilterLogEvents"), ("ThrottlingException", "give the same command again")],
)
def test_logs_that_cannot_be_read_are_named_with_what_to_do(code: str, said: str) -> None:
    """If logs cannot be read, the message names the missing permission and its place, or says that the trouble may
    pass.
    """

    class Refusing:
        def filter_log_events(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": code, "Message": ""}}, "FilterLogEvents")

    with pytest.raises(StackUnavailable, match=rf"{code}.*{said}"):
        list(facts.read(Logs(Refusing(), {"ingest": "i"}), since_ms=0))
