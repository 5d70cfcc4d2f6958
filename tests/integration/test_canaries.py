"""Planted texts in everything that belongs to a customer or a person, and every output in which they could appear."""

import io
import json
import os
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from typer.testing import CliRunner

from ingest_fn import handler as ingest_entry
from ops.certify.checks import CHECKS
from ops.certify.exchange import Answer, Ending, Sent
from ops.certify.run import certify
from ops.certify.script import Script
from ops.cli import app
from ops.console.screen import Screen
from ops.demo import report, report_page
from ops.demo.figures import Letter, Remains, Side, summarise
from ops.demo.scenarios import scenario_named
from ops.doctor.look import Function
from ops.local.mparticle import Ended
from ops.operate import tail
from ops.operate.facts import Logs
from ops.operate.stack import Stack
from partners.webhook import Webhook
from shared.errors import SpillwayError
from tests.integration.conftest import Context, reply
from tests.unit.ops.demo.sides import BEGAN_S, invocation, ledger
from worker_fn import handler as worker_entry

MARK = "CaNaRy"
T_MS = 1_700_000_000_000
STATUSES = (200, 302, 400, 401, 403, 413, 422, 429, 500, 503)
ROUNDS = 4


def canary(place: str) -> str:
    """A text that names the place where it was planted."""
    return f"{MARK}-{place}"


def request_of(account: int, *events: dict[str, Any], request_id: str = "", key: str = "") -> dict[str, Any]:
    """A request with a canary in every field that holds data of a customer or a person."""
    settings = {"apiKey": canary(f"setting{key}"), canary("setting-name"): canary("other-setting")}
    return {
        "type": "event_processing_request",
        "id": request_id or f"r-{account}",
        "timestamp_ms": T_MS,
        "mpid": canary("mpid"),
        "account": {"account_id": account, "account_settings": settings},
        "user_identities": [{"type": "email", "encoding": "raw", "value": f"{canary('identity')}@example.com"}],
        "user_attributes": {canary("attribute-name"): canary("attribute")},
        "device_application_stamp": canary("stamp"),
        "runtime_environment": {"type": "ios", "device": {"advertising_id": canary("device")}},
        "events": list(events),
        canary("field"): canary("unknown-field"),
    }


def event(event_id: Any) -> dict[str, Any]:
    return {
        "type": "custom_event",
        "id": event_id,
        "timestamp_ms": T_MS,
        "name": canary("event-name"),
        "attributes": {canary("event-attribute-name"): canary("event-attribute")},
    }


def requests() -> Iterator[dict[str, Any]]:
    """Requests for each status of the partner, each with an account of its own, and requests that raise, are malformed
    or have no events.
    """
    for status in STATUSES:
        yield request_of(status, event(f"{status}-1"))
    yield request_of(901, event("raises-1"))
    yield request_of(
        902, event("200-odd"), {"type": canary("type"), "id": "200-new"}, {"type": 7, "name": canary("odd")}
    )
    yield request_of(903, event(f"{canary('event-id')}@example.com"))
    yield request_of(429, event("429-2"), request_id="r-429-2", key="-new")
    yield {
        **request_of(904),
        "type": "dsr_processing_request",
        "id": "r-erasure",
        "regulation": "gdpr",
        "subject_request_id": "3c5a1d2e-0000-4000-8000-000000000001",
        "subject_identities": {"email": {"encoding": "raw", "value": f"{canary('subject')}@example.com"}},
    }
    yield {
        **request_of(905),
        "type": "audience_membership_change_request",
        "id": "r-audience",
        "user_profiles": [
            {"user_identities": [], "audiences": [{"audience_name": canary("audience"), "action": "add"}]}
        ],
    }


REFUSED: tuple[Any, ...] = (
    {"type": canary("request-type"), "id": canary("refused-id")},
    {**request_of(906), "events": canary("events")},
    {"type": "audience_subscription_request", "id": "s", "account": {"account_id": canary("account")}},
    canary("request"),
    [canary("list")],
)


@pytest.fixture
def stack(queues: Any, partner: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """Both functions as deployed, with the most verbose logs; the partner's address and headers are secrets, too."""
    for name, value in {
        "LOG_EVENTS": "ids",
        "METRICS_ACCOUNTS": ",".join(map(str, STATUSES[:9])),
        "WEBHOOK_URL": f"{partner.url}/{canary('path')}?key={canary('query')}",
        "WEBHOOK_HEADERS": json.dumps({"X-Tenant": canary("header")}),
    }.items():
        monkeypatch.setenv(name, value)
    for cache in (ingest_entry._settings, worker_entry._settings, worker_entry._worker, worker_entry._stored):
        cache.cache_clear()
    arns = {
        f"{one.title()}AliasArn": f"arn:aws:lambda:us-east-1:123456789012:function:canaries-{one}:production"
        for one in ("ingest", "worker")
    }
    outputs = {
        "QueueUrl": queues.url,
        "DlqUrl": queues.dead_letter_url,
        "ParkingQueueUrl": queues.parking_url,
        "StateTableName": "state",
        "WorkerMappingId": "mapping",
        **arns,
    }
    found = Stack("test", "us-east-1", outputs, boto3.session.Session(region_name="us-east-1"), name="spillway-test")
    for module in ("stack", "erasures"):
        monkeypatch.setattr(f"ops.operate.{module}.find_stack", lambda *_: found)
    monkeypatch.setattr("ops.operate.dlq.queues.POLL_S", 0)
    logs = found.client("logs")
    yield found
    for function in ("ingest", "worker"):
        logs.delete_log_group(logGroupName=f"/aws/lambda/canaries-{function}")


def answer(handler: Any, call: Any) -> None:
    """The status that the event asks for, with a canary in every part of the answer."""
    body = json.loads(call.body)
    wanted = str((body.get("event") or {}).get("id") or "500")[:3]
    status = int(wanted) if wanted in set(map(str, STATUSES)) else 500
    headers = {"X_Request": canary("answer-header"), "Retry_After": canary("retry") if status == 503 else "1"}
    if status == 302:
        headers["Location"] = f"http://127.0.0.1/{canary('location')}"
    reply(handler, status, json.dumps({"error": canary("answer"), "echo": body}).encode(), **headers)


def raising(deliveries: Callable[..., Any]) -> Callable[..., Any]:
    """A mapping that fails with an exception that quotes its input."""

    def mapped(self: Any, request: Any) -> Any:
        if getattr(request, "id", "") == "r-901":
            raise ValueError(f"no plan called {canary('exception')}")
        return deliveries(self, request)

    return mapped


def worked(queues: Any, partner: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Send all requests and let the workers process them; returns the functions' answers and errors."""
    partner.answer = answer
    monkeypatch.setattr(Webhook, "deliveries", raising(Webhook.deliveries))
    said = [json.dumps(ingest_entry.handler(one, Context())) for one in requests()]
    for one in REFUSED:
        try:
            said.append(json.dumps(ingest_entry.handler(one, Context())))
        except SpillwayError as error:
            said.append("".join(traceback.format_exception(error)))
    queues.sqs.send_message(QueueUrl=queues.url, MessageBody=canary("body"))
    for _ in range(ROUNDS):
        said.append(json.dumps(queues.drain_once()))
        queues.sqs.set_queue_attributes(QueueUrl=queues.url, Attributes={"VisibilityTimeout": "0"})
    said.append(json.dumps(worker_entry.handler({"tick": {"mapping_id": "mapping"}}, Context())))
    return said


def write_logs(stack: Stack, printed: str) -> None:
    """The lines of both functions, as CloudWatch would have them."""
    logs, now_ms = stack.client("logs"), int(time.time() * 1_000)
    for function in ("ingest", "worker"):
        group = f"/aws/lambda/canaries-{function}"
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="s")
        events = [{"timestamp": now_ms, "message": line} for line in printed.splitlines() if line.strip()]
        logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)


COMMANDS = (
    ("status",),
    ("status", "--json"),
    *(("trace", one) for one in ("r-200", "r-400", "r-901", "r-erasure", "r-audience", "400-1", "200-odd")),
    ("trace", "3c5a1d2e-0000-4000-8000-000000000001", "--json"),
    ("ledger", "--by-account"),
    ("ledger", "--json", "--by-account"),
    ("dlq", "summary"),
    ("dlq", "summary", "--by", "error", "--by", "status", "--json"),
    ("dlq", "list"),
    ("dlq", "list", "--json"),
    ("dlq", "show", "r-400"),
    ("dlq", "show", "r-901"),
    ("dsr", "list"),
    ("dsr", "status", "3c5a1d2e-0000-4000-8000-000000000001"),
    ("suspensions",),
    ("suspensions", "--json"),
    ("cooldown", "list"),
    ("trail",),
)


def shown(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """The output of every command that shows something."""
    monkeypatch.setenv("COLUMNS", "80")
    for command in COMMANDS:
        done = CliRunner().invoke(app, list(command))
        assert done.exception is None or isinstance(done.exception, SystemExit), (command, done.exception)
        assert done.exit_code in {0, 1}, (command, done.output)
        yield " ".join(command), done.output
    told = tail.follow(Logs.of(stack), tail.Wanted(), since_ms=0, looks=1)
    yield "tail", "\n".join(tail.line_of(one).plain for one in told)


def examined(stack: Stack, env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """The doctor's findings on the stage, whose worker has secrets in its environment; the doctor calls the partner."""
    found = Function("", "python3.13", "arm64", 60, "", env={**env, "PARTNER": "partners.webhook"}, live="1")
    monkeypatch.setattr("ops.doctor.look._function", lambda _lambdas, name, _look: replace(found, name=name))
    monkeypatch.setattr("ops.operate.stack.enter_stage", lambda _: None)
    for more in ((), ("--json",)):
        done = CliRunner().invoke(app, ["doctor", "--setting", f"apiKey={canary('doctor-setting')}", *more])
        assert done.exit_code in {0, 1}, (done.output, done.exception)
        assert "partner" in done.output, "it was tried"
        yield " ".join(("doctor", *more)), done.output


class Integration:
    """Somebody else's function: it registers as ours does, and answers with the request, or with an error that quotes
    it.
    """

    name = "arn:aws:lambda:us-east-1:123456789012:function:another:production"
    speaks_http, has_token, qualified = False, False, True

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def send(self, sent: Sent) -> Answer:
        self.sent.append(sent)
        if sent.kind == "module_registration_request":
            registered = json.dumps(ingest_entry.handler(json.loads(sent.body), Context())).encode()
            return Answer(Ending.ANSWERED, 200, registered, 1.0, "application/json")
        if len(self.sent) % 3 == 0:
            error = {"errorType": "KeyError", "errorMessage": sent.body.decode(errors="replace")}
            return Answer(Ending.FUNCTION_ERROR, 200, json.dumps(error).encode(), 1.0, "application/json")
        echo = {"type": canary("answer-type"), "id": canary("answer-id"), canary("answer"): sent.body.decode("latin-1")}
        payload = json.dumps(echo).encode() if len(self.sent) % 3 == 1 else canary("no-json").encode()
        return Answer(Ending.ANSWERED, 200, payload, 1.0, "application/json")

    def round_trip_ms(self) -> float | None:
        return None


def certified(capsys: pytest.CaptureFixture[str]) -> Iterator[tuple[str, str]]:
    """The output of certify for an integration that quotes its requests, a customer's settings among them."""
    for as_json in (False, True):
        target = Integration()
        settings = {"apiKey": canary("certified-setting")}
        script = Script(settings=settings, seed=1, now_ms=T_MS, http=False, has_token=False, calls=100, burst=2)
        certify(target, script, CHECKS, as_json=as_json)
        assert any(canary("certified-setting").encode() in one.body for one in target.sent), "it was sent"
        said = capsys.readouterr()
        assert "KeyError" in said.out, "the errors were told of"
        yield f"certify, as_json={as_json}", said.out + said.err


def demonstrated(letters: list[Any]) -> Iterator[tuple[str, str]]:
    """The reports of a demo with these requests, answers and dead letters."""
    scenario = scenario_named("poison")
    settings = scenario.settings()
    ids = [canary("event-id"), canary("other-event-id")]
    invoked = invocation(ids)
    parcel = replace(invoked.parcel, body=json.dumps(request_of(7, event(ids[0]))).encode(), account_id=7)
    failed = replace(invoked, parcel=parcel, outcome=Ended.FAILED, payload=canary("raised").encode())
    given_up = [
        Letter(one["reason"]["StringValue"], one.get("error", {}).get("StringValue", ""), (ids[1],)) for one in letters
    ]
    remains = Remains(given_up, frozenset({canary("parked-id")}), 3)
    side = Side(BEGAN_S, [replace(invoked, parcel=parcel), failed], ledger((ids[0], 1.0)), remains=remains)
    sides, screen = {"Spillway": side}, Screen(file=io.StringIO(), width=200)
    shown = settings.as_json(scenario.shows)
    yield "report.json", report.as_json(sides, scenario="poison", settings=shown, notes=[]).decode()
    yield "report.html", report_page.render(scenario, sides, settings=settings, shown=shown, notes=[])
    summary = summarise(side)
    for one in (report.table({"Spillway": summary}), report.customers_table(summary)):
        screen.print(one)
    yield "the demo's tables", "\n".join([screen.file.getvalue(), *report.problems({"Spillway": summary})])


def attributes(client: Any, url: str) -> list[Any]:
    """The attributes of the messages in a queue; the bodies are the requests and may contain data."""
    found: list[Any] = []
    while messages := client.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=60
    ).get("Messages"):
        found += [one.get("MessageAttributes") for one in messages]
    return found


def test_nothing_of_a_customer_or_a_person_shows_anywhere(
    stack: Stack, queues: Any, partner: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No setting, identity, attribute, name, header, answer, exception or URL appears in a log line, a metric, a dead
    letter's attribute, an item of the state table, a function's answer or a command's output.
    """
    said = worked(queues, partner, monkeypatch)
    printed = capsys.readouterr()
    write_logs(stack, printed.out)
    places = {"answers of the functions": "\n".join(said), "standard output": printed.out, "errors": printed.err}
    places |= dict(shown(stack, monkeypatch))
    secrets = {name: os.environ[name] for name in ("WEBHOOK_URL", "WEBHOOK_HEADERS")}
    places |= dict(examined(stack, secrets, monkeypatch))
    capsys.readouterr()
    places |= dict(certified(capsys))
    table = stack.client("dynamodb").scan(TableName="state")["Items"]
    letters = attributes(queues.sqs, queues.dead_letter_url)
    places |= dict(demonstrated(letters))
    places["state table"] = json.dumps(table, default=repr)
    places["dead letters"] = json.dumps(letters, default=repr)
    places["parked and waiting"] = json.dumps(
        [attributes(queues.sqs, one) for one in (queues.parking_url, queues.url)], default=repr
    )
    assert [place for place, text in places.items() if MARK.lower() in text.lower()] == []

    arrived = json.dumps([[call.path, dict(call.headers), call.body.decode()] for call in partner.calls])
    for sent in ("setting", "identity", "attribute", "event-name", "header", "path", "query"):
        assert canary(sent) in arrived, "the partner alone is told"
    reasons = {one["reason"]["StringValue"] for one in letters}
    assert {"rejected", "unmappable", "undecodable"} <= reasons
    facts = {json.loads(line)["fact"] for line in printed.out.splitlines() if line.startswith('{"fact"')}
    assert {"accepted", "delivered", "wait", "dead_letter", "attempt", "content", "suspended"} <= facts
    assert '"account":"400"' in printed.out, "metrics by account"
    assert table, "cool-downs, suspensions, receipts"
    assert "dead_letter" in places["tail"], "it was followed"
    assert "rejected" in places["trace 400-1"], "the message was found by its event"
    assert "rejected" in places["report.html"], "the dead letters were shown"
    assert f"delivers to partners.webhook, {urlsplit(partner.url).netloc}" in places["doctor"], "with its secrets"
