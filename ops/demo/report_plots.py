"""The plots of the demo's report: which of its figures each draws, and beside which limits."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor

from ops.demo import charts
from ops.demo.figures import Side, Summary, waits_s
from ops.demo.report import DIRECT, SPILLWAY
from ops.demo.scenarios import DemoScenario
from ops.demo.settings import DemoSettings
from ops.local.mparticle import Ended

MPARTICLE_LIMIT_MS = 200
"""mParticle asks that 99 % of the invocations be answered within this."""
SECONDS = "seconds since the first request"
COLOURS = ("healthy", "flooding", "locked")

Row = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Page:
    """The figures of the page, by second and in all."""

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


def deliveries(page: Page) -> str:
    """Of both designs."""
    return charts.lines(
        [
            page.series("direct", "direct", DIRECT, "delivered"),
            page.series(SPILLWAY, "spillway", SPILLWAY, "delivered"),
        ],
        title="Deliveries to the partner a second",
        x_label=SECONDS,
        y_label="deliveries / s",
        marks=[_allowance(page)],
    )


def answers(page: Page) -> str:
    """Of both designs, each's share."""
    left, right = page.summaries[DIRECT], page.spillway
    return charts.at_each_width(
        lambda width: charts.histogram(
            [(name, name.lower(), _answers_ms(side)) for name, side in page.sides.items()],
            title="How long mParticle waited for the answer to an accepted request",
            marks=[
                charts.Mark(f"mParticle's limit for p99: {MPARTICLE_LIMIT_MS} ms", MPARTICLE_LIMIT_MS),
                charts.Mark(f"Spillway's p99: {whole(right.answer_ms_p99)} ms", right.answer_ms_p99 or 1, "spillway"),
                charts.Mark(f"direct's p99: {whole(left.answer_ms_p99)} ms", left.answer_ms_p99 or 1, "direct"),
            ],
            width=width,
        )
    )


def invocations(page: Page, side: str) -> str:
    busiest = max((sum(row[outcome] for outcome in Ended) for rows in page.rows.values() for row in rows), default=1)
    return charts.stacked_bars(
        [page.series(str(outcome), str(outcome), side, outcome) for outcome in Ended],
        title=f"Invocations a second, {side}",
        x_label=SECONDS,
        y_label="invocations / s",
        y_top=busiest,
    )


def queue(page: Page) -> str:
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


def partner(page: Page) -> str:
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


def _allowance(page: Page) -> charts.Mark:
    rate_per_s = page.settings.partner_rate
    return charts.Mark(f"the partner's limit: {rate_per_s:g} / s", rate_per_s)


def agreed(page: Page) -> str:
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


def delays(page: Page) -> str:
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


def _answers_ms(side: Side) -> list[float]:
    return [one.answer_ms for one in side.invocations if one.outcome is Ended.ACCEPTED]


def whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
