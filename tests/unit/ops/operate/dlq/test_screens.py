import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len

from ops.console.screen import Screen
from ops.operate.dlq import progress_bar, screens
from ops.operate.dlq.forecast import Deployed, Fate, Forecast
from ops.operate.dlq.groups import USUAL, Groups
from ops.operate.dlq.letters import Letter
from ops.operate.dlq.plan import Plan
from ops.operate.trail import Act, checked_why, show
from shared.errors import InvalidSettings
from tests.fakes.clock import Clock

NOW_MS = 1_790_000_000_000
HOSTILE = "\x1b[31mCANARY\u202e\n\x00\x9b"


def screen() -> tuple[Screen, io.StringIO]:
    file = io.StringIO()
    return Screen(file=file, width=80, force_terminal=False), file


def letter(**said: str) -> Letter:
    given = {name: {"DataType": "String", "StringValue": value} for name, value in said.items()}
    return Letter("5f0c8a1e-0000-4000-8000-000000000001", HOSTILE, given, NOW_MS - 5_000)


def clean(file: io.StringIO) -> str:
    text = file.getvalue()
    assert all(len(line) <= 80 for line in text.splitlines()), text
    assert text.replace("\n", "").isprintable()
    assert "CANARY" not in text
    return text


@pytest.mark.parametrize("said", ["", HOSTILE, "CANARY", "x" * 5_000, "CANARY@example.com"])
def test_no_screen_shows_what_others_wrote(said: str) -> None:
    """Whatever stands in a letter's attributes and body."""
    one = letter(
        reason=said, error=said, status=said, type=said, account_id=said, history=said, attempts=said, own=said
    )
    console, file = screen()
    screens.heading(console)
    screens.row(one, console, now_ms=NOW_MS)
    screens.show(one, console, now_ms=NOW_MS, reveal=False)
    groups = Groups(now_ms=NOW_MS)
    groups.add(one)
    screens.summary(groups, USUAL, console, now_ms=NOW_MS)
    clean(file)


def test_what_is_revealed_is_spelled_out() -> None:
    """Nothing of it reaches the terminal raw."""
    console, file = screen()
    screens.show(letter(own=HOSTILE), console, now_ms=NOW_MS, reveal=True)
    text = file.getvalue()
    assert text.count("\\x1b[31mCANARY") == 2
    assert text.replace("\n", "").isprintable()


def test_a_long_id_is_shown_whole(body: Callable[..., str]) -> None:
    """Whoever copies it gets all of it: nothing ends in dots."""
    console, file = screen()
    screens.show(replace(letter(reason="failed"), body=body("日" * 90)), console, now_ms=NOW_MS, reveal=True)
    shown = file.getvalue().partition("{")[0]
    assert shown.count("日") == 90
    assert all(cell_len(line) <= 80 for line in shown.splitlines())


@pytest.mark.parametrize(("status", "shown"), [("422", "422  "), ("4220", "other")])
def test_a_row_has_eighty_columns_whatever_is_longest(status: str, shown: str) -> None:
    """Also where something stands there that is not ours, and two days before hours are told in days."""
    console, file = screen()
    longest = {"reason": "unauthorized", "status": status, "type": "audience_membership_change_request"}
    screens.row(letter(**longest, account_id="1234567890123"), console, now_ms=NOW_MS + 119 * 60_000)
    (line,) = clean(file).splitlines()
    assert line == f"5f0c8a1e-0000-4000-8000-000000000001 unauthorized {shown} audience 123456789… 119m"


def test_many_kinds_are_cut_and_said() -> None:
    console, file = screen()
    groups = Groups(now_ms=NOW_MS)
    for number in range(30):
        groups.add(letter(reason="rejected", account_id=str(number)))
    screens.summary(groups, USUAL, console, now_ms=NOW_MS)
    text = clean(file)
    assert "30 dead letters of 30 kinds" in text
    assert "10 more kinds with 10 letters" in text


def test_a_plan_of_another_commit_says_so() -> None:
    """What the live worker has and this checkout has may map differently."""
    console, file = screen()
    plan = Plan()
    plan.add(letter(), Forecast(Fate.SENT, 1))
    screens.show_plan(plan, Deployed(None, "partners.acme", "aaaa"), "bbbb", console, said="reason rejected")
    text = clean(file)
    assert "1 letter matches (reason rejected)" in text
    assert "The live worker is of commit aaaa, this checkout of bbbb" in text


def test_how_far_it_is_is_a_line_now_and_then() -> None:
    """Where there is no terminal: every ten seconds what is new, every minute what is not."""
    console, file = screen()
    clock = Clock()
    with progress_bar.shown(console, 50, "letters sent", clock=clock) as line:
        for second in range(200):
            clock.sleep(1)
            line(min(second, 25), "waiting for live traffic" if second > 25 else "")
    assert clean(file).splitlines() == [
        "9 of 50 letters sent",
        "19 of 50 letters sent",
        "25 of 50 letters sent: waiting for live traffic",
        "25 of 50 letters sent: waiting for live traffic",
        "25 of 50 letters sent: waiting for live traffic",
    ]


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ("", ""),
        ("1 rejected:422", "once; before that rejected 422"),
        ("3 rejected:422 unmappable", "3 times; before that rejected 422, unmappable"),
        ("20", "20 times"),
    ],
)
def test_a_history_is_said_in_words(history: str, said: str) -> None:
    assert screens.history_said(history) == said


def test_the_trail_tells_who_what_why_and_how_it_ended() -> None:
    """What was cut off has no end."""
    console, file = screen()
    acts = [
        Act(NOW_MS, "assumed-role/ops/jane", "dlq redrive (reason rejected), 412 letters", "mended", "412 of 412 sent"),
        Act(NOW_MS, "user/x", "resume"),
        Act(10**30, HOSTILE.replace("CANARY", ""), "w" * 300, HOSTILE.replace("CANARY", ""), "failed: NotSuspended"),
    ]
    show(acts, console)
    text = file.getvalue()
    assert text.replace("\n", "").isprintable()
    assert text.splitlines()[:2] == [
        "2026-09-21 14:13  dlq redrive (reason rejected), 412 letters",
        "                  by assumed-role/ops/jane: mended",
    ]
    assert "no end: it was cut off, or is under way" in text


def test_a_why_is_one_line_without_addresses() -> None:
    assert checked_why(" told jane@example.com ") == "told ***"
    for text in ("a\nb", "x" * 201, "\x1b[31m"):
        with pytest.raises(InvalidSettings, match="--why must be one line"):
            checked_why(text)
