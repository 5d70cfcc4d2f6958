"""A demo's figures in words: its problems, its verdict, the tables and `report.json`.

`report_page.py` makes the HTML page of the same figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson
from rich.table import Table
from rich.text import Text

from ops.console.screen import BAD
from ops.demo.figures import Customer, Side, Summary, summarise, timeline

BAD_WHEN_ANY = frozenset({"throttled", "failed", "lost", "false_dead_letters", "undelivered"})
"""The counts that should be nought."""
BUSY = 0.25
"""From this share of the processors on, other work may have made a run late: half a core of two."""
DIRECT, SPILLWAY = "direct", "Spillway"
"""The sides' names."""


def problems(sides: Mapping[str, Summary]) -> list[str]:
    """The demo's problems, in words; empty if it showed what it should."""
    found = [
        f"{name} lost {summary.lost} of {summary.events_accepted} accepted events"
        for name, summary in sides.items()
        if summary.lost
    ]
    spillway = sides[SPILLWAY]
    for count, text in (
        (spillway.throttled, f"throttled {spillway.throttled} of {spillway.invocations} requests"),
        (spillway.failed, f"failed {spillway.failed} of {spillway.invocations} requests"),
        (
            spillway.false_dead_letters,
            f"gave up {spillway.false_dead_letters} events that the partner would have taken",
        ),
        (spillway.waiting, f"still had {spillway.waiting} messages to deliver when the demo gave up waiting"),
    ):
        if count:
            found.append(f"{SPILLWAY} {text}")
    return found


def was_too_busy(sides: Mapping[str, Summary]) -> bool:
    """Whether other work on the machine may explain all problems: it can explain late, throttled and failed requests.

    It does not explain lost or falsely dead-lettered events.
    """
    grave = any(one.lost for one in sides.values()) or sides[SPILLWAY].false_dead_letters
    return not grave and any((one.busy_elsewhere or 0) >= BUSY for one in sides.values())


def busy_text(sides: Mapping[str, Summary]) -> str:
    """How much of the machine other work took, and what to do about it."""
    most = max(one.busy_elsewhere or 0 for one in sides.values())
    return f"other work took {100 * most:.0f} % of this machine's processors meanwhile; end it and run the demo again"


def verdict(spillway: Summary) -> str:
    """What happened to the events, in a sentence, if there is no problem."""
    ends = [f"delivered {spillway.delivered:,} of {spillway.events_accepted:,} events"]
    if spillway.parked:
        ends.append(f"parked {spillway.parked:,}")
    if spillway.dead_lettered:
        ends.append(f"gave up {sum(spillway.dead_lettered.values()):,} messages, all of them rightly")
    return f"{SPILLWAY} took all {spillway.invocations:,} requests and {_listed(ends)}; none is lost"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


ROWS = (
    ("Requests sent", "invocations", ""),
    ("Accepted", "accepted", ""),
    ("Throttled (429)", "throttled", ""),
    ("Failed", "failed", ""),
    ("Answer time, median", "answer_ms_p50", " ms"),
    ("Answer time, 99th percentile", "answer_ms_p99", " ms"),
    ("Events in accepted requests", "events_accepted", ""),
    ("Events delivered", "delivered", ""),
    ("Events not delivered yet", "undelivered", ""),
    ("Duplicates", "duplicates", ""),
    ("Lost", "lost", ""),
    ("Refused by the partner (429)", "refused", ""),
    ("Time to drain", "drain_s", " s"),
)
TROUBLE_ROWS = (
    ("Failed by the partner (5xx)", "errors", ""),
    ("Calls during a cool-down", "calls_during_cooldown", ""),
    ("Allowance used while events waited", "allowance_used", "%"),
    ("Events parked", "parked", ""),
    ("Dead letters", "dead_lettered", ""),
    ("Falsely dead-lettered", "false_dead_letters", ""),
)
"""The figures that only a scenario with trouble has."""


def cells(sides: Mapping[str, Summary]) -> list[tuple[str, str, list[str]]]:
    """The comparison, a row a number: its name, its label, and each side's as text with the unit."""
    rows = ROWS if len(sides) > 1 else (*ROWS[:-1], *TROUBLE_ROWS, ROWS[-1])
    return [(name, label, [_text(getattr(one, name), unit) for one in sides.values()]) for label, name, unit in rows]


def _text(value: Any, unit: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {reason}" for reason, count in value.items()) or "0"
    return f"{100 * value:.0f} %" if unit == "%" else f"{value:,}{unit}"


def table(sides: Mapping[str, Summary]) -> Table:
    """The comparison for a terminal."""
    result = Table()
    result.add_column("")
    for name in sides:
        result.add_column(name, justify="right", style="bold" if name == SPILLWAY else "")
    for name, label, texts in cells(sides):
        shown = [
            Text(text, style=BAD) if name in BAD_WHEN_ANY and getattr(summary, name) else text
            for text, summary in zip(texts, sides.values(), strict=True)
        ]
        result.add_row(label, *shown)
    return result


def customers_table(summary: Summary) -> Table:
    """Each customer's events for a terminal."""
    result = Table()
    for heading in ("customer", "events", "delivered", "parked", "dead", "median", "p99"):
        result.add_column(heading, justify="left" if heading == "customer" else "right")
    for one in summary.customers:
        result.add_row(*customer_cells(one))
    return result


def customer_cells(one: Customer) -> list[str]:
    """A customer's row: its name, its events, their ends, their times."""
    counts = [f"{count:,}" for count in (one.accepted, one.delivered, one.parked, one.dead)]
    times = ["–" if value is None else f"{value:,.1f} s" for value in (one.p50_s, one.p99_s)]
    return [f"{one.account_id} {one.name}".strip(), *counts, *times]


def as_json(sides: Mapping[str, Side], *, scenario: str, settings: Mapping[str, Any], notes: Sequence[str]) -> bytes:
    """`report.json`: each side's summary by its name in small letters, what the demo ran with, and each second."""
    report = {
        "scenario": scenario,
        **{name.lower(): asdict(summarise(side)) for name, side in sides.items()},
        "settings": dict(settings),
        "timeline": {name.lower(): timeline(side) for name, side in sides.items()},
        "notes": list(notes),
    }
    return orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
