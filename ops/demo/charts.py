"""The report's plots as inline SVG: axes with units, a legend, no script, colours from the page's style sheet.

A series names its colour by CSS class (`accepted`, `throttled`, `direct`, `spillway`, ...), so that the
page alone decides what it looks like in the light and in the dark. All functions are pure: numbers in,
SVG text out.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, WIDE, HEIGHT = 540, 1080, 250
LEFT, RIGHT, TOP, BOTTOM = 66, 24, 36, 46
FLOOR_MS, CEILING_MS = 1.0, 10_000.0
BINS_PER_DECADE = 12
STRIP = 7
"""Height of a strip."""


@dataclass(frozen=True, slots=True)
class Series:
    """A named run of points; `x` is in the chart's unit (seconds, mostly)."""

    label: str
    css: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True, slots=True)
class Mark:
    """A reference line across the chart: a limit, a percentile."""

    label: str
    at: float
    css: str = "limit"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the x axis in which something held: shaded over the whole height, with its name on top."""

    label: str
    css: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Strip:
    """When something held, as a bar along the x axis: one flag for each point of the series."""

    label: str
    css: str
    flags: Sequence[bool]


@dataclass(frozen=True, slots=True)
class _Frame:
    """Maps the data's numbers to the drawing's."""

    x_max: float
    y_max: float
    width: int = WIDTH

    @property
    def right(self) -> int:
        return self.width - RIGHT

    def x(self, value: float) -> float:
        return LEFT + (self.right - LEFT) * value / self.x_max

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(value, self.y_max) / self.y_max


def nice_ticks(top: float, about: int = 4) -> list[float]:
    """Round numbers from 0 up to the first that is not below `top`: steps of 1, 2 or 5 times a power of
    ten.
    """
    if top <= 0:
        return [0.0, 1.0]
    raw = top / about
    power = 10 ** floor(log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    return [round(step * number, 10) for number in range(ceil(top / step - 1e-9) + 1)]


def at_each_width(draw: Callable[[int], str]) -> str:
    """A chart twice, for a wide page and for a narrow one: the style sheet shows one of them, its text readable."""
    return f'<div class="at-wide">{draw(WIDE)}</div><div class="at-narrow">{draw(WIDTH)}</div>'


def stacked_bars(
    series: Sequence[Series], *, title: str, x_label: str, y_label: str, y_top: float = 0, width: float = 1
) -> str:
    """Bars of one `width` each, the series on top of one another. All series share the same `x`."""
    xs = series[0].x
    totals = [sum(one.y[index] for one in series) for index in range(len(xs))]
    frame, grid = _axes(
        x_top=max((x + width for x in xs), default=1),
        y_top=max([y_top, *totals]),
        x_label=x_label,
        y_label=y_label,
    )
    drawn: list[str] = []
    floors = [0.0] * len(xs)
    for one in series:
        for index, (x, y) in enumerate(zip(xs, one.y, strict=True)):
            if y <= 0:
                continue
            top, bottom = frame.y(floors[index] + y), frame.y(floors[index])
            floors[index] += y
            drawn.append(
                f'<rect class="{one.css} area" x="{frame.x(x) + 0.5:.1f}" y="{top:.1f}"'
                f' width="{max(frame.x(width) - LEFT - 1, 0.8):.1f}" height="{bottom - top:.1f}">'
                f"<title>{escape(one.label)}: {_number(y)} at {_number(x)} s</title></rect>"
            )
    return _svg(title, [*grid, *drawn, _legend([(one.label, one.css) for one in series if any(one.y)], WIDTH)])


def lines(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    marks: Sequence[Mark] = (),
    spans: Sequence[Span] = (),
    strips: Sequence[Strip] = (),
    fill: bool = False,
    width: int = WIDTH,
) -> str:
    """Lines over a common pair of axes; horizontal marks for limits, spans and strips for what held when."""
    frame, grid = _axes(
        x_top=max([*(x for one in series for x in one.x), *(span.end for span in spans)], default=1),
        y_top=max([*(y for one in series for y in one.y), *(mark.at for mark in marks)], default=1),
        x_label=x_label,
        y_label=y_label,
        width=width,
    )
    drawn = [*_spans(frame, spans), *grid]
    for one in series:
        points = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in zip(one.x, one.y, strict=True))
        if not points:
            continue
        if fill:
            base = frame.y(0)
            drawn.append(
                f'<polygon class="{one.css} wash" points="{frame.x(one.x[0]):.1f},{base:.1f} {points}'
                f' {frame.x(one.x[-1]):.1f},{base:.1f}"/>'
            )
        name = f"<title>{escape(one.label)}</title>"
        drawn.append(f'<polyline class="{one.css} line" points="{points}">{name}</polyline>')
    drawn += _strips(frame, strips)
    for mark in marks:
        y = frame.y(mark.at)
        drawn.append(
            f'<line class="{mark.css} mark" x1="{LEFT}" x2="{frame.right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="mark-label" x="{frame.right}" y="{y - 5:.1f}" text-anchor="end">'
            f"{escape(mark.label)}</text>"
        )
    shown = [(one.label, one.css) for one in series]
    shown += [(strip.label, strip.css) for strip in strips if any(strip.flags)]
    return _svg(title, [*drawn, _legend(shown, width)], width=width)


def _spans(frame: _Frame, spans: Sequence[Span]) -> list[str]:
    drawn = []
    for span in spans:
        begin, end = frame.x(span.begin), frame.x(span.end)
        drawn.append(
            f'<rect class="{span.css} wash" x="{begin:.1f}" y="{TOP}" width="{end - begin:.1f}"'
            f' height="{HEIGHT - TOP - BOTTOM}"/>'
            f'<text class="mark-label" x="{(begin + end) / 2:.1f}" y="{TOP + 13}" text-anchor="middle">'
            f"{escape(span.label)}</text>"
        )
    return drawn


def _strips(frame: _Frame, strips: Sequence[Strip]) -> list[str]:
    """Bars above the axis, one row for each strip that has anything to show; a flag holds for one unit of x."""
    drawn = []
    for row, strip in enumerate(strip for strip in strips if any(strip.flags)):
        y = frame.y(0) - (row + 1) * (STRIP + 2)
        for begin, end in _runs(strip.flags):
            drawn.append(
                f'<rect class="{strip.css} area" x="{frame.x(begin):.1f}" y="{y:.1f}"'
                f' width="{max(min(frame.x(end), frame.right) - frame.x(begin), 1.5):.1f}" height="{STRIP}" rx="2">'
                f"<title>{escape(strip.label)}: {begin} s to {end} s</title></rect>"
            )
    return drawn


def _runs(flags: Sequence[bool]) -> Iterable[tuple[int, int]]:
    """The stretches of true flags, as (first, one after the last)."""
    begin: int | None = None
    for index, flag in enumerate([*flags, False]):
        if flag and begin is None:
            begin = index
        elif not flag and begin is not None:
            yield begin, index
            begin = None


def histogram(
    groups: Sequence[tuple[str, str, Sequence[float]]], *, title: str, marks: Sequence[Mark] = (), width: int = WIDTH
) -> str:
    """Shares of each group (label, css, milliseconds) over a logarithmic time axis; vertical marks for
    percentiles.
    """
    values = [value for _, _, times in groups for value in times]
    low = 10 ** floor(log10(max(min(values, default=FLOOR_MS), FLOOR_MS)))
    high = 10 ** ceil(log10(min(max([*values, *(mark.at for mark in marks), low * 10]), CEILING_MS)))
    decades = log10(high / low)
    bins = round(decades * BINS_PER_DECADE)

    def place(milliseconds: float) -> float:
        return log10(min(max(milliseconds, low), high) / low) / decades * bins

    shares = [(label, css, _shares(times, bins, place)) for label, css, times in groups]
    peak = max((share for _, _, group in shares for share in group), default=1)
    ticks = [(place(tick), _number(tick)) for tick in _decade_ticks(low, high)]
    frame, grid = _axes(
        x_top=bins,
        y_top=peak,
        x_label="answer time, ms (logarithmic)",
        y_label="share of answers, %",
        x_ticks=ticks,
        width=width,
    )
    drawn: list[str] = []
    for label, css, group in shares:
        for index, share in enumerate(group):
            if share > 0:
                drawn.append(
                    f'<rect class="{css} area soft" x="{frame.x(index) + 0.5:.1f}" y="{frame.y(share):.1f}"'
                    f' width="{frame.x(1) - LEFT - 1:.1f}" height="{frame.y(0) - frame.y(share):.1f}">'
                    f"<title>{escape(label)}: {share:.1f} %</title></rect>"
                )
    for row, mark in enumerate(marks):
        x = frame.x(place(mark.at))
        anchor, gap = ("end", -5) if x > width * 0.55 else ("start", 5)
        drawn.append(
            f'<line class="{mark.css} mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text class="mark-label" x="{x + gap:.1f}" y="{TOP + 11 + 15 * row}" text-anchor="{anchor}">'
            f"{escape(mark.label)}</text>"
        )
    legend = _legend([(label, css) for label, css, _ in groups], width)
    return _svg(title, [*grid, *drawn, legend], width=width)


def _shares(times: Sequence[float], bins: int, place: Callable[[float], float]) -> list[float]:
    counts = [0] * bins
    for value in times:
        counts[min(int(place(value)), bins - 1)] += 1
    return [100 * count / len(times) if times else 0.0 for count in counts]


def _decade_ticks(low: float, high: float) -> Iterable[float]:
    decade = low
    while decade < high:
        yield from (decade, decade * 2, decade * 5)
        decade *= 10
    yield high


def _axes(
    *,
    x_top: float,
    y_top: float,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[tuple[float, str]] | None = None,
    width: int = WIDTH,
) -> tuple[_Frame, list[str]]:
    y_values = nice_ticks(y_top)
    if x_ticks is None:
        x_ticks = [(value, _number(value)) for value in nice_ticks(x_top, about=6) if value <= x_top]
    frame = _Frame(x_max=x_top or 1, y_max=y_values[-1], width=width)
    grid: list[str] = []
    for value in y_values:
        y = frame.y(value)
        grid.append(
            f'<line class="gridline" x1="{LEFT}" x2="{frame.right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>'
        )
    for value, text in x_ticks:
        x = frame.x(value)
        grid.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{text}</text>')
    middle = TOP + (HEIGHT - TOP - BOTTOM) / 2
    grid.append(
        f'<line class="axis" x1="{LEFT}" x2="{frame.right}" y1="{frame.y(0):.1f}" y2="{frame.y(0):.1f}"/>'
        f'<text class="label" x="{(LEFT + frame.right) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
        f'<text class="label" transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    return frame, grid


def _legend(entries: Sequence[tuple[str, str]], width: int) -> str:
    """The names of what is drawn, in one row: from the axis on, or further left where they need the room."""
    takes = [17 + 7 * len(label) + 18 for label, _ in entries]
    drawn, x = [], float(max(0, min(LEFT, width - sum(takes))))
    for (label, css), taken in zip(entries, takes, strict=True):
        drawn.append(
            f'<rect class="{css} area" x="{x:.0f}" y="9" width="11" height="11" rx="2"/>'
            f'<text class="legend" x="{x + 17:.0f}" y="19">{escape(label)}</text>'
        )
        x += taken
    return "".join(drawn)


def _svg(title: str, parts: Sequence[str], *, width: int = WIDTH) -> str:
    return (
        f'<svg viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"
