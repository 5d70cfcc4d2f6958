"""`spillway dlq` and `spillway trail` on a queue as SQS might have it."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import boto3
import pytest
from typer.testing import CliRunner, Result

from ops.cli import app
from ops.operate.dlq.archive import as_line
from ops.operate.dlq.letters import Letter
from ops.operate.stack import Stack
from partners import Delivery, load_partner
from shared.firehose import parse_request
from shared.message import AUDIENCE, EVENTS
from shared.state import FLOW, PARTNER, SUSPENDED, progress_key
from tests.integration.ops.operate.dlq.letters import depth, message, rejected
from worker_fn.accounts.fingerprint import fingerprint
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.flow import Flow


@pytest.fixture
def spillway(stack: Stack) -> Callable[..., Result]:
    def call(*arguments: str, typed: str = "") -> Result:
        done = CliRunner().invoke(app, [*arguments], input=typed)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    return call


def table(key: str, sk: str, value: dict[str, Any]) -> None:
    client = boto3.client("dynamodb", region_name="us-east-1")
    row = {"pk": {"S": key}, "sk": {"S": sk}, "rev": {"N": "1"}, "value": {"S": json.dumps(value)}}
    client.put_item(TableName="state", Item=row)
    client.close()


def clean(done: Result) -> None:
    """No line is wider than the terminal, and none contains anything of a customer or a person."""
    for line in done.output.splitlines():
        assert len(line) <= 80, line
    assert "CANARY" not in done.output
    assert done.output.replace("\n", "").isprintable()


def test_an_empty_queue_is_said_in_a_line(spillway: Callable[..., Result]) -> None:
    for verb in (["summary"], ["list"], ["redrive"], ["redrive", "--yes"], ["purge"]):
        done = spillway("dlq", *verb)
        assert (done.exit_code, done.output) == (0, "✓ The dead-letter queue is empty.\n")


def test_looking_tells_what_lies_there_and_takes_nothing(
    spillway: Callable[..., Result], put: Callable[..., str], queues: Any
) -> None:
    """`summary`, `list` and `show` work for any content of the queue, mask values, and make all letters visible
    again.
    """
    ids = [put(message(f"r{n}"), **rejected()) for n in range(3)]
    odd = put(
        "CANARY \t{not ours", reason="CANARY", error="CANARY\u202e", account_id="CANARY@example.com", CANARY="CANARY"
    )
    put(message("audience", 9, kind=AUDIENCE))
    summary = spillway("dlq", "summary")
    clean(summary)
    assert "5 dead letters of 3 kinds" in summary.output
    assert "3  rejected, HTTP 422, events, account 7" in summary.output
    assert "no reason (SQS, after 1,000 receives), audience, account 9" in summary.output
    listed = spillway("dlq", "list", "--reason", "rejected")
    clean(listed)
    assert sorted(re.findall(r"^(\S{36}) rejected     422   events   7 ", listed.output, re.MULTILINE)) == sorted(ids)
    for one in (ids[0], odd):
        shown = spillway("dlq", "show", one)
        clean(shown)
        assert (shown.exit_code, one in shown.output) == (0, True)
    assert '"name": "***"' in spillway("dlq", "show", ids[0]).output
    assert "Nobody can read its body" in spillway("dlq", "show", odd).output
    assert "CANARY-event" in spillway("dlq", "show", ids[0], "--reveal").output
    assert "CANARY \\t{not ours" in spillway("dlq", "show", odd, "--reveal").output
    missing = spillway("dlq", "show", "nobody")
    assert (missing.exit_code, "There is no letter nobody" in missing.output) == (1, True)
    by_request = spillway("dlq", "show", "r1")
    assert (by_request.exit_code, ids[1] in by_request.output) == (0, True)
    for verb in ("summary", "list"):
        found = json.loads(spillway("dlq", verb, "--json").output)
        assert "CANARY" not in json.dumps(found)
    assert depth(queues, queues.dead_letter_url) == (5, 0)


def test_a_plan_says_what_would_become_of_each(
    spillway: Callable[..., Result], put: Callable[..., str], queues: Any, stack: Stack
) -> None:
    """Without --yes the plan says what would happen to each letter, and nothing is sent; with --yes all matching
    letters are exported and sent.
    """
    for number in range(4):
        put(message(f"good{number}"), **rejected())
    put(message("half", events=2), **rejected(attempts="2"))
    put(message("held", 9), **rejected("9"))
    put(message("other-key", 9, key="CANARY-new"), **rejected("9"))
    put(
        message("nokey", 8, key="CANARY\nkey"),
        reason="unmappable",
        error="no key",
        account_id="8",
        type=EVENTS,
        attempts="0",
    )
    put("CANARY", reason="undecodable", error="the body can not be read")
    table(progress_key("7", "half"), "1/1", {"done": "AAAAAAAA", "refused": {}})
    partner = load_partner({"PARTNER": "partners.webhook", "WEBHOOK_URL": "http://127.0.0.1:9/h"})
    (call,) = partner.deliveries(parse_request(json.loads(message("x", 9))["payload"]))
    assert isinstance(call, Delivery)
    mark = fingerprint(call, key=b"s")
    table(
        SUSPENDED,
        f"9#{mark}",
        {"account_id": "9", "status": 401, "since_ms": 1, "fingerprint": mark, "probe_id": "p", "probe_at_ms": 1},
    )
    plan = spillway("dlq", "redrive")
    clean(plan)
    for line in (
        "9 letters match (all letters):",
        "5  would now be sent",
        "1  is half delivered and resumes",
        "1  belongs to an account that is still suspended (9)",
        "1  is still unmappable",
        "1  still cannot be read",
        "Nothing was sent: the same command with --yes",
        "half of it",
    ):
        assert line in plan.output, plan.output
    assert depth(queues, queues.dead_letter_url) == (9, 0)
    assert not list(Path().glob("dlq-exports/*.gz"))
    done = spillway("dlq", "redrive", "--yes", "--sendable", "--rate", "500", "--why", "the partner is back")
    clean(done)
    assert (done.exit_code, "7 of 7 sent" in done.output) == (0, True), done.output
    assert (depth(queues, queues.dead_letter_url), depth(queues, queues.url)) == ((2, 0), (7, 0))
    (exported,) = Path().glob("dlq-exports/*.gz")
    assert exported.stat().st_mode & 0o777 == 0o600
    found = queues.sqs.receive_message(QueueUrl=queues.url, MessageAttributeNames=["All"])["Messages"]
    assert found[0]["MessageAttributes"]["history"]["StringValue"] == "1 rejected:422"
    told = spillway("trail")
    clean(told)
    assert "dlq redrive (all letters), 7 letters" in told.output
    assert ": the partner is back" in told.output
    assert "7 of 7 sent" in told.output
    everything = spillway("dlq", "redrive", "--yes", "--rate", "500")
    assert (everything.exit_code, "2 of 2 sent" in everything.output) == (0, True)
    assert depth(queues, queues.dead_letter_url) == (0, 0)


def test_a_plan_says_what_would_keep_letters_waiting(spillway: Callable[..., Result], put: Callable[..., str]) -> None:
    """The plan says if the partner is down or asked for a pause: then redriven letters wait in the main queue."""
    put(message("r"), **rejected())
    down = Flow(breaker=Breaker(opened_ms=1, probe_at_ms=2, said="HTTP 500"), cool_until_ms=10**13)
    table(PARTNER, FLOW, down.to_item())
    plan = spillway("dlq", "redrive")
    clean(plan)
    assert "The partner is down, its last answer was HTTP 500: letters that are sent wait" in plan.output
    table(PARTNER, FLOW, Flow(cool_until_ms=10**13).to_item())
    plan = spillway("dlq", "redrive")
    clean(plan)
    assert "The partner asked for a pause: calls go on in" in plan.output


def test_filters_choose(spillway: Callable[..., Result], put: Callable[..., str], queues: Any) -> None:
    """A command acts on every letter that its filters match, and on no other."""
    put(message("a"), **rejected())
    put(message("b", 8), **rejected("8"))
    put(message("c"), **rejected(reason="unmappable"))
    put(message("d", events=3), **rejected())
    chosen = [
        "--reason",
        "rejected",
        "--account",
        "7",
        "--where",
        "length(events) > `2`",
        "--since",
        "1h",
        "--status",
        "422",
    ]
    assert spillway("dlq", "redrive", *chosen, "--yes", "--rate", "100").exit_code == 0
    assert (depth(queues, queues.dead_letter_url), depth(queues, queues.url)) == ((3, 0), (1, 0))
    none = spillway("dlq", "redrive", "--reason", "failed", "--yes")
    assert "No letter matches (reason failed)" in none.output
    bad = spillway("dlq", "list", "--where", "[")
    assert (bad.exit_code, bad.stderr.count("\n")) == (2, 1)


def test_letters_go_into_a_file_and_back_once(
    spillway: Callable[..., Result], put: Callable[..., str], queues: Any
) -> None:
    """Importing an export does not send letters again that are already in the dead-letter queue or the main queue."""
    for number in range(12):
        put(message(f"r{number}"), **rejected())
    assert spillway("dlq", "export", "out.ndjson.gz").exit_code == 0
    assert depth(queues, queues.dead_letter_url) == (12, 0)
    again = spillway("dlq", "export", "out.ndjson.gz")
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)
    assert "12 there already" in spillway("dlq", "import", "out.ndjson.gz", "--yes").output
    typed = spillway("dlq", "purge", "--yes", typed="yes\n")
    assert (typed.exit_code, depth(queues, queues.dead_letter_url)) == (1, (12, 0))
    purged = spillway("dlq", "purge", "--yes", "--why", "test data", typed="purge 12\n")
    assert (purged.exit_code, depth(queues, queues.dead_letter_url)) == (0, (0, 0)), purged.output
    assert "12 letters would go into the dead-letter queue" in spillway("dlq", "import", "out.ndjson.gz").output
    assert "12 sent" in spillway("dlq", "import", "out.ndjson.gz", "--yes").output
    assert depth(queues, queues.dead_letter_url) == (12, 0)
    assert "3 rejected" not in spillway("dlq", "summary").output
    for sent in ("12 sent, 0 there", "0 sent, 12 there"):
        assert sent in spillway("dlq", "import", "out.ndjson.gz", "--to", "queue", "--yes", "--rate", "900").output
    assert depth(queues, queues.url) == (12, 0)
    trail = spillway("trail").output
    assert "dlq purge (all letters), 12 letters" in trail
    assert "dlq import into the main queue, 12 letters" in trail


def test_what_sqs_never_takes_is_said_and_not_promised_for_the_next_run(
    spillway: Callable[..., Result], queues: Any
) -> None:
    """A letter that SQS can never take, from an edited export for example, is reported, and not announced for the next
    run.
    """
    bad = Letter("a", "x" * 1_100_000)
    Path("odd.ndjson.gz").write_bytes(gzip.compress(as_line(bad) + as_line(Letter("b", "y"))))
    done = spillway("dlq", "import", "odd.ndjson.gz", "--yes")
    assert (done.exit_code, depth(queues, queues.dead_letter_url)) == (1, (1, 0))
    assert "SQS takes 1 letter at no time" in done.output
    assert "goes on" not in done.output


def test_the_trail_tells_of_everything_that_is_done_by_hand(spillway: Callable[..., Result]) -> None:
    """The trail has each command, failed ones too, with who, what, why and result, the newest last."""
    assert spillway("trail").output == "Nothing was done by hand in the last 400 days.\n"
    spillway("cooldown", "end", "--why", "the partner called CANARY@example.com")
    spillway("suspensions", "clear", "77", "--why", "new key")
    told = spillway("trail")
    clean(told)
    lines = told.output.splitlines()
    assert "cooldown end of everybody" in lines[0]
    assert lines[1].endswith(": the partner called ***")
    assert "suspensions clear 77" in told.output
    assert "failed: NotSuspended" in told.output
    acts = json.loads(spillway("trail", "--json").output)["acts"]
    assert [one["what"] for one in acts] == ["cooldown end of everybody", "suspensions clear 77"]
    assert acts[0]["who"] not in {"", "somebody unknown"}


def test_ctrl_c_in_a_look_is_said_and_gives_everything_back(
    spillway: Callable[..., Result], put: Callable[..., str], queues: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        put(message(f"r{number}"), **rejected())
    monkeypatch.setattr("ops.operate.dlq.filters.Filter.matches", Mock(side_effect=KeyboardInterrupt))
    done = spillway("dlq", "redrive", "--yes", "--account", "7")
    assert (done.exit_code, done.output.count("\n")) == (130, 1)
    assert "stopped; no letter is lost, and the same command may be given again" in done.output
    assert depth(queues, queues.dead_letter_url) == (3, 0)
    assert not list(Path().glob("dlq-exports/*.gz"))


def test_a_why_of_two_lines_is_refused_before_anything_is_done(spillway: Callable[..., Result]) -> None:
    for verb in (["dlq", "redrive", "--yes"], ["dlq", "purge", "--yes"], ["cooldown", "end"], ["resume"]):
        done = spillway(*verb, "--why", "a\nb")
        assert (done.exit_code, "--why must be one line" in done.output) == (2, True)
    assert spillway("trail").output == "Nothing was done by hand in the last 400 days.\n"
