"""docs/runbook.md on a deployed stack: the commands of each section, in the situation that the section is about."""

import json
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from ops.local.aws import ROOT, local_aws
from ops.local.partner_api import Behaviour, LoopbackPartner, serve
from tests.e2e.operated import Operated, until

RUNBOOK = (ROOT / "docs/runbook.md").read_text()
REQUEST, ERASURE = "8f3f2a0e-5a54-4a54-9d0c-6a9a2f6c3a11", "3c5a1d2e-0000-4000-8000-000000000001"
"""The ids of the page's examples, and account 7 is its account."""
ONCE = {"doctor", "versions", "rollback"}
"""What is the same in many sections, and takes its time; a second rollback would go further back."""


@dataclass(frozen=True)
class NightShift(Operated):
    """An operator on call, with a folder of their own, who follows the page."""

    seen: set[str] = field(default_factory=set)

    def read(self, section: str, part: str = "") -> Iterator[list[str]]:
        """The commands of a section, or of one part of it."""
        _, _, text = RUNBOOK.partition(f"\n## {section}\n")
        text, _, _ = text.partition("\n## ")
        if part:
            text = text.partition(f"**{part}.**")[2].partition("\n**")[0]
        lines = re.findall(r"^    spillway (.+)$", text, re.MULTILINE)
        assert lines, f"the page has no commands in {section} {part}"
        for line in lines:
            arguments = shlex.split(line, comments=True)
            if arguments[0] in ONCE & self.seen:
                continue
            self.seen.add(arguments[0])
            yield ["local" if one == "production" else one for one in arguments]

    def mapping_state(self) -> str:
        found = self.aws.client("lambda").get_event_source_mapping(UUID=self.outputs["WorkerMappingId"])
        return str(found["State"])

    def follow(self, section: str, part: str = "") -> str:
        """Type each command; returns all output."""
        return "\n".join(self.type(*arguments) for arguments in self.read(section, part))

    def type(self, *arguments: str) -> str:
        """Type a command; it must not report a failure. A command that runs until it is stopped is read for a while,
        then gets Ctrl-C.
        """
        if arguments[0] != "tail" and "--watch" not in arguments:
            return self.spillway(*arguments, status=None)
        with subprocess.Popen(**self.shell(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as followed:
            with suppress(subprocess.TimeoutExpired):
                followed.communicate(timeout=5)
                raise AssertionError(f"{arguments} has an end: {followed.returncode}")
            followed.send_signal(signal.SIGINT)
            said, _ = followed.communicate(timeout=20)
        assert "Traceback" not in said, said
        return str(said)


@pytest.fixture(scope="module")
def shift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NightShift]:
    """A stack that was deployed twice, so that there is something to roll back to."""
    api = LoopbackPartner(Behaviour())
    with serve(api) as url, local_aws() as aws:
        aws.deploy(env={"WEBHOOK_URL": url, "WEBHOOK_RATE": "200"})
        outputs = aws.deploy(env={"WEBHOOK_URL": url, "WEBHOOK_RATE": "200", "MAX_IN_FLIGHT": "9"})
        yield NightShift(aws, api, url, outputs, tmp_path_factory.mktemp("shell"))


def test_the_dashboard_is_there(shift: NightShift) -> None:
    """The dashboard that the outputs name is deployed with the stack."""
    name = shift.outputs["DashboardUrl"].rpartition("/")[2]
    found = shift.aws.client("cloudwatch").get_dashboard(DashboardName=name)
    assert "spillway-local" in json.loads(found["DashboardBody"])["widgets"][0]["properties"]["markdown"]


def test_dead_letters(shift: NightShift) -> None:
    """Once the cause is mended, refused messages arrive, and malformed ones are exported."""
    shift.api.begin(Behaviour(answers={"late": 400, "malformed": 400}))
    shift.send("late", account=8)
    shift.send("malformed", account=7, request_id=REQUEST)
    until(lambda: shift.letters() == 2)
    looked = shift.follow("dead-letters", "Look")
    assert REQUEST in looked
    assert "rejected" in looked
    shift.api.begin(Behaviour(answers={"malformed": 400}))  # the rollback mended it
    for arguments in shift.read("dead-letters", "Do"):
        if arguments[:2] == ["dlq", "export"]:
            until(lambda: "late" in shift.arrived() and shift.letters() == 1)
        shift.type(*arguments)
    assert (shift.folder / "malformed.ndjson.gz").exists()
    assert shift.letters() == 1
    assert re.search(r"\bgap +0$", shift.type("ledger", "--since", "6h"), re.MULTILINE)
    assert "rejected" in shift.follow("dead-letters-lie")
    assert "mended by the rollback" in shift.type("trail")


def test_a_partner_that_is_down(shift: NightShift) -> None:
    """The first screen says that the partner is down, nothing is lost, and a probe ends the outage once the partner is
    back.
    """
    shift.api.begin(Behaviour(outages=((0, 1_000_000),)))
    for number in range(30):
        shift.send(f"down-{number}", account=8)
    until(lambda: "The partner is down" in shift.type("status"))
    shift.follow("partner-down", "Look")
    shift.api.begin(Behaviour())
    shift.follow("partner-down", "Do")
    until(lambda: len({one for one in shift.arrived() if one.startswith("down-")}) == 30, 240)


def test_a_backlog(shift: NightShift) -> None:
    """The page's commands find a pause that somebody forgot, and end it."""
    shift.api.begin(Behaviour())
    shift.type("pause", "--why", "forgotten")
    shift.send("backlog", account=8)
    assert "forgotten" in shift.follow("backlog", "Look")
    shift.follow("backlog", "Do")
    until(lambda: "backlog" in shift.arrived())


def test_a_ledger_gap(shift: NightShift) -> None:
    """SQS itself moved a message to the dead-letter queue: the ledger names it, and the redrive closes the gap."""
    shift.api.begin(Behaviour())
    sqs, queue = shift.aws.client("sqs"), shift.outputs["QueueUrl"]
    shift.type("pause", "--why", "so that a message stays in the queue")
    until(lambda: shift.mapping_state() == "Disabled")
    shift.send("moved", account=7)
    [moved] = until(lambda: sqs.receive_message(QueueUrl=queue, MessageAttributeNames=["All"]).get("Messages"))
    attributes = moved.get("MessageAttributes", {})
    sqs.send_message(QueueUrl=shift.outputs["DlqUrl"], MessageBody=moved["Body"], MessageAttributes=attributes)
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=moved["ReceiptHandle"])
    shift.type("resume", "--why", "done")

    def gap() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(shift.type("ledger", "--since", "1d", "--json"))["sums"]
        return found

    until(lambda: gap()["gap"])
    assert [one["request_id"] for one in gap()["gap_of"]] == ["request-moved"]
    assert "request request-moved, account 7, unseen since" in shift.follow("ledger-gap", "Look")
    shift.follow("ledger-gap", "Do")
    until(lambda: "moved" in shift.arrived())
    until(lambda: gap()["gap"] == 0)


def test_what_waits_for_a_customers_key(shift: NightShift) -> None:
    """For events and an erasure of an account whose key is refused, both sections name the account, and the clear
    delivers all.
    """
    shift.api.begin(Behaviour(token="good"))
    for number in range(6):
        shift.send(f"age-{number}", account=7)
    account = {"account_id": 7, "account_settings": {"apiKey": "old"}}
    head = {
        "type": "dsr_processing_request",
        "id": "request-erasure",
        "subject_request_id": ERASURE,
        "account": account,
    }
    identities = {"email": {"encoding": "raw", "value": "CANARY@example.com"}}
    assert shift.invoke(
        {**head, "regulation": "gdpr", "timestamp_ms": 1_700_000_000_000, "subject_identities": identities}
    )
    until(lambda: '"account_id": "7"' in shift.type("suspensions", "--json"))
    said = shift.follow("age", "Look")
    assert "account 7: HTTP 401" in said
    said = shift.follow("erasures-late", "Look")
    assert ERASURE in said
    assert "CANARY" not in said
    shift.api.begin(Behaviour())
    shift.follow("age", "Do")
    until(lambda: "Every erasure was delivered" in shift.type("dsr", "list", "--open"), 240)


def test_trouble_of_ingest_and_of_the_functions(shift: NightShift) -> None:
    """The section on refused requests, and the other sections, whose alarms cannot be raised on a local stack."""
    shift.api.begin(Behaviour())
    assert not shift.invoke({"type": "a new one"})
    for section in ("ingest-errors", "url-errors", "ingest-throttles", "answers-late", "worker-errors", "in-flight"):
        shift.follow(section)
