"""A logo rendered: what its pixels say about background, size and contrast."""

import io
from dataclasses import dataclass

import resvg_py
from PIL import Image

from ops.logo.drawing import Drawing

Colour = tuple[int, int, int, int]

SIDE_PX = 512
"""The longer side of what is measured."""
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


def render(drawing: Drawing, side_px: int = SIDE_PX) -> Image.Image:
    """Draw it on nothing, its longer side so many pixels. Raises Unrenderable.

    Without fonts of this machine: what is drawn here is drawn everywhere.
    """
    scale = side_px / max(drawing.width, drawing.height)
    width, height = (max(1, round(side * scale)) for side in (drawing.width, drawing.height))
    try:
        png = resvg_py.svg_to_bytes(svg_string=drawing.text, width=width, height=height, skip_system_fonts=True)
    except ValueError as error:
        raise Unrenderable(str(error)) from None
    return Image.open(io.BytesIO(png)).convert("RGBA")


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
