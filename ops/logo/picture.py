"""A logo rendered: what its pixels say about background, size and contrast."""

import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ops.logo.drawing import Drawing

Colour = tuple[int, int, int, int]

SIDE_PX = 512
"""The longer side of what is measured."""
RENDER_TIMEOUT_S = 20.0
"""A logo takes a hundredth of a second."""
VISIBLE = 26
"""An alpha of a tenth: what is fainter is the edge of a shape, not a shape."""
READABLE = 3.0
"""WCAG 2.1, 1.4.11: the contrast that a graphic needs against what is beside it."""


class Unrenderable(Exception):
    """The renderer could not draw it; the text is the renderer's."""


@dataclass(frozen=True)
class Measures:
    """Shares are of 1. `drawn_*` are those of the drawing's own box in the logo's."""

    visible: float
    drawn_width: float
    drawn_height: float
    opaque_corners: int
    opaque_border: float
    readable: float
    """Of the visible pixels, those with enough contrast against white."""


def render(drawing: Drawing) -> Image.Image:
    """Draw it on nothing. Raises Unrenderable."""
    scale = SIDE_PX / max(drawing.width, drawing.height)
    size = [str(max(1, round(side * scale))) for side in (drawing.width, drawing.height)]
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(Path(__file__).with_name("renderer.py")), *size],
            input=drawing.text.encode(), capture_output=True, timeout=RENDER_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unrenderable(f"it takes longer than {RENDER_TIMEOUT_S:g} s") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"it ended with {done.returncode}"]
        raise Unrenderable(said[-1].removesuffix("."))
    return Image.open(io.BytesIO(done.stdout)).convert("RGBA")


def measure(picture: Image.Image) -> Measures:
    """Measure a rendered logo. Pure."""
    width, height = picture.size
    mask = picture.getchannel("A").point(lambda alpha: 255 if alpha >= VISIBLE else 0)
    left, top, right, bottom = mask.getbbox() or (0, 0, 0, 0)
    colours: list[tuple[int, Colour]] = picture.getcolors(width * height) or []  # type: ignore[assignment]
    seen = [(count, colour) for count, colour in colours if colour[3] >= VISIBLE]
    visible = sum(count for count, _ in seen)
    edges = (mask.crop(box) for box in (
        (0, 0, width, 1), (0, height - 1, width, height), (0, 0, 1, height), (width - 1, 0, width, height)
    ))  # fmt: skip
    border = b"".join(edge.tobytes() for edge in edges)
    corners = [mask.getpixel((x, y)) for x in (0, width - 1) for y in (0, height - 1)]
    return Measures(
        visible=visible / (width * height),
        drawn_width=(right - left) / width,
        drawn_height=(bottom - top) / height,
        opaque_corners=corners.count(255),
        opaque_border=border.count(255) / len(border),
        readable=sum(count for count, colour in seen if contrast_with_white(colour) >= READABLE) / max(1, visible),
    )


def contrast_with_white(colour: Colour) -> float:
    """Return WCAG's contrast ratio of a colour, laid over white, against white: 1 to 21."""
    red, green, blue, alpha = colour
    share = alpha / 255
    linear = [_linear((channel * share + 255 * (1 - share)) / 255) for channel in (red, green, blue)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 1.05 / (luminance + 0.05)


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)
