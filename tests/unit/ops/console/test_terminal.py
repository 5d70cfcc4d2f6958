"""Nothing that others wrote reaches the terminal raw, whichever verb prints it."""

import json
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from ops.cli import app
from ops.console import findings
from ops.console.findings import Finding
from ops.console.screen import Screen
from ops.console.terminal import safe, safe_json, say
from ops.operate import erasures, suspensions
from ops.operate.pause import Pause
from ops.operate.suspensions import Listing, Suspended
from ops.releases import listing
from ops.releases.destination import Destination
from ops.releases.functions import Alias, Function, Functions, Version
from shared.receipts import Receipt, receipt_key
from shared.state import Item

OPS = Path(__file__).parents[4] / "ops"

HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b31m",
    "a\rb\x08\x7f\x00",
    "line\nspillway: all is well",
    "\u2028line\u2029",
    "\u202eright to left\u2066\u2069",
    "\ud800",
    "[red]markup[/red] [link=https://x.example]y[/link] :skull:",
    "\U000e0041\u200b\ufeff",
    "7" * 3_000,
]
RAW = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)


def check(printed: str, hostile: str) -> None:
    """Nothing raw, and what was written can still be read."""
    assert not RAW.search(printed)
    assert safe(hostile) in printed.replace("\n", "")


@pytest.fixture(params=[Screen, Console], ids=["our screen", "any console"])
def screen(request: pytest.FixtureRequest) -> Any:
    return request.param(file=StringIO(), width=20_000)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_line_is_one_line_and_shows_what_it_holds(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each character that is not seen as itself is spelled out; what can be seen stays."""
    say(text)
    printed = capsys.readouterr().out
    check(printed, text)
    assert printed.count("\n") == 1
    assert safe("größer 自 🚲") == "größer 自 🚲"


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_json_for_tools_stays_the_same_document(text: str) -> None:
    """Escaped as JSON escapes."""
    document = json.dumps({"a": text, "b": ["größer", 1]}, indent=2, ensure_ascii=False)
    assert json.loads(safe_json(document)) == {"a": text, "b": ["größer", 1]}
    assert not RAW.search(safe_json(document))
    assert "größer" in safe_json(document)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_the_screen_lets_nothing_raw_through(text: str) -> None:
    """Also what a verb forgot to make safe: in a line, in a text, in a table."""
    for forced in (False, True):
        console = Screen(file=StringIO(), width=20_000, force_terminal=forced, color_system=None)
        table = Table("a")
        table.add_row(text)
        for one in (text, Text(text), table):
            console.print(one)
        assert not RAW.search(console.file.getvalue())  # type: ignore[attr-defined]
        assert "markup" not in text or console.file.getvalue().count("[red]") == 3  # type: ignore[attr-defined]


def test_verbs_print_through_one_place() -> None:
    """No module of the tools has a way to the terminal of its own."""
    own = re.compile(
        r"typer\.echo\(|click\.echo\(|(?<![\w.])(?<!def )print\(|(?<!\w)Console\((?!\w*\))|sys\.std(out|err)\.write"
    )
    found = {
        path.relative_to(OPS).as_posix()
        for path in OPS.rglob("*.py")
        if own.search(path.read_text()) and "direct_stack" not in path.parts
    }
    assert found == {"console/terminal.py"}


class FakeTable:
    """The state table of a stage, with what a test puts into it."""

    def __init__(self, items: dict[tuple[str, str], Item]) -> None:
        self.items = items

    async def under(self, _: str) -> dict[tuple[str, str], Item]:
        return self.items

    async def listed(self, pk: str) -> dict[str, Item]:
        return {sk: item for (key, sk), item in self.items.items() if key == pk}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def put(*receipts: tuple[str, dict[str, Any]]) -> None:
        items = {(receipt_key(subject), f"r-{n}"): Item(1, value) for n, (subject, value) in enumerate(receipts)}
        monkeypatch.setattr(erasures, "find_stack", lambda _: SimpleNamespace(state=lambda: FakeTable(items)))

    return put


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("as_json", [False, True])
def test_receipts(text: str, as_json: bool, table: Callable[..., None], screen: Any) -> None:
    """`dsr list` and `dsr status`: ids, accounts and reasons come from requests and partners."""
    table((text, {"account_id": text, "accepted_ms": 1, "dead_lettered_ms": 2, "reason": text}))
    erasures.list_all("dev", only_open=False, as_json=as_json, console=screen)
    erasures.status(text, "dev", as_json=as_json, console=screen)
    erasures.status(f"{text} else", "dev", as_json=as_json, console=screen)
    printed = screen.file.getvalue()
    assert not RAW.search(printed)
    assert as_json or safe(text) in printed


@pytest.mark.parametrize("time_ms", [int("9" * 400), -(10**30), 253_402_300_800_000, "soon", None, True, 1.5, [], {}])
@pytest.mark.parametrize("as_json", [False, True])
def test_one_impossible_time_costs_no_list(time_ms: Any, as_json: bool, table: Callable[..., None]) -> None:
    """The receipt is shown as far as it can be read, and so are all others."""
    odd = {"account_id": "7", "accepted_ms": time_ms, "delivered_ms": time_ms}
    table(("s-odd", odd), ("s-good", {"account_id": "8", "accepted_ms": 1_700_000_000_000}), ("s-empty", {}))
    console = Screen(file=StringIO(), width=2_000)
    erasures.list_all("dev", only_open=False, as_json=as_json, console=console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(name in printed for name in ("s-odd", "s-good", "s-empty"))
    assert as_json or "2023-11-14 22:13 " in printed


def test_a_receipt_reads_times_alone_as_times() -> None:
    """What is none is not known."""
    found = Receipt.from_value("dsr#s", "7 r", {"accepted_ms": "x", "delivered_ms": True, "account_id": "7"})
    assert (found.accepted_ms, found.delivered_ms) == (0, None)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_suspensions(text: str, screen: Any) -> None:
    """`suspensions`: account ids come from requests."""
    rows = [Suspended(text, 401, int("9" * 400), None), Suspended("8", 403, 1, 2)]
    suspensions.show(Listing(rows, 1), screen, now_ms=3)
    check(screen.file.getvalue(), text)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_versions(text: str, screen: Any) -> None:
    """`versions`: commits and notes are texts that Lambda keeps."""

    def function(name: str) -> Function:
        return Function(Alias(name, text, 1, text, text), {1: Version(1, text, text, (1,), Destination(text, (text,)))})

    listing.show(Functions(function("i"), function("w")), screen)
    assert not RAW.search(screen.file.getvalue())
    assert safe(text) in screen.file.getvalue()


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_findings(text: str, screen: Any) -> None:
    """`doctor`, `certify`, `registration --check`, `logo check`, `partner check`: a finding names what it is in."""
    findings.show([Finding(text, text, text)], screen, good="")
    check(screen.file.getvalue(), text)
    findings.show([], screen, good=text)
    assert not RAW.search(screen.file.getvalue())


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_errors_and_pauses(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error's text and an operator's reason are one line each."""
    from shared.errors import SpillwayError

    def fail(*_: object, **__: object) -> None:
        raise SpillwayError(text)

    monkeypatch.setattr(erasures, "list_all", fail)
    done = CliRunner().invoke(app, ["dsr", "list"])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    check(done.stderr, text)
    monkeypatch.setattr("ops.operate.pause.current", lambda _: Pause(text, 1))
    monkeypatch.setattr("ops.operate.pause._mapping_state", lambda _: "Disabled")
    monkeypatch.setattr("ops.operate.stack.find_stack", lambda _: None)
    done = CliRunner().invoke(app, ["pause", "--show"])
    assert done.stdout.count("\n") == 1
    check(done.stdout, text)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_replayed_requests(text: str) -> None:
    """`partner replay`: lines of a file, and what a partner makes of them."""
    request = {"type": "event_processing_request", "id": "r", "events": [{"type": "custom_event", "event_name": text}]}
    case = json.dumps({"name": text, "input": request})
    for options in ([], ["--values"], ["--json"]):
        verb = ["partner", "replay", "--partner", "webhook", *options, "-"]
        done = CliRunner().invoke(
            app, verb, env={"WEBHOOK_URL": "https://p.example/e"}, input=case + "\n{" + ascii(text)
        )
        assert done.exit_code == 0
        assert not RAW.search(done.stdout)
