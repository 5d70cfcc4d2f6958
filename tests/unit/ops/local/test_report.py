import json
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from ops.local import report
from ops.local.mparticle import Invocation, Outcome, Parcel
from ops.local.partner_api import Ledger
from ops.local.report import QueueSample, Side, percentile, problems, summarise, timeline

BEGAN_S = 1000.0


def invocation(
    events: Sequence[str], outcome: Outcome = Outcome.ACCEPTED, *, at_s: float = 0.0, answer_ms: float = 10.0
) -> Invocation:
    return Invocation(Parcel(b"{}", tuple(events)), BEGAN_S + at_s, answer_ms, outcome, 200, b"")


def ledger(*arrivals: tuple[str, float]) -> Ledger:
    booked = Ledger()
    for event_id, at_s in arrivals:
        booked.arrivals.setdefault(event_id, []).append(BEGAN_S + at_s)
        booked.accepted_s.append(BEGAN_S + at_s)
    return booked


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([5.0], 0.5, 5.0),
        ([5.0], 0.99, 5.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([1.0, 2.0], 0.51, 2.0),
        ([float(value) for value in range(100, 0, -1)], 0.99, 99.0),
        ([float(value) for value in range(1, 1001)], 0.999, 999.0),
        ([3.0, 1.0, 2.0], 1.0, 3.0),
        ([3.0, 1.0, 2.0], 0.0, 1.0),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(values: list[float], share: float, expected: float) -> None:
    """The nearest rank: the smallest value that the given share of them does not exceed, never one in between."""
    assert percentile(values, share) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    """A side that accepted nothing has no answer times, and says so instead of 0."""
    assert percentile([], 0.99) is None


def test_a_summary_counts_each_outcome() -> None:
    """Requests are told apart by outcome, and events by what became of their request."""
    side = Side(
        BEGAN_S,
        [
            invocation(["a", "b"]),
            invocation(["c", "d"], Outcome.THROTTLED),
            invocation(["e", "f"], Outcome.FAILED),
        ],
        ledger(("a", 1), ("b", 1)),
    )
    counted = summarise(side)
    assert (counted.invocations, counted.accepted, counted.throttled, counted.failed) == (3, 1, 1, 1)
    assert (counted.events_sent, counted.events_accepted, counted.delivered) == (6, 2, 2)


def test_lost_is_what_was_accepted_and_never_arrived() -> None:
    """Events are compared by id: another event's arrival does not make up for a missing one."""
    side = Side(BEGAN_S, [invocation(["a", "b", "c"])], ledger(("a", 1), ("a", 2), ("x", 2)))
    assert summarise(side).lost == 2


def test_an_event_of_a_throttled_request_is_not_lost() -> None:
    """mParticle still has what was not accepted."""
    side = Side(BEGAN_S, [invocation(["a"], Outcome.THROTTLED)], ledger())
    assert summarise(side).lost == 0


def test_a_duplicate_is_each_arrival_beyond_the_first() -> None:
    """Three arrivals of one event are one delivery and two duplicates."""
    side = Side(BEGAN_S, [invocation(["a", "b"])], ledger(("a", 1), ("a", 2), ("a", 3), ("b", 3)))
    assert (summarise(side).delivered, summarise(side).duplicates) == (2, 2)


def test_answer_times_are_of_accepted_requests_only() -> None:
    """A throttled request is answered in no time and would flatter a design that throttles."""
    side = Side(
        BEGAN_S,
        [invocation(["a"], answer_ms=800.0), *[invocation(["b"], Outcome.THROTTLED, answer_ms=1.0)] * 9],
        ledger(),
    )
    assert (summarise(side).answer_ms_p50, summarise(side).answer_ms_p99) == (800.0, 800.0)


def test_draining_lasts_from_the_last_answer_to_the_last_delivery() -> None:
    """The queue's part of the time, not the spike's."""
    side = Side(BEGAN_S, [invocation(["a"], at_s=4.0, answer_ms=500.0)], ledger(("a", 12.5)))
    assert summarise(side).drain_s == 8.0


def test_a_design_that_delivers_before_it_answers_has_nothing_to_drain() -> None:
    """Deliveries before the last answer make a drain of 0, not a negative one."""
    side = Side(BEGAN_S, [invocation(["a"], at_s=4.0, answer_ms=500.0)], ledger(("a", 4.4)))
    assert summarise(side).drain_s == 0.0


def test_a_run_of_nothing_is_all_noughts() -> None:
    """A demo that was stopped at once can still be summarised."""
    counted = summarise(Side(BEGAN_S, [], Ledger()))
    assert (counted.invocations, counted.lost, counted.drain_s, counted.answer_ms_p99) == (0, 0, 0.0, None)


def test_the_timeline_has_every_second_once() -> None:
    """Each invocation and each delivery is in the second in which it began or arrived; empty seconds are there, too."""
    side = Side(
        BEGAN_S,
        [invocation(["a"], at_s=0.0), invocation(["b"], Outcome.THROTTLED, at_s=0.9), invocation(["c"], at_s=2.0)],
        ledger(("a", 2.5), ("c", 4.0)),
    )
    seconds = timeline(side)
    assert [second["t_s"] for second in seconds] == [0, 1, 2, 3, 4]
    assert [second["accepted"] for second in seconds] == [1, 0, 1, 0, 0]
    assert [second["throttled"] for second in seconds] == [1, 0, 0, 0, 0]
    assert [second["delivered"] for second in seconds] == [0, 0, 1, 0, 1]


def test_the_timeline_knows_the_queue_as_it_was_last_seen() -> None:
    """A second without a sample repeats the one before; two samples in a second: the later one counts."""
    samples = [
        QueueSample(BEGAN_S + 0.1, 5, 1, 0.0),
        QueueSample(BEGAN_S + 0.6, 9, 2, 0.5),
        QueueSample(BEGAN_S + 2.1, 0, 0, 0.0),
    ]
    seconds = timeline(Side(BEGAN_S, [], Ledger(), samples))
    assert [second["queue_visible"] for second in seconds] == [9, 9, 0]
    assert [second["queue_in_flight"] for second in seconds] == [2, 2, 0]


CLEAN = summarise(Side(BEGAN_S, [invocation(["a"])], ledger(("a", 1))))


@pytest.mark.parametrize(
    ("direct", "spillway", "expected"),
    [
        ({}, {}, []),
        ({"throttled": 7, "failed": 3}, {}, []),
        ({"lost": 1}, {}, ["direct lost 1 of 1 accepted events"]),
        ({}, {"lost": 1}, ["Spillway lost 1 of 1 accepted events"]),
        ({}, {"throttled": 1}, ["Spillway throttled 1 of 1 requests"]),
        ({}, {"failed": 1}, ["Spillway failed 1 of 1 requests"]),
    ],
)
def test_what_is_a_problem(direct: dict[str, int], spillway: dict[str, int], expected: list[str]) -> None:
    """Losses are one on either side, throttles and failures on Spillway's alone: that direct throttles is the point."""
    assert problems(replace(CLEAN, **direct), replace(CLEAN, **spillway)) == expected


def test_the_json_has_both_sides_the_settings_and_the_timeline() -> None:
    """What a program reads later: every number of the table under its own name."""
    side = Side(BEGAN_S, [invocation(["a"])], ledger(("a", 1)))
    written = json.loads(report.as_json(side, side, settings={"limit": 40}, notes=["once"]))
    fields = "invocations accepted throttled answer_ms_p50 answer_ms_p99 events_sent delivered duplicates lost drain_s"
    for name in ("direct", "spillway"):
        assert set(fields.split()) <= written[name].keys()
        assert len(written["timeline"][name]) == 2
    assert written["settings"] == {"limit": 40}
    assert written["spillway"]["delivered"] == 1


def test_the_table_shows_both_sides_of_every_number() -> None:
    """A person reads the same figures as a program, with units."""
    screen = Console(file=StringIO(), width=100)
    screen.print(report.table(replace(CLEAN, throttled=1234), CLEAN))
    assert isinstance(screen.file, StringIO)
    text = screen.file.getvalue()
    assert "1,234" in text
    assert "10.0 ms" in text
