"""What verbs print can be read on black, on white and at 80 columns."""

import ast
import re
from collections.abc import Iterator
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text
from typer import rich_utils
from typer.testing import CliRunner

from ops import scenarios
from ops.certify import report
from ops.cli import app
from ops.console import findings, screen
from ops.console.findings import Finding, Severity
from ops.console.screen import PIPE_WIDTH, Screen
from ops.console.terminal import line_breaks, say
from ops.demo.figures import Sample
from ops.demo.live_view import SideNow, view
from ops.operate import erasures, suspensions
from ops.operate.suspensions import Suspended
from shared.receipts import Receipt
from testkit.simulation.judge import Figures

OPS = Path(__file__).parents[4] / "ops"
ARN = "arn:aws:lambda:eu-central-1:123456789012:function:spillway-production-ingest:production"
GUID = "3c5a1d2e-0000-4000-8000-00000000000"
NAMED = re.compile(
    r"(?:bold |italic |underline |dim )*"
    r"(?:dim|(?:bright_)?(?:black|red|green|yellow|blue|magenta|cyan|white)|gr[ae]y\d+|color\(\d+\)|#[0-9a-f]{6})"
    r"(?: on .*)?"
)


def luminance(colour: Color) -> float:
    """As WCAG 2 defines it."""
    shares = [one / 255 for one in colour.get_truecolor()]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(colour: Color) -> float:
    """With white or with black, whichever is the weaker."""
    light = luminance(colour)
    return min(1.05 / (light + 0.05), (light + 0.05) / 0.05)


def check_colours(printed: str) -> set[str]:
    """Each colour that is set has its contrast, and nothing is dimmed; gives the colours."""
    colours = set()
    for codes in re.findall(r"\x1b\[([\d;]*)m", printed):
        plain = codes
        for number in re.findall(r"38;5;(\d+)", codes):
            assert contrast(Color.parse(f"color({number})")) >= 3, number
            colours.add(number)
            plain = plain.replace(f"38;5;{number}", "")
        assert set(plain.split(";")) <= {"", "0", "1", "3", "4"}, codes
    return colours


@pytest.fixture(autouse=True)
def styles_of_no_other_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich keeps a style's codes as they were for the first terminal of the process, one of 16 colours maybe."""
    render = Style.render

    def afresh(style: Style, *arguments: Any, **options: Any) -> str:
        style._ansi = None
        return render(style, *arguments, **options)

    monkeypatch.setattr(Style, "render", afresh)
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("CI", raising=False)
    return Screen(file=StringIO(), width=80, force_terminal=True, color_system="256")


@pytest.fixture
def narrow() -> Screen:
    return Screen(file=StringIO(), width=80)


def printed(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def lines(console: Console) -> list[str]:
    return [line.rstrip() for line in printed(console).splitlines()]


@pytest.mark.parametrize("name", ["GOOD", "WARN", "BAD", "DIM", "TEAL", "BLUE", "VIOLET"])
def test_every_colour_can_be_read_on_black_and_on_white(name: str) -> None:
    """A contrast of 3:1 at least; it is of the 256, as a terminal's own sixteen may be anything."""
    colour = Color.parse(getattr(screen, name))
    assert colour.number is not None
    assert colour.number >= 16
    assert contrast(colour) >= 3


def test_the_contrast_is_told() -> None:
    """Black, white, and what was printed before fail; the grey in the middle has the most there is."""
    for weak in ("black", "white", "#00ff00", "#ffff00", "#0000ff"):
        assert contrast(Color.parse(weak)) < 3
    assert contrast(Color.parse("#767676")) == pytest.approx(4.54, abs=0.1)


def styles_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAMED.fullmatch(node.value):
            yield f"{path.relative_to(OPS).as_posix()}:{node.lineno}: {node.value}"


def test_colours_are_named_in_one_place() -> None:
    """No verb has one of its own; the logo's preview is a picture."""
    elsewhere = {OPS / "console/screen.py", OPS / "logo/preview.py"}
    found = [one for path in OPS.rglob("*.py") if path not in elsewhere for one in styles_in(path)]
    assert not found
    assert len(list(styles_in(OPS / "console/screen.py"))) >= 7


@pytest.mark.parametrize("words", [["--help"], ["certify", "--help"], ["partner", "replay", "--help"], ["nothing"]])
def test_help_can_be_read(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Help and a wrong command line: typer's own colours give way, and 80 columns are enough."""
    monkeypatch.setattr(rich_utils, "FORCE_TERMINAL", True)
    monkeypatch.setattr(rich_utils, "COLOR_SYSTEM", "256")
    monkeypatch.setattr(rich_utils, "MAX_WIDTH", 80)
    done = CliRunner().invoke(app, words, color=True)
    assert check_colours(done.output)
    assert "…" not in done.output


def test_bars_can_be_read(terminal: Screen) -> None:
    """Certify's progress and the demo's live table, rich's own parts in them included."""
    with report.progress(terminal, 3) as told:
        told("sends", 1)
    with view(terminal) as shown:
        shown.show(PROGRESS)
    assert len(check_colours(printed(terminal))) >= 5


def test_a_line_ends_between_words(narrow: Screen) -> None:
    """What goes on stands in; a word that is longer than a line is whole, to be copied."""
    narrow.print(Text(f"spillway certify {ARN} and {'words ' * 20}"))
    got = lines(narrow)
    assert got[:2] == ["spillway certify", f"  {ARN}"]
    assert " ".join(printed(narrow).split()) == f"spillway certify {ARN} and {'words ' * 20}".strip()
    assert all(len(line) <= 80 and line.startswith("  words") for line in got[3:])


def test_a_line_keeps_its_indent_and_its_breaks(narrow: Screen) -> None:
    """Lines of one text stay apart; an empty one too; a wide character takes two columns."""
    narrow.print("    " + "word " * 20 + "\n\n" + "自" * 30 + " " + "自" * 30)
    assert lines(narrow) == [
        "    " + " ".join(["word"] * 15),
        "    " + " ".join(["word"] * 5),
        "",
        "自" * 30,
        "  " + "自" * 30,
    ]


def test_a_pipe_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no terminal has a width, nothing is wrapped or cut; COLUMNS gives one."""
    monkeypatch.delenv("COLUMNS", raising=False)
    piped = Screen(file=StringIO())
    piped.print("word " * 1_000)
    assert (piped.width, len(lines(piped))) == (PIPE_WIDTH, 1)
    monkeypatch.setenv("COLUMNS", "80")
    assert Screen(file=StringIO()).width == 80


def test_a_said_line_ends_between_words_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a pipe it is one line."""
    monkeypatch.setenv("COLUMNS", "20")
    text = "paused since monday: all of the words"
    say(text)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    say(text)
    assert capsys.readouterr().out == f"{text}\npaused since monday:\n  all of the words\n"


def test_a_json_document_is_broken_between_its_members() -> None:
    """`partner replay` shows bodies, which have no spaces; a comma within a text stays where it is."""
    line = '    {"kind":"***","names":["***","***"],"of":{"a":1,"b":"one,two"}}'
    breaks, indent = line_breaks(line, 24)
    parts = [line[begin:end] for begin, end in pairwise([0, *breaks, None])]
    assert parts == ['    {"kind":"***",', '"names":["***",', '"***"],"of":{"a":1,', '"b":"one,two"}}']
    assert indent == 4


def test_a_line_that_goes_on_has_less_room() -> None:
    """What follows is indented by two; a word alone is never broken."""
    assert line_breaks("7" * 100_000, 80) == ([], 2)
    breaks, _ = line_breaks("a " * 100_000, 80)
    assert breaks[0] == 80
    assert {after - before for before, after in pairwise(breaks)} == {78}


def test_a_receipt_is_a_line(narrow: Screen) -> None:
    """`dsr list`: mParticle's id is whole, to be given to `dsr status`; what is no id of its is cut, and said to be."""
    odd = Receipt("7" * 300, "r", "9" * 300, 10**400, no_call_ms=1)
    receipts = [
        Receipt(f"{GUID}1", "r", "123456789", 1_700_000_000_000, no_call_ms=1_700_000_001_000),
        Receipt(f"{GUID}2", "r", None, 1_700_000_000_000, dead_lettered_ms=1, reason="unauthorized"),
    ]
    erasures.show([*receipts, odd], narrow)
    got = lines(narrow)
    assert len(got) == 1 + 3 + 1
    assert all(len(line) <= 80 for line in got)
    assert got[1].split() == [f"{GUID}1", "2023-11-14", "22:13", "not", "forwarded", "123456789"]
    assert got[2].split() == [f"{GUID}2", "2023-11-14", "22:13", "dead-lettered", "none"]
    assert "--json" in got[-1]
    wide = Screen(file=StringIO(), width=100)
    erasures.show(receipts, wide)
    assert "dead-lettered as unauthorized  none" in printed(wide)


def test_findings_and_scenarios_fit_into_80_columns(narrow: Screen) -> None:
    """Words are whole, numbers are not cut, and what a band broke is below the table."""
    message = "The alias is not there, and mParticle's first request of a customer will fail with an error. "
    findings.show([Finding("alias.missing", message * 2, "mend " * 40, Severity.WARNING)], narrow, good="")
    figures = Figures("in-flight-suspended", 20, 1_234_567, 0, 0, 12_345, 12_345, 12_345, 0, 12.3)
    figures.broken.append("duplicates: 12,345 of 12")
    scenarios.show([figures], narrow)
    got = lines(narrow)
    assert all(len(line) <= 80 for line in got)
    assert "…" not in printed(narrow)
    numbers = ["20", "1,234,567", "0", "0", "12,345", "12,345", "12,345", "×", "12.3"]
    assert ["in-flight-suspended", *numbers] in [line.split() for line in got]
    assert " ".join(printed(narrow).split()).count(message.strip()) == 2


def test_the_live_table_fits_into_80_columns(terminal: Screen) -> None:
    """A shorter history there: a row is a line, its note beside it."""
    with view(terminal) as shown:
        shown.show(PROGRESS)
    rows = [line.rstrip() for line in re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", printed(terminal)).splitlines()]
    assert any(row.startswith("queue depth") and row.endswith("1,234 being delivered or hidden") for row in rows)
    assert all(len(row) <= 80 for row in rows)


PROGRESS = SideNow(
    side="Spillway", elapsed_s=1.0, requests=100, invoked=40, under_way=2, accepted=38, throttled=1, failed=1,
    events_accepted=76, delivered=20, refused=3, invoked_per_s=20.0, throttled_per_s=1.0, delivered_per_s=10.0,
    partner_rate_per_s=12.0, sample=Sample(1.0, 25, 1234, 4.2, limit_per_s=12.0), oldest_s=4.2,
)  # fmt: skip


def test_suspended_accounts_are_a_line_each(narrow: Screen) -> None:
    """On 80 columns, the longest account whole."""
    now_ms = 1_790_000_000_000
    found = [
        Suspended("9" * 18, 401, now_ms - 260_000_000, now_ms + 170_000, credentials=12),
        Suspended("7", 403, now_ms - 59_000, None),
    ]
    suspensions.show(suspensions.Listing(found, 270), narrow, now_ms=now_ms)
    got = lines(narrow)
    assert len(got) == 4
    assert got[1].startswith("9" * 18 + "  HTTP 401")
    assert got[2].endswith("to be chosen")
