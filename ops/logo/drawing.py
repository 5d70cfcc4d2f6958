"""An SVG as a tree: read without expanding an entity or opening anything else, and what must not be in it.

A logo is rendered only if this finds no fault: then the renderer only gets shapes, and few enough of them.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from ops.console.findings import Finding, Severity
from shared.errors import SpillwayError

SVG = "{http://www.w3.org/2000/svg}"
_HREF = ("href", "{http://www.w3.org/1999/xlink}href")
_OUTLINE = "Export it as plain shapes, with no reference to anything outside the file."

MAX_LOGO_BYTES = 1_000_000
"""Logos have a few kilobytes; one of a megabyte holds something else."""
MAX_SHAPES = 20_000
"""Elements with every `use` counted as what it repeats: ten levels of ten are ten thousand million."""

SMALLEST_PX = 64
"""A size that some viewer takes at its word should still be one at which a logo can be read."""

ET.register_namespace("", SVG.strip("{}"))

_RASTER = {"image", "feImage"}
_SCRIPTS = {"script", "handler", "listener"}
_MOVING = {"animate", "animateTransform", "animateMotion", "set"}
_TEXT = {"text", "tspan", "textPath"}
_URL = re.compile(r"url\(\s*['\"]?\s*([^'\")\s]*)", re.IGNORECASE)


class LogoUnreadable(SpillwayError):
    """A file that cannot be opened; the text names it."""


@dataclass(frozen=True)
class Drawing:
    """A logo that may be rendered. `width` and `height` are those of its viewBox; `text` gives it no other size."""

    text: str
    width: float
    height: float


class _Refused(Exception):
    """A fault found while reading that is reason enough to read no further."""


def read(path: Path) -> tuple[Drawing | None, list[Finding]]:
    """Read a logo. None, and findings that say why, if it is none that may be rendered. Raises LogoUnreadable."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LogoUnreadable(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_LOGO_BYTES:
        problem = f"The file has {len(content):,} bytes; a logo has a few thousand."
        return None, [Finding("svg.too_large", problem, "Export it without embedded pictures, fonts and metadata.")]
    found: list[Finding] = []
    try:
        _refuse_entities(content, found)
        root = ET.fromstring(content)  # noqa: S314 - it declares no entity  # nosec B314
    except _Refused:
        return None, found
    except (expat.ExpatError, ET.ParseError, ValueError, LookupError, RecursionError) as error:
        place = f" at line {error.position[0]}" if isinstance(error, ET.ParseError) else ""
        return None, [
            Finding("svg.invalid", f"The file is not well-formed XML{place}.", "Export the logo as SVG again.")
        ]
    if root.tag != f"{SVG}svg":
        problem = "The file is XML, and its first element is no svg of the SVG namespace."
        return None, [
            Finding("svg.invalid", problem, 'Export it as SVG: <svg xmlns="http://www.w3.org/2000/svg" ...>.')
        ]
    found += [*_contents(root), *_weight(root)]
    if (box := _box(root)) is None:
        found.append(
            Finding(
                "svg.view_box",
                "The logo has no viewBox with a width and a height, so it cannot be scaled.",
                'Give the svg element one around the drawing: viewBox="0 0 240 80".',
            )
        )
    if box is None or any(one.severity is Severity.ERROR for one in found):
        return None, found
    found += _size(root, box)
    for side in ("width", "height"):
        root.attrib.pop(side, None)
    return Drawing(ET.tostring(root, encoding="unicode"), *box), found


def _refuse_entities(content: bytes, found: list[Finding]) -> None:
    """Parse once without making a tree. Raises _Refused at the first entity, ExpatError if it is no XML."""
    parser = expat.ParserCreate()

    def entity(*_: object) -> None:
        found.append(
            Finding(
                "svg.entities",
                "The file declares XML entities, by which a small file can grow without end or read another one.",
                "Export it without them; Illustrator writes them unless it is told not to.",
            )
        )
        raise _Refused

    def instruction(target: str, _: str) -> None:
        if target == "xml-stylesheet":
            found.append(Finding("svg.external", "The file takes its styles from a style sheet.", _OUTLINE))

    parser.EntityDeclHandler = entity
    parser.ProcessingInstructionHandler = instruction
    parser.Parse(content, True)


def _contents(root: ET.Element) -> Iterator[Finding]:
    """Yield what must not be in a logo, each kind once."""
    found: dict[str, Finding] = {}
    for element in root.iter():
        for finding in _element(element):
            found.setdefault(finding.id, finding)
    yield from found.values()


def _element(element: ET.Element) -> Iterator[Finding]:
    name = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
    if name in _RASTER:
        yield _raster(f"an <{name}> element")
    if name in _SCRIPTS or any(attribute.lower().startswith("on") for attribute in element.attrib):
        yield Finding(
            "svg.script", "The logo holds a script.", "Remove scripts and on... attributes: a logo only shows."
        )
    if name == "foreignObject":
        yield Finding(
            "svg.foreign", "The logo holds a foreignObject, which is not drawn everywhere.", "Draw it with shapes."
        )
    if name in _MOVING:
        yield Finding(
            "svg.moving", "The logo is animated.", "Show its last state; mParticle shows a still.", Severity.WARNING
        )
    if name in _TEXT:
        yield Finding(
            "svg.text",
            "The logo holds text, which needs a font that others may not have; the preview shows it without.",
            "Turn it into paths: in Inkscape Path > Object to Path, in Illustrator Type > Create Outlines.",
            Severity.WARNING,
        )
    for address in _addresses(element, name):
        if address.lower().startswith("data:"):
            yield _raster("a data: address")
        elif address.lower().startswith("javascript:"):
            yield Finding("svg.script", "The logo links to a script.", "Remove the link: a logo only shows.")
        elif not address.startswith("#") and name != "a":
            yield Finding("svg.external", "The logo refers to something outside the file.", _OUTLINE)


def _addresses(element: ET.Element, name: str) -> Iterator[str]:
    yield from (element.attrib[attribute].strip() for attribute in _HREF if attribute in element.attrib)
    styles = [*element.attrib.values(), (element.text or "") if name == "style" else ""]
    for style in styles:
        yield from _URL.findall(style)
    if name == "style" and "@import" in (element.text or ""):
        yield "a style sheet"


def _raster(what: str) -> Finding:
    return Finding(
        "svg.raster",
        f"The logo holds {what}: an embedded picture of pixels, which blurs when it is scaled.",
        "Draw it with paths; have the picture traced if there is no vector source.",
    )


def _weight(root: ET.Element) -> Iterator[Finding]:
    """Yield a finding if drawing it would take too many shapes, or never end."""
    by_id = {element.attrib["id"]: element for element in root.iter() if "id" in element.attrib}
    weights: dict[ET.Element, float] = {}

    def weight(element: ET.Element) -> float:
        if element not in weights:
            weights[element] = float("inf")  # until it is known: who meets it again repeats itself without end
            repeated = 0.0
            if element.tag == f"{SVG}use":
                target = next((element.attrib[name] for name in _HREF if name in element.attrib), "").strip()
                repeated = weight(by_id[target[1:]]) if target[1:] in by_id else 0.0
            weights[element] = 1 + repeated + sum(weight(child) for child in element)
        return weights[element]

    try:
        shapes = weight(root)
    except RecursionError:
        yield Finding("svg.too_deep", "The logo's groups lie too deep in each other to be drawn.", "Ungroup them.")
        return
    if shapes > MAX_SHAPES:
        many = "shapes without end" if shapes == float("inf") else f"{shapes:,.0f} shapes"
        problem = f"The logo draws {many}, those that `use` repeats counted each time."
        yield Finding(
            "svg.too_many", problem, f"Simplify it: a logo is a few shapes, and up to {MAX_SHAPES:,} are drawn."
        )


def _box(root: ET.Element) -> tuple[float, float] | None:
    numbers = re.split(r"[\s,]+", root.attrib.get("viewBox", "").strip())
    try:
        _, _, width, height = (float(number) for number in numbers)
    except ValueError:
        return None
    return (width, height) if 0 < width < 1e9 and 0 < height < 1e9 else None


def _size(root: ET.Element, box: tuple[float, float]) -> Iterator[Finding]:
    """Yield what is odd about a size in pixels; another unit, or none, leaves it to who shows the logo."""
    given = [re.fullmatch(r"([0-9.]+)(px)?", root.attrib.get(side, "").strip()) for side in ("width", "height")]
    if not all(given):
        return
    try:
        width, height = (float(one[1]) for one in given if one)
    except ValueError:
        return
    if max(width, height) < SMALLEST_PX:
        problem = f"The logo says that it is {width:g} by {height:g} pixels."
        mend = f"Take width and height away, or make the longer one {SMALLEST_PX} or more."
        yield Finding("svg.size", problem, mend, Severity.WARNING)
    elif height and abs((width / height) / (box[0] / box[1]) - 1) > 0.05:
        problem = "Width and height have another proportion than the viewBox, which leaves margins."
        yield Finding("svg.size", problem, "Take width and height away.", Severity.WARNING)
