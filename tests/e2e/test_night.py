"""A night on call, typed from docs/runbook.md alone: refused credentials, malformed events and two incidents at once.

evening    events of accounts 7, 8 and 9 are answered with 400, 10's cannot be mapped; then 7's key is refused
midnight   the partner answers 500 to everybody, while the evening's letters lie there
morning    it is back, and refuses the newest events of account 8
"""

import json
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from ops.local.aws import ROOT, local_aws
from ops.local.partner_api import Behaviour, LoopbackPartner, serve
from ops.operate.dlq.archive import letters_in
from ops.operate.dlq.letters import Letter
from tests.e2e.operated import Operated, operator_keys, until

RUNBOOK = re.findall(r"^ {4}spillway (.+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
GROUPS = {"breaker", "cooldown", "dlq", "dsr", "limit", "suspensions"}
"""Verbs that have verbs."""

MALFORMED = {f"malformed-{number}": 400 for number in range(3)}
"""Account 9's, whatever state the partner is in."""
EVENING = {**{f"late-{number}": 400 for number in range(6)}, "key-late": 400}
MORNING = {f"newest-{number}": 400 for number in range(4)}
DOWN = {f"down-{number}" for number in range(30)}
KEY = {f"key-{number}" for number in range(6)}


def form(line: str) -> tuple[str, ...]:
    """A command without the parts that differ each night: ids, files, times, reasons."""
    words = shlex.split(line, comments=True)
    verbs = [one for one in words[: 2 if words[0] in GROUPS else 1] if not one.startswith("--")]
    return (*verbs, *sorted(one for one in words if one.startswith("--")))


FORMS = set(map(form, RUNBOOK))


@dataclass(frozen=True)
class Night(Operated):
    """The operator on call, who types only commands that the runbook has."""

    def type(self, line: str, *, status: int | None = 0, typed: str | None = None) -> str:
        """Type a command; returns its output, with each line whole."""
        assert form(line) in FORMS, f"the runbook has no such command: {line}"
        return self.spillway(*shlex.split(line), status=status, typed=typed)

    def read(self, line: str) -> str:
        """Type a command; returns its output as one line."""
        return " ".join(self.type(line).split())

    @contextmanager
    def in_another_shell(self, line: str) -> Iterator[None]:
        """Type a command that takes a while; it must succeed by the end of the block."""
        assert form(line) in FORMS, f"the runbook has no such command: {line}"
        shell = self.shell(*shlex.split(line))
        with subprocess.Popen(**shell, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
            yield
            said, _ = running.communicate(timeout=200)
        assert running.returncode == 0, said

    def first_line_says(self, text: str) -> None:
        """The first line of the first screen names the worst problem."""
        until(lambda: text in self.type("status").splitlines()[0], 90)

    def figures(self) -> Mapping[str, int]:
        """The figures of the ledger, which must have no gap."""
        said = self.type("ledger --since 6h")
        return {name: int(count) for name, count in re.findall(r"^ *([a-z][a-z -]*?) {2,}(\d+)$", said, re.MULTILINE)}

    def events_in(self, name: str) -> set[str]:
        """The ids of the events in an export."""
        letters = [one for one in letters_in(self.folder / name) if isinstance(one, Letter)]
        return {event["id"] for one in letters if one.message for event in one.message.payload["events"]}

    def acts(self) -> list[tuple[str, str, str]]:
        """The entries of the trail: the command, its reason and its result."""
        self.type("trail")
        acts = json.loads(self.spillway("trail", "--json"))["acts"]
        assert {one["who"] for one in acts} == {"user/night"}
        return [(one["what"], one["why"], one["result"]) for one in acts]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """A stack on an AWS that allows exactly what the operator's policy does."""
    api = LoopbackPartner(Behaviour())
    with serve(api) as url, local_aws(enforce_iam=True) as aws:
        outputs = aws.deploy(env={"WEBHOOK_URL": url, "WEBHOOK_RATE": "200"})
        yield Night(aws, api, url, outputs, tmp_path_factory.mktemp("shell"), operator_keys(aws, "night"))


def test_a_night_by_the_runbook(night: Night) -> None:
    """The operator finds each cause, sends only the right messages again, everything arrives once, and the ledger has
    no gap.
    """
    evening(night)
    midnight(night)
    cut = morning(night)
    mended = f"dlq redrive --reason rejected --account 8 --since 3h --until {cut}"
    plan = night.read(mended)
    assert "6 letters match" in plan
    assert "5 would now be sent 1 is half delivered and resumes" in plan
    assert "6 of 6 sent" in night.read(f'{mended} --yes --why "they take these again"')
    until(lambda: {"late-0", "late-5"} <= night.arrived() and night.letters() == 10)

    night.api.behave(Behaviour(answers={**MALFORMED, **MORNING}))  # the customer's key is taken again
    with night.in_another_shell('suspensions clear 7 --wait --why "their key was renewed"'):
        until(lambda: "No account is suspended" in night.type("suspensions"))
        of_7 = f"dlq redrive --reason rejected --account 7 --since 3h --until {cut}"
        assert "1 of 1 sent" in night.read(f'{of_7} --yes --why "their key was renewed"')
        night.api.behave(Behaviour(answers=MALFORMED))  # and account 8's newest events
        newest = f"dlq redrive --reason rejected --account 8 --since {cut} --until 0s"
        assert "4 of 4 sent" in night.read(f'{newest} --yes --why "mended as well"')
        away(night, "malformed", reason="rejected", account=9, count=3)
        away(night, "unmapped", reason="unmappable", account=10, count=2)

    expected = {"early", *EVENING, *MORNING, *DOWN, *KEY}
    until(lambda: night.arrived() == expected, 240)  # the messages that a suspension tried are hidden for minutes
    assert Counter(map(len, night.api.ledger.arrivals.values())) == {1: len(expected)}
    assert night.letters() == 0
    until(lambda: night.figures()["delivered"] == len(expected), 30)  # a log's last line may be late
    assert night.figures() == {
        "accepted": len(expected) + 5, "delivered": len(expected), "left out": 0, "waiting": 0, "parked": 0,
        "dead-lettered": 5, "rejected": 3, "unmappable": 2, "gap": 0,
    }  # fmt: skip
    told_in_order(night)
    assert re.findall(r"accepted|dead_letter|delivered 2 events", night.read("trace half"))[:3] == [
        "accepted", "dead_letter", "delivered 2 events",
    ]  # fmt: skip


def evening(night: Night) -> None:
    """There are letters of four kinds, and a customer's key is refused: the screens name them."""
    night.api.behave(Behaviour(answers={**EVENING, **MALFORMED}))
    night.send("key-late", account=7)
    for number in range(5):
        night.send(f"late-{number}", account=8, key="good")
    night.send("early", "late-5", account=8, key="good", request_id="half")
    for one in MALFORMED:
        night.send(one, account=9, key="good")
    for number in range(2):
        night.send(f"unmapped-{number}", account=10, key="a\nkey")
    until(lambda: night.letters() == 12)
    night.api.behave(Behaviour(answers={**EVENING, **MALFORMED}, token="good"))
    for one in KEY:
        night.send(one, account=7)
    night.first_line_says("12 messages are dead-lettered in the last minutes: 10 rejected, 2 unmappable.")
    until(lambda: "account 7: HTTP 401" in night.type("status"))
    assert re.search("^7 +HTTP 401", night.type("suspensions"), re.MULTILINE)
    summary = night.read("dlq summary --since 1h")
    assert "6 rejected, HTTP 400, events, account 8" in summary
    assert "3 rejected, HTTP 400, events, account 9" in summary
    assert "1 rejected, HTTP 400, events, account 7" in summary
    assert "2 unmappable, events, account 10" in summary
    assert "account.account_settings.apiKey: must be set by the customer" in night.read("dlq show request-unmapped-0")
    assert "rejected: HTTP 400 for 1 of 2 deliveries" in night.read("trace half")


def midnight(night: Night) -> None:
    """The partner is down: the first line says so, with the partner's answer; a redrive is planned, and the plan
    advises to wait.
    """
    night.api.behave(Behaviour(answers={**EVENING, **MALFORMED}, token="good", failure_rate=1.0))
    for one in DOWN:
        night.send(one, account=8, key="good")
    night.first_line_says("its last answer was HTTP 500")
    plan = night.read("dlq redrive --since 3h")
    assert (
        "8 would now be sent 1 is half delivered and resumes 1 belongs to an account that is still suspended (7)"
        in plan
    )
    assert "2 are still unmappable" in plan
    assert "The partner is down, its last answer was HTTP 500: letters that are sent wait in the queue" in plan
    assert "Nothing was sent" in plan
    assert not night.arrived() & {*DOWN, *EVENING, *MALFORMED}


def morning(night: Night) -> str:
    """The partner is back, all waiting messages arrive, and there are new letters among the old; returns when these
    began.
    """
    night.api.behave(Behaviour(answers={**MALFORMED, **MORNING}, token="good"))
    night.type('probe --why "they say it is mended"', status=None)  # all may be hidden, and come by themselves
    until(lambda: re.search("breaker +closed", night.type("status")), 90)
    cut = datetime.now(UTC).isoformat()
    for one in MORNING:
        night.send(one, account=8, key="good")
    until(lambda: night.letters() == 16)
    assert "10 rejected, HTTP 400, account 8" in night.read("dlq summary --by reason --by status --by account --by age")
    return cut


def away(night: Night, name: str, *, reason: str, account: int, count: int) -> None:
    """Malformed letters are exported to a file, and deleted after their number is typed."""
    chosen = f"--reason {reason} --account {account}"
    night.type(f"dlq export {name}.ndjson.gz {chosen}")
    assert night.events_in(f"{name}.ndjson.gz") == {f"{name}-{number}" for number in range(count)}
    assert f"{count} letters would be deleted" in night.read(f"dlq purge {chosen}")
    purge = f'dlq purge {chosen} --yes --why "malformed, exported"'
    night.type(purge, status=1, typed="yes")
    assert f"{count} of {count} deleted" in night.type(purge, typed=f"purge {count}")


def told_in_order(night: Night) -> None:
    """The trail has each command with its reason and its result, in order."""
    probe, *acts = night.acts()
    assert probe[:2] == ("probe", "they say it is mended")
    told = [(re.sub(r", (since|until) [^,)]+", "", what), why, result) for what, why, result in acts]
    assert told == [
        ("dlq redrive (reason rejected, account 8), 6 letters", "they take these again", "6 of 6 sent"),
        ("suspensions clear 7", "their key was renewed", "cleared: 7"),
        ("dlq redrive (reason rejected, account 7), 1 letter", "their key was renewed", "1 of 1 sent"),
        ("dlq redrive (reason rejected, account 8), 4 letters", "mended as well", "4 of 4 sent"),
        ("dlq purge (reason rejected, account 9), 3 letters", "malformed, exported", "3 of 3 deleted"),
        ("dlq purge (reason unmappable, account 10), 2 letters", "malformed, exported", "2 of 2 deleted"),
    ]
