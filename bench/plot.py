"""The rows as bars in SVG, for Spillway, the peer and the limit, each row in its own unit. Pure; the SVG has no script.

Pages show the SVG as an image, so it uses fonts of the reader's system, and dark colours if the reader prefers them.
"""

import textwrap
from collections.abc import Iterator, Sequence
from html import escape

from bench.measure import Row
from bench.report import shown

ACROSS, LABEL, NAME_ROOM = 940, 344, 290
"""Widths: of the picture, of the names on the left, and of the longest bar. The rest is for the bar's text."""
BAR, LINE, GAP, PLOT_TOP = 12, 15, 14, 46
NAME_LETTERS = 54
FONTS = "-apple-system,'Segoe UI',Helvetica,Arial,'Liberation Sans','DejaVu Sans',sans-serif"
COLOURS = {"ours": ("#2563eb", "#60a5fa"), "peer": ("#d97706", "#fbbf24"), "limit": ("#9ca3af", "#6b7280")}
"""The colour on a light page, and on a dark one."""
TEXT, PAPER = ("#1f2937", "#e5e7eb"), ("#ffffff", "#0d1117")


def drawn(rows: Sequence[Row]) -> str:
    """Draw the rows, but not those without peer and limit, those of a further peer, and those of the stubs."""
    parts, y = [_legend()], PLOT_TOP
    for row in rows:
        if (row.peer or row.limit) and ", against " not in row.name and not row.name.startswith("stub "):
            drawing, height = _row(row, y)
            parts.append(drawing)
            y += height + GAP
    size = f'viewBox="0 0 {ACROSS} {y}" width="{ACROSS}" height="{y}"'
    title = "<title>Spillway, its peers and the limits</title>"
    paper = f'<rect class="paper" width="{ACROSS}" height="{y}"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">{title}<style>{_style()}</style>'
    return "\n".join([f"{head}{paper}", *parts, "</svg>\n"])


def _style() -> str:
    light, dark = (
        "".join(f".{name}{{fill:{colours[which]}}}" for name, colours in _filled().items()) for which in (0, 1)
    )
    return f"text{{font:12px {FONTS}}}.name{{font-weight:600}}{light}@media(prefers-color-scheme:dark){{{dark}}}"


def _filled() -> dict[str, tuple[str, str]]:
    return {"paper": PAPER, "text": TEXT, "name": TEXT, **COLOURS}


def _legend() -> str:
    """The meaning of the colours, and whether shorter or longer is better."""
    parts, x = [], 12
    for kind, label in (("ours", "Spillway"), ("peer", "the usual way"), ("limit", "the limit")):
        parts.append(f'<rect class="{kind}" x="{x}" y="14" width="{BAR}" height="{BAR}" rx="2"/>')
        parts.append(f'<text class="text" x="{x + 18}" y="24">{label}</text>')
        x += 118
    note = "Shorter is better, but for figures a second and shares of an allowance."
    parts.append(f'<text class="text" x="{x}" y="24">{note}</text>')
    return "".join(parts)


def _row(row: Row, y: int) -> tuple[str, int]:
    """The row's drawing, and its height."""
    names, bars = textwrap.wrap(f"{row.name}, {row.unit}", NAME_LETTERS), list(_bars(row))
    lines = [
        f'<text class="name" x="12" y="{y + LINE * number + 11}">{escape(name)}</text>'
        for number, name in enumerate(names)
    ]
    longest = max(value for _, _, value in bars)
    for number, (kind, label, value) in enumerate(bars):
        width, top = max(1.0, NAME_ROOM * max(0.0, value) / longest) if longest > 0 else 1.0, y + LINE * number
        lines.append(
            f'<rect class="{kind}" x="{LABEL}" y="{top}" width="{width:.1f}" height="{BAR}" rx="2"/>'
            f'<text class="text" x="{LABEL + width + 6:.1f}" y="{top + 11}">{escape(label)}: {shown(value)}</text>'
        )
    return "".join(lines), LINE * max(len(names), len(bars))


def _bars(row: Row) -> Iterator[tuple[str, str, float]]:
    yield "ours", "Spillway", row.ours.median
    if row.peer:
        yield "peer", row.peer_name or "peer", row.peer.median
    if row.limit:
        yield "limit", "limit", row.limit.median
