"""The demo's report as one HTML page: the verdict, the figures, the plots. Needs no network and no script."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import floor
from pathlib import Path
from string import Template
from typing import Any

from ops.demo import charts
from ops.demo.figures import Side, Summary, summarise, timeline, waits_s
from ops.demo.report import BAD_WHEN_ANY, DIRECT, SPILLWAY, busy_text, cells, customer_cells, problems, was_too_busy
from ops.demo.scenarios import HEALTHY, DemoScenario
from ops.demo.settings import DemoSettings
from ops.local.mparticle import Outcome

TEMPLATE = Path(__file__).with_name("report.html.tmpl")
MPARTICLE_LIMIT_MS = 200
"""mParticle asks that 99 % of the invocations be answered within this."""
SECONDS = "seconds since the first request"
COLOURS = ("healthy", "flooding", "locked")

Row = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Page:
    """The figures on the cards."""

    scenario: DemoScenario
    settings: DemoSettings
    sides: Mapping[str, Side]
    summaries: Mapping[str, Summary]
    rows: Mapping[str, Sequence[Row]]

    @property
    def span(self) -> int:
        return max(len(seconds) for seconds in self.rows.values())

    @property
    def spillway(self) -> Summary:
        return self.summaries[SPILLWAY]

    def series(self, label: str, css: str, side: str, name: str) -> charts.Series:
        """One column of a side's timeline, as long as the longest one."""
        values = [second[name] for second in self.rows[side]]
        return charts.Series(label, css, range(self.span), [*values, *([0] * (self.span - len(values)))])

    def outages(self) -> list[charts.Span]:
        expected = self.sides[SPILLWAY].expected
        return [charts.Span("the partner is down", "down", begin_s, end_s) for begin_s, end_s in expected.outages]


def render(
    scenario: DemoScenario,
    sides: Mapping[str, Side],
    *,
    settings: DemoSettings,
    shown: Mapping[str, Any],
    notes: Sequence[str],
) -> str:
    """The page for one demo; `shown` are the settings as the report has them."""
    summaries = {name: summarise(side) for name, side in sides.items()}
    page = _Page(scenario, settings, sides, summaries, {name: timeline(side) for name, side in sides.items()})
    found = problems(summaries)
    figures, cards = _compared(page) if DIRECT in sides else _alone(page)
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        kicker=escape("make demo" if scenario.compares else f"make demo SCENARIO={scenario.name}"),
        title=escape(scenario.title),
        story=escape(scenario.story.format(**shown)),
        verdict_class="bad" if found else "good",
        verdict=escape(_verdict(found, summaries)),
        figures="".join(figures),
        cards="".join(cards),
        sides="".join(f"<th>{escape(name)}</th>" for name in sides),
        rows="".join(_row(row, summaries) for row in cells(summaries)),
        settings="".join(
            f"<div><dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(_setting(value))}</dd></div>"
            for name, value in shown.items()
        ),
        notes="".join(f"<li>{escape(note)}</li>" for note in notes),
    )


def _verdict(found: Sequence[str], summaries: Mapping[str, Summary]) -> str:
    if not found:
        return "Spillway: nothing throttled, nothing lost, nothing given up"
    told = "; ".join(found)
    if was_too_busy(summaries):
        return f"{told}. Too busy to tell: {busy_text(summaries)}"
    return told


def _row(row: tuple[str, str, list[str]], summaries: Mapping[str, Summary]) -> str:
    name, label, texts = row
    cells_html = "".join(
        f"<td{' class=bad' if name in BAD_WHEN_ANY and getattr(summary, name) else ''}>{escape(text)}</td>"
        for text, summary in zip(texts, summaries.values(), strict=True)
    )
    return f"<tr><th scope='row'>{escape(label)}</th>{cells_html}</tr>"


def _figure(label: str, value: str, unit: str, beside: str, *, bad: bool = False) -> str:
    small = f" <small>{escape(unit)}</small>" if unit else ""
    css = "card bad" if bad else "card"
    return (
        f'<div class="{css}"><span>{escape(label)}</span><b>{escape(value)}{small}</b>'
        f'<span class="of">{escape(beside)}</span></div>'
    )


def _card(title: str, caption: str, content: str, *, wide: bool = False) -> str:
    css = "card wide" if wide else "card"
    return f'<figure class="{css}"><h2>{escape(title)}</h2><figcaption>{escape(caption)}</figcaption>{content}</figure>'


def _compared(page: _Page) -> tuple[list[str], list[str]]:
    """Direct against Spillway."""
    left, right = page.summaries[DIRECT], page.spillway
    figures = [
        _figure(
            "Throttled",
            f"{right.throttled:,}",
            "",
            f"direct: {left.throttled:,} of {left.invocations:,} ({_share(left.throttled, left.invocations)})",
            bad=right.throttled > 0,
        ),
        _figure("Lost", f"{right.lost:,}", "", f"direct: {left.lost:,} of what it accepted", bad=right.lost > 0),
        _figure("99 % answered within", _shown(right.answer_ms_p99), "ms", f"direct: {_shown(left.answer_ms_p99)} ms"),
        _drained(right, f"direct: {_seconds(left.drain_s)} s, nothing waits there"),
    ]
    partner = charts.lines(
        [
            page.series("direct", "direct", DIRECT, "delivered"),
            page.series(SPILLWAY, "spillway", SPILLWAY, "delivered"),
        ],
        title="Deliveries to the partner a second",
        x_label=SECONDS,
        y_label="deliveries / s",
        marks=[_allowance(page)],
    )
    answers = charts.at_each_width(
        lambda width: charts.histogram(
            [(name, name.lower(), _answers_ms(side)) for name, side in page.sides.items()],
            title="How long mParticle waited for the answer to an accepted request",
            marks=[
                charts.Mark(f"mParticle's limit for p99: {MPARTICLE_LIMIT_MS} ms", MPARTICLE_LIMIT_MS),
                charts.Mark(f"Spillway's p99: {_shown(right.answer_ms_p99)} ms", right.answer_ms_p99 or 1, "spillway"),
                charts.Mark(f"direct's p99: {_shown(left.answer_ms_p99)} ms", left.answer_ms_p99 or 1, "direct"),
            ],
            width=width,
        )
    )
    cards = [
        _card(
            "Direct: what mParticle sent",
            "Every execution waits for the partner; what is above the limit is throttled.",
            _invocations(page, DIRECT),
        ),
        _card(
            "Spillway: what mParticle sent",
            "The same requests at the same times, on the same scale.",
            _invocations(page, SPILLWAY),
        ),
        _card(
            "The spike, as the queue held it",
            "Messages between ingest and the partner. The direct design has no such place.",
            _queue(page),
        ),
        _card(
            "The partner's side",
            "Events that arrived. Spillway keeps going at the rate it is sized for until all are delivered.",
            partner,
        ),
        _card(
            "How long mParticle waited",
            "Answer times of accepted requests, each design's share; the embedded AWS's own milliseconds are in both.",
            answers,
            wide=True,
        ),
    ]
    return figures, cards


def _alone(page: _Page) -> tuple[list[str], list[str]]:
    """Spillway through some trouble."""
    summary = page.spillway
    letters = sum(summary.dead_lettered.values())
    figures = [
        _figure(
            "Lost", f"{summary.lost:,}", "", f"of {summary.events_accepted:,} accepted events", bad=summary.lost > 0
        ),
        _figure(
            "Falsely given up",
            f"{summary.false_dead_letters:,}",
            "",
            f"of {letters:,} dead letters" if letters else "no dead letters at all",
            bad=summary.false_dead_letters > 0,
        ),
        _drained(summary, "") if summary.undelivered else _told(page),
        _figure(
            "Throttled at ingest",
            f"{summary.throttled:,}",
            "",
            f"99 % of {summary.invocations:,} answered within {_shown(summary.answer_ms_p99)} ms",
            bad=summary.throttled > 0,
        ),
    ]
    cards = [
        _card(
            "The partner's side",
            "Calls a second by what it answered: taken, refused with 429, failed with 5xx.",
            _partner(page),
            wide=True,
        ),
        _card(
            "What the fleet agreed on",
            "The limit that all workers share, as the state table had it; below it, when nobody was to call.",
            _agreed(page),
            wide=True,
        ),
        _card("What mParticle sent", "Requests a second, by how they were answered.", _invocations(page, SPILLWAY)),
        _card(
            "Where messages waited", "Visible, being delivered or hidden until they make sense, parked.", _queue(page)
        ),
        _card(
            "How long events took",
            "From the answer to mParticle until the partner had them, the slowest of those accepted in a second.",
            _delays(page),
            wide=True,
        ),
        _customers(page),
        _letters(page),
    ]
    return figures, cards


def _drained(summary: Summary, beside: str) -> str:
    """How long the backlog took, or how much of it is left."""
    if summary.undelivered:
        left = f"of {summary.events_accepted:,} accepted events, in {summary.waiting:,} messages"
        return _figure("Not delivered when the demo gave up", f"{summary.undelivered:,}", "", left, bad=True)
    return _figure("Drained after the last request", f"{summary.drain_s or 0:g}", "s", beside)


def _told(page: _Page) -> str:
    """The one figure that a scenario is about."""
    summary, side = page.spillway, page.sides[SPILLWAY]
    match page.scenario.name:
        case "outage":
            down = page.settings.outage_s
            return _figure("Calls while it was down", f"{summary.errors:,}", "", f"in {down:g} s, by the whole fleet")
        case "throttle":
            calls = len(side.ledger.calls)
            return _figure(
                "Allowance used while events waited",
                _percent(summary.allowance_used),
                "",
                f"{summary.refused:,} of {calls:,} calls refused ({_share(summary.refused, calls)})",
            )
        case "noisy":
            p99_s = {one.account_id: one.p99_s for one in summary.customers}
            others = [value for account, value in p99_s.items() if account != HEALTHY and value is not None]
            return _figure(
                "The healthy customer's p99",
                _seconds(p99_s.get(HEALTHY)),
                "s",
                f"the flood's: {_seconds(max(others, default=None))} s",
            )
        case _:
            return _figure("Delivered", f"{summary.delivered:,}", "", f"{summary.duplicates:,} of them twice")


def _invocations(page: _Page, side: str) -> str:
    busiest = max((sum(row[outcome] for outcome in Outcome) for rows in page.rows.values() for row in rows), default=1)
    return charts.stacked_bars(
        [page.series(str(outcome), str(outcome), side, outcome) for outcome in Outcome],
        title=f"Invocations a second, {side}",
        x_label=SECONDS,
        y_label="invocations / s",
        y_top=busiest,
    )


def _queue(page: _Page) -> str:
    hidden = "being delivered" if page.scenario.compares else "delivered now, or hidden"
    series = [
        page.series("waiting", "spillway", SPILLWAY, "queue_visible"),
        page.series(hidden, "delivering", SPILLWAY, "queue_in_flight"),
    ]
    if any(row["parked"] for row in page.rows[SPILLWAY]):
        series.append(page.series("parked", "parked", SPILLWAY, "parked"))
    return charts.lines(
        series,
        title="Messages in Spillway's queues",
        x_label=SECONDS,
        y_label="messages",
        spans=page.outages(),
        fill=True,
    )


def _partner(page: _Page) -> str:
    series = [
        page.series("taken", "spillway", SPILLWAY, "delivered"),
        page.series("refused (429)", "throttled", SPILLWAY, "refused"),
        page.series("failed (5xx)", "errors", SPILLWAY, "errors"),
    ]
    return charts.at_each_width(
        lambda width: charts.lines(
            [one for one in series if any(one.y)],
            title="Calls to the partner a second",
            x_label=SECONDS,
            y_label="calls / s",
            marks=[_allowance(page)],
            spans=page.outages(),
            width=width,
        )
    )


def _allowance(page: _Page) -> charts.Mark:
    rate_per_s = page.settings.partner_rate
    return charts.Mark(f"the partner's limit: {rate_per_s:g} / s", rate_per_s)


def _agreed(page: _Page) -> str:
    rows = page.rows[SPILLWAY]

    def flags(name: str) -> list[bool]:
        return [bool(row[name]) for row in rows]

    return charts.at_each_width(
        lambda width: charts.lines(
            [page.series("shared limit", "spillway", SPILLWAY, "limit_per_s")],
            title="The shared limit",
            x_label=SECONDS,
            y_label="calls / s",
            marks=[_allowance(page)],
            spans=page.outages(),
            strips=[
                charts.Strip("breaker open", "down", flags("breaker_open")),
                charts.Strip("intake stopped", "throttled", flags("paused")),
                charts.Strip("cooling down", "delivering", flags("cooling")),
            ],
            width=width,
        )
    )


def _delays(page: _Page) -> str:
    """The slowest event of each second, by customer where customers have a part to play."""
    side = page.sides[SPILLWAY]
    slowest: dict[int | None, dict[int, float]] = defaultdict(dict)
    for one in side.invocations:
        group = one.parcel.account_id if side.expected.names else None
        second = max(0, floor(one.started_s - side.began_s))
        for took_s in waits_s(one, side.ledger):
            slowest[group][second] = max(slowest[group].get(second, 0.0), took_s)
    series = []
    for index, (group, seconds) in enumerate(sorted(slowest.items(), key=lambda item: item[0] or 0)):
        label = side.expected.names.get(group, str(group)) if group is not None else "slowest"
        css = COLOURS[index % len(COLOURS)] if group is not None else "spillway"
        xs = sorted(seconds)
        series.append(charts.Series(label, css, xs, [seconds[second] for second in xs]))
    return charts.at_each_width(
        lambda width: charts.lines(
            series or [charts.Series("slowest", "spillway", [0], [0])],
            title="Seconds from accepted to delivered",
            x_label=f"accepted, {SECONDS}",
            y_label="seconds until delivered",
            spans=page.outages(),
            width=width,
        )
    )


def _customers(page: _Page) -> str:
    heads = ("customer", "events", "delivered", "parked", "dead", "median", "p99")
    rows = [customer_cells(one) for one in page.spillway.customers]
    return _table("Customers", "Events by customer; times from accepted to delivered.", heads, rows)


def _letters(page: _Page) -> str:
    letters: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for letter in page.sides[SPILLWAY].remains.letters:
        count = letters[letter.reason, letter.error]
        count[0] += 1
        count[1] += len(letter.event_ids)
    rows = [
        [reason, error, f"{messages:,}", f"{events:,}"]
        for (reason, error), (messages, events) in sorted(letters.items())
    ]
    caption = "As the dead-letter queue tells it." if rows else "There are none: nothing was given up."
    return _table("Dead letters", caption, ("reason", "error", "messages", "events in them"), rows)


def _table(title: str, caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells_of) + "</tr>" for cells_of in rows)
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    table = f'<table class="list"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>' if body else ""
    return f'<section class="card"><h2>{escape(title)}</h2><p>{escape(caption)}</p>{table}</section>'


def _answers_ms(side: Side) -> list[float]:
    return [one.answer_ms for one in side.invocations if one.outcome is Outcome.ACCEPTED]


def _setting(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
