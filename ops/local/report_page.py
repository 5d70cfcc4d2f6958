"""The demo's report as one HTML page: the verdict, the table, the plots. Needs no network and no script."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from ops.local import charts
from ops.local.mparticle import Outcome
from ops.local.report import BAD_WHEN_ANY, Side, Summary, cells, problems, summarise, timeline

TEMPLATE = Path(__file__).with_name("report.html.tmpl")
MPARTICLE_LIMIT_MS = 200
"""mParticle asks that 99 % of the invocations be answered within this."""
SECONDS = "seconds since the first request"


def render(direct: Side, spillway: Side, *, settings: Mapping[str, Any], notes: Sequence[str]) -> str:
    """The page for one demo."""
    left, right = summarise(direct), summarise(spillway)
    found = problems(left, right)
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        verdict_class="bad" if found else "good",
        verdict=escape("; ".join(found) if found else "nothing throttled, nothing lost"),
        invocations=f"{right.invocations:,}",
        direct_throttled=f"{left.throttled:,}",
        direct_share=_share(left.throttled, left.invocations),
        spillway_throttled=f"{right.throttled:,}",
        direct_lost=f"{left.lost:,}",
        spillway_lost=f"{right.lost:,}",
        spike_rps=f"{settings['spike_rps']:.0f}",
        latency_ms=f"{settings['partner_latency_ms']:,}",
        limit=f"{settings['limit']:,}",
        direct_p99=_shown(left.answer_ms_p99),
        spillway_p99=_shown(right.answer_ms_p99),
        direct_drain_s=f"{left.drain_s:g}",
        drain_s=f"{right.drain_s:g}",
        rows="".join(_row(row, left, right) for row in cells(left, right)),
        settings="".join(
            f"<div><dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(_setting(value))}</dd></div>"
            for name, value in settings.items()
        ),
        notes="".join(f"<li>{escape(note)}</li>" for note in notes),
        **_plots(direct, spillway, left, right, settings),
    )


def _row(row: tuple[str, str, str, str], left: Summary, right: Summary) -> str:
    name, label, direct, spillway = row
    cells_html = "".join(
        f"<td{' class=bad' if name in BAD_WHEN_ANY and getattr(summary, name) else ''}>{escape(shown)}</td>"
        for shown, summary in ((direct, left), (spillway, right))
    )
    return f"<tr><th scope='row'>{escape(label)}</th>{cells_html}</tr>"


def _plots(direct: Side, spillway: Side, left: Summary, right: Summary, settings: Mapping[str, Any]) -> dict[str, str]:
    rows = {"direct": timeline(direct), "spillway": timeline(spillway)}
    span = max(len(seconds) for seconds in rows.values())
    busiest = max((sum(second[outcome] for outcome in Outcome) for side in rows.values() for second in side), default=1)

    def series(label: str, css: str, side: str, name: str) -> charts.Series:
        values = [second[name] for second in rows[side]]
        return charts.Series(label, css, range(span), [*values, *([0] * (span - len(values)))])

    def invocations(side: str) -> str:
        return charts.stacked_bars(
            [series(str(outcome), str(outcome), side, outcome) for outcome in Outcome],
            title=f"Invocations a second, {side}",
            x_label=SECONDS,
            y_label="invocations / s",
            y_top=busiest,
        )

    limit = settings["partner_rate_per_s"]
    return {
        "plot_direct": invocations("direct"),
        "plot_spillway": invocations("spillway"),
        "plot_queue": charts.lines(
            [
                series("waiting", "spillway", "spillway", "queue_visible"),
                series("being delivered", "delivering", "spillway", "queue_in_flight"),
            ],
            title="Messages in Spillway's queue",
            x_label=SECONDS,
            y_label="messages",
            fill=True,
        ),
        "plot_partner": charts.lines(
            [
                series("direct", "direct", "direct", "delivered"),
                series("Spillway", "spillway", "spillway", "delivered"),
            ],
            title="Deliveries to the partner a second",
            x_label=SECONDS,
            y_label="deliveries / s",
            marks=[charts.Mark(f"the partner's limit: {limit:g} / s", limit)],
        ),
        "plot_answers": charts.histogram(
            [("direct", "direct", _answers_ms(direct)), ("Spillway", "spillway", _answers_ms(spillway))],
            title="How long mParticle waited for the answer to an accepted request",
            marks=[
                charts.Mark(f"mParticle's limit for p99: {MPARTICLE_LIMIT_MS} ms", MPARTICLE_LIMIT_MS),
                charts.Mark(f"Spillway's p99: {_shown(right.answer_ms_p99)} ms", right.answer_ms_p99 or 1, "spillway"),
                charts.Mark(f"direct's p99: {_shown(left.answer_ms_p99)} ms", left.answer_ms_p99 or 1, "direct"),
            ],
        ),
    }


def _answers_ms(side: Side) -> list[float]:
    return [one.answer_ms for one in side.invocations if one.outcome is Outcome.ACCEPTED]


def _setting(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
