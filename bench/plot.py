"""The rows as bars, in SVG: ours, the peer's and the limit's, each row in its own unit. Pure, without a script.

It is shown as an image, so its fonts are those of whoever looks, and it is dark where they prefer that.
"""

import textwrap
from collections.abc import Iterator, Sequence
from html import escape

from bench.measure import Row
from bench.report import shown

ACROSS, LABEL, NAME_ROOM = 940, 344, 290
"""Of the picture, of the names on the left, and of the longest bar; what is left is for its text."""
BAR, LINE, GAP, PLOT_TOP = 12, 15, 14, 46
NAME_LETTERS = 54
FONTS = "-apple-system,'Segoe UI',Helvetica,Arial,'Liberation Sans','DejaVu Sans',sans-serif"
COLOURS = {"ours": ("#2563eb", "#60a5fa"), "peer": ("#d97706", "#fbbf24"), "limit": ("#9ca3af", "#6b7280")}
"""On white, and on black."""
TEXT, PAPER = ("#1f2937", "#e5e7eb"), ("#ffffff", "#0d1117")


def drawn(rows: Sequence[Row]) -> str:
    """Rows with nothing to hold them against are left out, those of a further peer, and those about the stubs."""
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
    """What the colours are, and which way is better."""
    parts, x = [], 12
    for kind, label in (("ours", "Spillway"), ("peer", "the usual way"), ("limit", "the limit")):
        parts.append(f'<rect class="{kind}" x="{x}" y="14" width="{BAR}" height="{BAR}" rx="2"/>')
        parts.append(f'<text class="text" x="{x + 18}" y="24">{label}</text>')
        x += 118
    note = "Shorter is better, but for figures a second and shares of an allowance."
    parts.append(f'<text class="text" x="{x}" y="24">{note}</text>')
    return "".join(parts)


def _row(row: Row, y: int) -> tuple[str, int]:
    """Its drawing, and how high it is."""
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
