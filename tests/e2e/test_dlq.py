"""Dead letters on a deployed stack, with the operator's permissions alone: looked at, planned, sent again."""

import re
from collections.abc import Iterator

import pytest

from ops.local.aws import local_aws
from ops.local.partner_api import Behaviour, LoopbackPartner, serve
from tests.e2e.operated import Operated, operator_keys, until

REFUSED = {f"bad{number}": 400 for number in range(7)}


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    api = LoopbackPartner(Behaviour(answers=REFUSED))
    with serve(api) as url, local_aws(enforce_iam=True) as aws:
        outputs = aws.deploy(env={"WEBHOOK_URL": url, "WEBHOOK_RATE": "200"})
        yield Operated(aws, api, url, outputs, tmp_path_factory.mktemp("shell"), operator_keys(aws, "operator"))


def test_letters_are_seen_planned_and_sent_again_once(operated: Operated) -> None:
    """After a redrive, refused messages arrive once the partner takes them, and calls that had arrived are not
    repeated.
    """
    assert "✓ The dead-letter queue is empty." in operated.spillway("dlq", "summary")
    for number in range(6):
        operated.send(f"bad{number}", account=7)
    operated.send("good", "bad6", account=7, request_id="half")
    until(lambda: operated.letters() == 7, 90)
    assert "7  rejected, HTTP 400, events, account 7" in re.sub(r"\n +", "\n ", operated.spillway("dlq", "summary"))
    (letter,) = re.findall(r"^\S{36}", operated.spillway("dlq", "list", "--id", "half"), re.MULTILINE)
    assert "HTTP 400 for 1 of 2 deliveries" in operated.spillway("dlq", "show", letter)
    plan = operated.spillway("dlq", "redrive", "--reason", "rejected")
    assert "6  would now be sent" in plan
    assert "1  is half delivered and resumes" in plan
    assert "Tried with partners.webhook" in plan
    still = operated.spillway("dlq", "redrive", "--id", letter, "--yes", "--rate", "100", "--why", "a try")
    assert "1 of 1 sent" in still
    until(lambda: operated.letters() == 7, 90)
    assert "once; before that rejected 400" in operated.spillway("dlq", "show", "half")
    operated.api.begin(Behaviour())
    done = operated.spillway("dlq", "redrive", "--reason", "rejected", "--yes", "--rate", "100", "--why", "mended")
    assert "7 of 7 sent" in done
    until(lambda: operated.arrived() == set(REFUSED), 90)
    assert all(len(times) == 1 for times in operated.api.ledger.arrivals.values())
    assert operated.letters() == 0
    assert len(list((operated.folder / "dlq-exports").glob("local-*.ndjson.gz"))) == 2
    trail = operated.spillway("trail")
    assert "dlq redrive (reason rejected), 7 letters" in trail
    assert "by user/operator: mended" in trail
    assert "7 of 7 sent" in trail


def test_a_stack_that_is_not_there_is_said(operated: Operated) -> None:
    """If there is no stack, the command prints one line that says what to do."""
    for verb in (["dlq", "summary"], ["dlq", "redrive"], ["trail"]):
        said = operated.spillway(*verb, "--stage", "nowhere", status=2)
        assert "there is no stack spillway-nowhere" in said
        assert said.count("\n") == 1
