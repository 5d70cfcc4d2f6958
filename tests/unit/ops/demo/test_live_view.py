from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from ops.demo.figures import Sample
from ops.demo.live_view import LiveView, PlainView, SideNow, sparkline, view

PROGRESS = SideNow(
    side="Spillway", elapsed_s=1.0, requests=100, invoked=40, under_way=2, accepted=38, throttled=0, failed=0,
    events_accepted=76, delivered=20, refused=3, invoked_per_s=20.0, throttled_per_s=0.0, delivered_per_s=10.0,
    partner_rate_per_s=12.0, sample=Sample(1.0, 25, 3, 4.2), oldest_s=4.2,
)  # fmt: skip


@pytest.fixture
def screen() -> StringIO:
    return StringIO()


def test_plain_lines_come_every_few_seconds(screen: StringIO) -> None:
    """A log gets a line at 5 s and at 10 s, not one for each of twenty moments."""
    plain = PlainView(Console(file=screen, width=200))
    for moment in range(24):
        plain.show(replace(PROGRESS, elapsed_s=moment / 2))
    lines = screen.getvalue().splitlines()
    assert len(lines) == 2
    assert "40/100 invoked, 38 accepted, 0 throttled, 20/76 events delivered, queue 28, oldest 4 s" in lines[0]


def test_the_next_side_begins_its_own_lines(screen: StringIO) -> None:
    """The time between two lines is counted anew for each side."""
    plain = PlainView(Console(file=screen, width=200))
    plain.show(replace(PROGRESS, side="direct", elapsed_s=50.0, sample=None))
    plain.show(replace(PROGRESS, elapsed_s=6.0))
    lines = screen.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["direct", "Spillway"]
    assert "queue" not in lines[0]


def test_a_line_says_what_is_out_of_the_ordinary(screen: StringIO) -> None:
    """The partner's outage, the breaker, a stopped intake, what was parked or given up; nothing while all is well."""
    plain = PlainView(Console(file=screen, width=200))
    trouble = Sample(1.0, 25, 3, 4.2, parked=2, breaker_open=True, paused=True)
    plain.show(replace(PROGRESS, elapsed_s=6.0))
    plain.show(replace(PROGRESS, elapsed_s=12.0, sample=trouble, partner_down=True))
    calm, line = screen.getvalue().splitlines()
    assert calm.endswith("oldest 4 s")
    assert line.endswith("oldest 4 s; partner down, breaker open, intake stopped, 2 parked")


def test_without_a_terminal_there_are_plain_lines(screen: StringIO) -> None:
    """A pipe gets no control sequences."""
    with view(Console(file=screen)) as shown:
        shown.say("hello")
        assert isinstance(shown, PlainView)
    assert screen.getvalue() == "hello\n"


def test_in_ci_there_are_plain_lines_even_on_a_terminal(screen: StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many CI systems give a terminal and then keep every frame of it."""
    monkeypatch.setenv("CI", "true")
    with view(Console(file=screen, force_terminal=True)) as shown:
        assert isinstance(shown, PlainView)


def test_a_terminal_gets_the_live_table(screen: StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has a row for each thing there is to see, and the one for the queue only where there is one."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    console = Console(file=screen, force_terminal=True, width=120)
    with view(console) as shown:
        assert isinstance(shown, LiveView)
        shown.show(PROGRESS)
    text = screen.getvalue()
    for words in (
        "invocations",
        "throttled",
        "queue depth",
        "deliveries",
        "oldest waiting",
        "10 / s of 12",
        "3 refused",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("levels", "expected"),
    [([], ""), ([0.0, 0.0], "  "), ([1.0, 8.0], "▁█"), ([0.0, 4.0, 8.0], " ▄█"), ([0.001, 100.0], "▁█")],
)
def test_a_sparkline_is_as_high_as_its_level(levels: list[float], expected: str) -> None:
    """The largest is full, nought is blank, and anything above nought can be seen."""
    assert sparkline(levels) == expected
