"""What the demo measured: the summary of each side, the timeline, the table and `report.json`.

Pure: invocations and the partner's ledger in, numbers out. `report_page.py` makes the HTML page of the
same numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, floor
from typing import Any

import orjson
from rich.table import Table

from ops.local.mparticle import Invocation, Outcome
from ops.local.partner_api import Ledger

BAD_WHEN_ANY = frozenset({"throttled", "failed", "lost"})
"""The counts that should be nought."""


@dataclass(frozen=True, slots=True)
class QueueSample:
    """The queue at one moment, and how long the oldest undelivered event had waited by then."""

    at_s: float
    visible: int
    in_flight: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Summary:
    """One side's numbers, as they stand in `report.json`."""

    invocations: int
    accepted: int
    throttled: int
    failed: int
    answer_ms_p50: float | None
    """Of the accepted invocations: a throttled one is answered at once and would flatter whoever
    throttles.
    """
    answer_ms_p99: float | None
    events_sent: int
    """In all requests, accepted or not."""
    events_accepted: int
    delivered: int
    """Different events that reached the partner."""
    duplicates: int
    lost: int
    """Events of accepted requests that never reached the partner."""
    refused: int
    """Calls that the partner answered with 429."""
    drain_s: float
    """From the last answer to mParticle until the last delivery."""


@dataclass(frozen=True, slots=True)
class Side:
    """One design's run: what mParticle, the partner and the queue saw. Times share one clock."""

    began_s: float
    invocations: Sequence[Invocation]
    ledger: Ledger
    samples: Sequence[QueueSample] = ()


def percentile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed; None of none."""
    ordered = sorted(values)
    return ordered[max(ceil(share * len(ordered)), 1) - 1] if ordered else None


def summarise(side: Side) -> Summary:
    """Count one side's run. Events are told apart by id, at mParticle's end and at the partner's."""
    by_outcome = {outcome: [one for one in side.invocations if one.outcome is outcome] for outcome in Outcome}
    accepted = by_outcome[Outcome.ACCEPTED]
    answers_ms = [one.answer_ms for one in accepted]
    taken = {event_id for one in accepted for event_id in one.parcel.event_ids}
    answered_s = max((one.started_s + one.answer_ms / 1000 for one in side.invocations), default=side.began_s)
    delivered_s = max(side.ledger.accepted_s, default=answered_s)
    return Summary(
        invocations=len(side.invocations),
        accepted=len(accepted),
        throttled=len(by_outcome[Outcome.THROTTLED]),
        failed=len(by_outcome[Outcome.FAILED]),
        answer_ms_p50=_rounded(percentile(answers_ms, 0.50)),
        answer_ms_p99=_rounded(percentile(answers_ms, 0.99)),
        events_sent=sum(len(one.parcel.event_ids) for one in side.invocations),
        events_accepted=len(taken),
        delivered=side.ledger.delivered,
        duplicates=side.ledger.duplicates,
        lost=len(taken - side.ledger.arrivals.keys()),
        refused=len(side.ledger.refused_s),
        drain_s=round(max(delivered_s - answered_s, 0.0), 1),
    )


def timeline(side: Side) -> list[dict[str, float]]:
    """What happened in each second of the run; queue figures are the last known at its end."""
    moments = [one.started_s for one in side.invocations]
    moments += [*side.ledger.accepted_s, *side.ledger.refused_s, *(sample.at_s for sample in side.samples)]
    seconds = floor(max(moments, default=side.began_s) - side.began_s) + 1

    def per_second(times_s: Iterable[float]) -> list[int]:
        counts = [0] * seconds
        for at_s in times_s:
            counts[min(max(floor(at_s - side.began_s), 0), seconds - 1)] += 1
        return counts

    columns: dict[str, Sequence[float]] = {
        str(outcome): per_second(one.started_s for one in side.invocations if one.outcome is outcome)
        for outcome in Outcome
    }
    columns["delivered"] = per_second(side.ledger.accepted_s)
    columns["refused"] = per_second(side.ledger.refused_s)
    columns |= _queue_columns(side, seconds)
    return [{"t_s": t, **{name: column[t] for name, column in columns.items()}} for t in range(seconds)]


def _queue_columns(side: Side, seconds: int) -> dict[str, Sequence[float]]:
    columns: dict[str, list[float]] = {"queue_visible": [], "queue_in_flight": [], "oldest_s": []}
    samples, known, last = sorted(side.samples, key=lambda sample: sample.at_s), 0, QueueSample(0, 0, 0, 0)
    for second in range(seconds):
        while known < len(samples) and samples[known].at_s - side.began_s < second + 1:
            last = samples[known]
            known += 1
        columns["queue_visible"].append(last.visible)
        columns["queue_in_flight"].append(last.in_flight)
        columns["oldest_s"].append(round(last.oldest_s, 1))
    return {**columns}


def problems(direct: Summary, spillway: Summary) -> list[str]:
    """Why the demo did not show what it should, in words; empty when it did."""
    found = []
    for name, summary in (("direct", direct), ("Spillway", spillway)):
        if summary.lost:
            found.append(f"{name} lost {summary.lost} of {summary.events_accepted} accepted events")
    if spillway.throttled:
        found.append(f"Spillway throttled {spillway.throttled} of {spillway.invocations} requests")
    if spillway.failed:
        found.append(f"Spillway failed {spillway.failed} of {spillway.invocations} requests")
    return found


ROWS = (
    ("Requests sent", "invocations", ""),
    ("Accepted", "accepted", ""),
    ("Throttled (429)", "throttled", ""),
    ("Failed", "failed", ""),
    ("Answer time, median", "answer_ms_p50", " ms"),
    ("Answer time, 99th percentile", "answer_ms_p99", " ms"),
    ("Events in accepted requests", "events_accepted", ""),
    ("Events delivered", "delivered", ""),
    ("Duplicates", "duplicates", ""),
    ("Lost", "lost", ""),
    ("Refused by the partner (429)", "refused", ""),
    ("Time to drain", "drain_s", " s"),
)


def cells(direct: Summary, spillway: Summary) -> list[tuple[str, str, str, str]]:
    """The comparison, a row a number: its name, its label, both sides as text with the unit."""
    rows = []
    for label, name, unit in ROWS:
        shown = []
        for summary in (direct, spillway):
            value = getattr(summary, name)
            shown.append("–" if value is None else f"{value:,}{unit}")
        rows.append((name, label, shown[0], shown[1]))
    return rows


def table(direct: Summary, spillway: Summary) -> Table:
    """The comparison for a terminal."""
    result = Table()
    result.add_column("")
    result.add_column("direct", justify="right")
    result.add_column("Spillway", justify="right", style="bold")
    for name, label, left, right in cells(direct, spillway):
        shown = [
            f"[red]{text}[/]" if name in BAD_WHEN_ANY and getattr(summary, name) else text
            for text, summary in ((left, direct), (right, spillway))
        ]
        result.add_row(label, *shown)
    return result


def as_json(direct: Side, spillway: Side, *, settings: Mapping[str, Any], notes: Sequence[str]) -> bytes:
    """`report.json`: both summaries, what the demo ran with, and each second of both runs."""
    report = {
        "direct": asdict(summarise(direct)),
        "spillway": asdict(summarise(spillway)),
        "settings": dict(settings),
        "timeline": {"direct": timeline(direct), "spillway": timeline(spillway)},
        "notes": list(notes),
    }
    return orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
