"""The demo's report as one HTML page: the verdict, the figures, the plots. Needs no network and no script."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from ops.demo import report_plots as plots
from ops.demo.figures import Side, Summary, summarise, timeline
from ops.demo.report import BAD_WHEN_ANY, DIRECT, SPILLWAY, busy_text, cells, customer_cells, problems, was_too_busy
from ops.demo.report_plots import Page, whole
from ops.demo.scenarios import HEALTHY, DemoScenario
from ops.demo.settings import DemoSettings

TEMPLATE = Path(__file__).with_name("report.html.tmpl")


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
    page = Page(scenario, settings, sides, summaries, {name: timeline(side) for name, side in sides.items()})
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


def _compared(page: Page) -> tuple[list[str], list[str]]:
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
        _figure("99 % answered within", whole(right.answer_ms_p99), "ms", f"direct: {whole(left.answer_ms_p99)} ms"),
        _drained(right, f"direct: {_seconds(left.drain_s)} s, nothing waits there"),
    ]
    cards = [
        _card(
            "Direct: what mParticle sent",
            "Every execution waits for the partner; what is above the limit is throttled.",
            plots.invocations(page, DIRECT),
        ),
        _card(
            "Spillway: what mParticle sent",
            "The same requests at the same times, on the same scale.",
            plots.invocations(page, SPILLWAY),
        ),
        _card(
            "The spike, as the queue held it",
            "Messages between ingest and the partner. The direct design has no such place.",
            plots.queue(page),
        ),
        _card(
            "The partner's side",
            "Events that arrived. Spillway keeps going at the rate it is sized for until all are delivered.",
            plots.deliveries(page),
        ),
        _card(
            "How long mParticle waited",
            "Answer times of accepted requests, each design's share; the embedded AWS's own milliseconds are in both.",
            plots.answers(page),
            wide=True,
        ),
    ]
    return figures, cards


def _alone(page: Page) -> tuple[list[str], list[str]]:
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
            f"99 % of {summary.invocations:,} answered within {whole(summary.answer_ms_p99)} ms",
            bad=summary.throttled > 0,
        ),
    ]
    cards = [
        _card(
            "The partner's side",
            "Calls a second by what it answered: taken, refused with 429, failed with 5xx.",
            plots.partner(page),
            wide=True,
        ),
        _card(
            "What the fleet agreed on",
            "The limit that all workers share, as the state table had it; below it, when nobody was to call.",
            plots.agreed(page),
            wide=True,
        ),
        _card(
            "What mParticle sent", "Requests a second, by how they were answered.", plots.invocations(page, SPILLWAY)
        ),
        _card(
            "Where messages waited",
            "Visible, being delivered or hidden until they make sense, parked.",
            plots.queue(page),
        ),
        _card(
            "How long events took",
            "From the answer to mParticle until the partner had them, the slowest of those accepted in a second.",
            plots.delays(page),
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


def _told(page: Page) -> str:
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


def _customers(page: Page) -> str:
    heads = ("customer", "events", "delivered", "parked", "dead", "median", "p99")
    rows = [customer_cells(one) for one in page.spillway.customers]
    return _table("Customers", "Events by customer; times from accepted to delivered.", heads, rows)


def _letters(page: Page) -> str:
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


def _setting(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"
