"""The rows as bars, in SVG: ours, the peer's and the limit's, each row in its own unit. Pure, without a script."""

from collections.abc import Sequence
from html import escape

from bench.measure import Row
from bench.report import shown

ACROSS, LABEL, BAR, GAP, TITLE = 900, 260, 13, 16, 18
ROOM = ACROSS - LABEL - 90
COLOURS = {"ours": "#2563eb", "peer": "#d97706", "limit": "#9ca3af"}


def drawn(rows: Sequence[Row]) -> str:
    """Rows with nothing to hold them against are left out."""
    parts, y = [], GAP
    for row in rows:
        bars = _bars(row)
        if len(bars) < 2:
            continue
        parts.append(f'<text class="title" x="0" y="{y + 12}">{escape(f"{row.name}, {row.unit}")}</text>')
        y += TITLE
        longest = max(value for _, _, value in bars)
        for kind, label, value in bars:
            width = max(1.0, ROOM * max(0.0, value) / longest) if longest > 0 else 1.0
            parts.append(
                f'<text x="{LABEL - 8}" y="{y + 11}" text-anchor="end">{escape(label)}</text>'
                f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{COLOURS[kind]}"/>'
                f'<text x="{LABEL + width + 6:.1f}" y="{y + 11}">{shown(value)}</text>'
            )
            y += BAR + 3
        y += GAP
    style = "text{font:12px sans-serif;fill:#374151}.title{font-weight:bold}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {ACROSS} {y}" width="{ACROSS}" height="{y}" role="img">'
        f'<title>Spillway, its peers and the limits</title><style>{style}</style><rect width="{ACROSS}" height="{y}" '
        f'fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _bars(row: Row) -> list[tuple[str, str, float]]:
    bars = [("ours", "Spillway", row.ours.median)]
    if row.peer:
        bars.append(("peer", row.peer_name or "peer", row.peer.median))
    if row.limit:
        bars.append(("limit", "limit", row.limit.median))
    return bars
