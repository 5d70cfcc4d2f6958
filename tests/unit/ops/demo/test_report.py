import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from ops.demo import report
from ops.demo.figures import Customer, Expected, Letter, Remains, Sample, Side, summarise
from ops.demo.report import problems
from ops.local.mparticle import Ended
from tests.unit.ops.demo.sides import BEGAN_S, invocation, ledger

CLEAN = summarise(Side(BEGAN_S, [invocation(["a"])], ledger(("a", 1))))


@pytest.mark.parametrize(
    ("direct", "spillway", "expected"),
    [
        ({}, {}, []),
        ({"throttled": 7, "failed": 3}, {}, []),
        ({"lost": 1}, {}, ["direct lost 1 of 1 accepted events"]),
        ({}, {"lost": 1}, ["Spillway lost 1 of 1 accepted events"]),
        ({}, {"throttled": 2}, ["Spillway throttled 2 of 1 requests"]),
        ({}, {"failed": 2}, ["Spillway failed 2 of 1 requests"]),
        ({}, {"false_dead_letters": 2}, ["Spillway gave up 2 events that the partner would have taken"]),
        ({}, {"waiting": 3}, ["Spillway still had 3 messages to deliver when the demo gave up waiting"]),
        ({}, {"duplicates": 5, "refused": 9, "drain_s": 300.0, "parked": 4, "dead_lettered": {"rejected": 1}}, []),
    ],
)
def test_the_demo_held_unless_something_was_lost_or_spillway_throttled(
    direct: dict[str, int], spillway: dict[str, int], expected: list[str]
) -> None:
    """The exit status hangs on this: direct may throttle and fail, nobody may lose, Spillway may do none of it."""
    assert problems({"direct": replace(CLEAN, **direct), "Spillway": replace(CLEAN, **spillway)}) == expected


def test_the_report_is_json_with_both_sides_and_each_second() -> None:
    """`report.json` has what a program asks for: both summaries, the settings, the timeline, the notes."""
    sides = {
        "direct": Side(BEGAN_S, [invocation(["a"], Ended.THROTTLED)], ledger(), [Sample(BEGAN_S + 1.5, 1, 0, 0.0)]),
        "Spillway": Side(BEGAN_S, [invocation(["a"])], ledger(("a", 1.0))),
    }
    written = json.loads(report.as_json(sides, scenario="spike", settings={"limit": 40}, notes=["once"]))
    fields = "invocations accepted throttled answer_ms_p50 answer_ms_p99 events_sent delivered duplicates lost drain_s"
    trouble = "dead_lettered false_dead_letters refused allowance_used calls_during_cooldown customers"
    for name in ("direct", "spillway"):
        assert {*fields.split(), *trouble.split()} <= written[name].keys()
        assert len(written["timeline"][name]) == 2
    assert (written["scenario"], written["settings"], written["notes"]) == ("spike", {"limit": 40}, ["once"])
    assert written["spillway"]["delivered"] == 1


def test_the_table_shows_both_sides_of_every_number() -> None:
    """A person reads the same figures as a program, with units."""
    screen = Console(file=StringIO(), width=100)
    screen.print(report.table({"direct": replace(CLEAN, throttled=1234), "Spillway": CLEAN}))
    assert isinstance(screen.file, StringIO)
    text = screen.file.getvalue()
    assert "1,234" in text
    assert "10.0 ms" in text


def test_spillway_alone_has_the_numbers_of_trouble() -> None:
    """A scenario's table tells of dead letters by reason, of the allowance in per cent, and of its customers."""
    screen = Console(file=StringIO(), width=100)
    troubled = replace(CLEAN, dead_lettered={"rejected": 21}, allowance_used=0.863)
    screen.print(report.table({"Spillway": troubled}))
    screen.print(report.customers_table(replace(troubled, customers=[Customer(7, "late", 9, 8, 0, 1, 1.0, 2.0)])))
    assert isinstance(screen.file, StringIO)
    text = screen.file.getvalue()
    for shown in ("21 rejected", "86 %", "7 late", "2.0 s"):
        assert shown in text


def test_what_was_not_delivered_is_counted_and_has_no_time_to_drain() -> None:
    """A backlog that is left is a number of events; the last delivery before it is no end of the drain."""
    run = Side(
        BEGAN_S,
        [invocation(["a", "b"]), invocation(["c", "d"]), invocation(["dead", "parked"])],
        ledger(("a", 1), ("b", 8)),
        remains=Remains([Letter("rejected", "HTTP 400", ("dead",))], frozenset({"parked"}), waiting=1),
        expected=Expected(never=frozenset({"dead"})),
    )
    counted = summarise(run)
    assert (counted.undelivered, counted.lost, counted.drain_s) == (2, 0, None)
    shown = {label: texts for _, label, texts in report.cells({"Spillway": counted})}
    assert shown["Time to drain"] == ["–"]
    assert shown["Events not delivered yet"] == ["2"]


@pytest.mark.parametrize(
    ("spillway", "busy", "expected"),
    [
        ({"throttled": 9}, 0.6, True),
        ({"waiting": 3, "undelivered": 3}, 0.25, True),
        ({"throttled": 9}, 0.1, False),
        ({"throttled": 9}, None, False),
        ({"throttled": 9, "lost": 1}, 0.6, False),
        ({"false_dead_letters": 1}, 0.6, False),
    ],
)
def test_a_busy_machine_explains_what_is_late_and_nothing_else(
    spillway: dict[str, int], busy: float | None, expected: bool
) -> None:
    """Other work on the processors may throttle or delay requests; it loses no event and gives up none."""
    assert report.was_too_busy({"Spillway": replace(CLEAN, **spillway, busy_elsewhere=busy)}) is expected
