"""`spillway partner check` as a person runs it: partners in files, two processes, words and status."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.partner.check import TRIAL_TIMEOUT_S, Checked, check
from shared.errors import InvalidSettings

PARTNER = """
import datetime, os, socket, sys, time
from collections.abc import Iterable
from partners.base import Delivery, Partner
from shared.firehose import EnvironmentType, EventProcessingRegistration, EventType, Registration
from shared.message import to_json

SEEN = []

class Mine(Partner):
    name = "mine"

    def registration(self):
        return Registration(name="Mine", version="1", event_processing_registration=EventProcessingRegistration(
            supported_event_types=[EventType.CUSTOM_EVENT], supported_runtime_environments=list(EnvironmentType)))

    def deliveries(self, request):
        for index, event in enumerate(request.events):
            content = {{"id": event.id}}
            {line}
            yield Delivery("https://api.mine.example/", to_json(content), event.id or str(index),
                           headers={{"Content-Type": "application/json"}})
"""


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Check a partner with one line more in its mapping."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(line: str = "pass", *, timeout_s: float = TRIAL_TIMEOUT_S, text: str = PARTNER) -> Checked:
        (tmp_path / "mine_partner.py").write_text(text.format(line=line))
        return check("mine_partner", {}, count=1, seed=0, timeout_s=timeout_s)

    return run


def test_a_partner_that_keeps_its_promises_passes(checked: Any) -> None:
    """No finding, and how much was tried."""
    passed = checked()
    assert passed.findings == []
    assert passed.requests > 20
    assert passed.deliveries > 160


@pytest.mark.parametrize(
    "line",
    [
        'content["kinds"] = list({"a", "b", "c", "d", "e", "f", "g", "h"})',
        'content["hash"] = hash(event.id or "")',
        'content["at"] = str(datetime.datetime.fromtimestamp(0))',
        'SEEN.append(event.id) if event.id not in SEEN else None; content["turn"] = SEEN.index(event.id)',
    ],
    ids=["order of a set", "hash", "local time", "what was mapped before"],
)
def test_what_differs_between_processes_is_found(line: str, checked: Any) -> None:
    """Mapped twice in one process it is the same; the other process shows it."""
    assert [one.id for one in checked(line).findings] == ["mapping.unstable"]


def test_impure_lines_are_named(checked: Any) -> None:
    """A finding for each thing that it does, with file and line."""
    line = 'time.time(), os.environ.get("X"), open("/etc/hostname").close(), socket.create_connection(("192.0.2.1", 9))'
    findings = checked(line).findings
    assert {one.id for one in findings} == {"mapping.impure"}
    does = ("reads the clock", "reads the environment", "reads or changes files", "opens a socket")
    assert {one.message for one in findings} == {f"The mapping {what}: mine_partner.py:20." for what in does}


@pytest.mark.parametrize(("line", "identity"), [("os._exit(3)", "mapping.dies"), ("sys.exit(3)", "mapping.dies")])
def test_a_mapping_that_ends_its_process_is_found(line: str, identity: str, checked: Any) -> None:
    """The check itself goes on."""
    assert [one.id for one in checked(line).findings] == [identity]


def test_a_mapping_without_an_end_is_ended(checked: Any) -> None:
    """After a while both processes are stopped, and the finding says so."""
    assert [one.id for one in checked("while True: pass", timeout_s=3.0).findings] == ["mapping.endless"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_like_it", "ModuleNotFoundError in mine_partner.py:1"),
        ("def f(:", "SyntaxError"),
        ("from partners.base import Partner\nclass Mine(Partner):\n    name = 'mine'", "abstract"),
    ],
)
def test_a_partner_that_cannot_be_made_is_found(text: str, said: str, checked: Any) -> None:
    """A fault of its file is a finding in one line."""
    (one,) = checked(text=text).findings
    assert one.id == "partner.broken"
    assert said in one.message


@pytest.mark.parametrize(
    ("env", "module", "said"),
    [({}, "partners.nobody", "no such module"), ({}, "partners.webhook", "WEBHOOK_URL")],
)
def test_what_cannot_be_checked_is_said(env: dict[str, str], module: str, said: str) -> None:
    """No such partner, or its environment is not set: no finding, but an error."""
    with pytest.raises(InvalidSettings, match=said):
        check(module, env, count=1, seed=0)


def test_a_sample_that_is_none_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checked: Any) -> None:
    """A file among the samples that holds no request stops the check with its name."""
    samples = tmp_path / "tests/fixtures/partners/mine_partner"
    samples.mkdir(parents=True)
    (samples / "event.json").write_text("[]")
    checked()
    with pytest.raises(InvalidSettings, match=r"event\.json holds no request"):
        check("mine_partner", {}, count=1, seed=0, root=tmp_path)


def test_the_command_prints_findings_as_json_and_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 1 and the document of ops/console/findings.py; without findings status 0 and a sentence."""
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "its"
    package.mkdir()
    (package / "mine.py").write_text(PARTNER.format(line="time.time()"))
    runner = CliRunner()
    done = runner.invoke(app, ["partner", "check", "its.mine", "--requests", "1", "--json"])
    assert done.exit_code == 1
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["id"], finding["severity"]) == ("mapping.impure", "error")
    done = runner.invoke(
        app, ["partner", "check", "webhook", "--requests", "1"], env={"WEBHOOK_URL": "https://partner.example/e"}
    )
    assert done.exit_code == 0, done.output
    assert "✓ webhook keeps its promises" in done.stdout
    done = runner.invoke(app, ["partner", "check", "../webhook"])
    assert done.exit_code == 2


@pytest.mark.parametrize(
    ("module", "env"),
    [
        ("partners.webhook", {"WEBHOOK_URL": "https://hook.example/"}),
        ("partners.iterable", {}),
        ("partners.iterable", {"ITERABLE_MODE": "bulk"}),
        ("partners.amplitude", {}),
    ],
)
def test_our_own_partners_keep_their_promises(module: str, env: dict[str, str]) -> None:
    """Whatever a field holds, it costs its own event or profile, and no time."""
    checked = check(module, env, count=2, seed=0)
    assert [(one.id, one.message) for one in checked.findings] == []
    assert checked.deliveries > 50
