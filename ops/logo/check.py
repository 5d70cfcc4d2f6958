"""Whether a logo can be sent to mParticle, which asks for an SVG of high resolution with a transparent background.

The thresholds are Spillway's own: they find an unreadable logo without anybody looking at it.
"""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from ops.console.findings import Finding, Severity
from ops.logo.drawing import read
from ops.logo.picture import READABLE, Measures, Unrenderable, measure, render

LEAST_EXTENT = 0.5
"""How much of its box a drawing must fill, in width or in height."""
LEAST_VISIBLE = 0.01
"""How much of its area must be drawn: less is hairlines."""
LEAST_READABLE, GOOD_READABLE = 0.25, 0.5
"""The share of what is drawn that must, and that should, stand out from white."""
WIDEST, TALLEST = 8.0, 3.0
"""Width over height, and height over width, beyond which a logo shrinks to a line in any tile."""


def check(path: Path) -> tuple[Image.Image | None, list[Finding]]:
    """Return the logo rendered, if it may and can be, and what is wrong with it. Raises LogoUnreadable."""
    drawing, found = read(path)
    if drawing is None:
        return None, found
    try:
        picture = render(drawing)
    except Unrenderable as error:
        problem = f"The renderer cannot draw it: {error}."
        mend = "Export the logo as plain SVG, without filters and effects."
        return None, [*found, Finding("logo.unrenderable", problem, mend)]
    return picture, [*found, *judge(measure(picture), picture)]


def judge(measured: Measures, picture: Image.Image) -> Iterator[Finding]:
    """Yield the faults that the measures of a rendered logo show."""
    if not measured.visible:
        yield Finding(
            "logo.empty",
            "Nothing is drawn inside the viewBox.",
            "Move the drawing into it; if all of it is text, turn the text into paths.",
        )
        return
    if measured.opaque_corners > 2 or measured.opaque_border > 0.9:
        yield Finding(
            "logo.background",
            "The logo has a background: its corners or its border are not transparent.",
            "Delete the rectangle behind it, white ones included.",
        )
    elif measured.opaque_border > 0.5:
        yield Finding(
            "logo.tile",
            "The drawing fills most of its border, as a tile does that stands for a background.",
            "Keep it if the tile is your mark; else delete it.",
            Severity.WARNING,
        )
    if measured.readable < GOOD_READABLE:
        yield Finding(
            "logo.contrast",
            f"On white, {measured.readable:.0%} of what is drawn has a contrast of {READABLE:g}:1 or more.",
            f"Use a version for light backgrounds: at least {LEAST_READABLE:.0%}, better half, should stand out.",
            Severity.ERROR if measured.readable < LEAST_READABLE else Severity.WARNING,
        )
    if max(measured.drawn_width, measured.drawn_height) < LEAST_EXTENT:
        yield Finding(
            "logo.small",
            f"The drawing fills {measured.drawn_width:.0%} of the viewBox's width and {measured.drawn_height:.0%} "
            "of its height, and is shown as small as that.",
            "Fit the viewBox to the drawing: in Inkscape Edit > Resize Page to Selection.",
        )
    elif measured.visible < LEAST_VISIBLE:
        yield Finding(
            "logo.thin",
            f"{measured.visible:.1%} of the logo is drawn: lines that vanish when it is shown small.",
            "Use a version with stronger shapes.",
        )
    width, height = picture.size
    if width / height > WIDEST or height / width > TALLEST:
        yield Finding(
            "logo.proportion",
            f"The logo is {max(width / height, height / width):.0f} times as "
            f"{'wide as high' if width > height else 'high as wide'}.",
            "Use a more compact version, if there is one.",
            Severity.WARNING,
        )
