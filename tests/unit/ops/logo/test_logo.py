"""`spillway logo check`: each rule with a logo that fails it, and logos that pass."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from ops.cli import app
from ops.console.findings import Finding, Severity
from ops.logo.check import check
from ops.logo.drawing import MAX_LOGO_BYTES, Drawing
from ops.logo.picture import Unrenderable, contrast_with_white, render

ROOT = Path(__file__).parents[4]
GOOD = '<circle cx="50" cy="50" r="48" fill="#1e3a8a"/>'
XLINK = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def svg(inside: str = GOOD, *, view_box: str | None = "0 0 100 100", more: str = "") -> str:
    box = f'viewBox="{view_box}"' if view_box else ""
    return f'<svg xmlns="http://www.w3.org/2000/svg" {XLINK} {box} {more}>{inside}</svg>'


def checked(folder: Path, content: str | bytes) -> list[Finding]:
    logo = folder / "logo.svg"
    logo.write_bytes(content.encode() if isinstance(content, str) else content)
    return check(logo)[1]


def bomb(levels: int) -> str:
    """Each level uses the one before ten times."""
    groups = ['<g id="l0"><rect width="1" height="1"/></g>']
    for level in range(1, levels):
        uses = f'<use href="#l{level - 1}"/>' * 10
        groups.append(f'<g id="l{level}">{uses}</g>')
    return svg("".join(groups))


ERRORS: dict[str, list[str | bytes]] = {
    "svg.invalid": [
        "", "no xml", "<svg", '<svg viewBox="0 0 1 1"/>', '<html xmlns="http://www.w3.org/1999/xhtml"/>',
        b"\x89PNG\r\n\x1a\n\x00\x00", '<?xml version="1.0" encoding="klingon"?>' + svg(), svg() + svg(),
    ],
    "svg.too_large": [svg(f"<desc>{'x' * MAX_LOGO_BYTES}</desc>{GOOD}")],
    "svg.entities": [
        '<!DOCTYPE svg [<!ENTITY a "b">]>' + svg(),
        '<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + svg("<desc>&a;</desc>"),
        '<!DOCTYPE svg [<!ENTITY % a SYSTEM "http://velo.example/a.dtd"> %a;]>' + svg(),
        '<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>' + svg("<desc>&b;</desc>"),
    ],
    "svg.external": [
        svg(GOOD + '<use href="https://velo.example/logo.svg#mark"/>'),
        svg(GOOD + '<use xlink:href="other.svg#mark"/>'),
        svg('<rect width="90" height="90" x="5" y="5" fill="url(https://velo.example/a.svg#b)"/>'),
        svg("<style>@import 'https://velo.example/a.css';</style>" + GOOD),
        svg("<style>circle { fill: url( 'a.svg#b' ) }</style>" + GOOD),
        '<?xml-stylesheet href="a.css"?>' + svg(),
    ],
    "svg.script": [
        svg("<script>fetch('/')</script>" + GOOD),
        svg('<circle cx="50" cy="50" r="48" onclick="go()"/>'),
        svg(f'<a href="javascript:go()">{GOOD}</a>'),
    ],
    "svg.raster": [
        svg(GOOD + f'<image width="10" height="10" href="{PIXEL}"/>'),
        svg(GOOD + f'<image width="10" height="10" xlink:href="{PIXEL}"/>'),
        svg(f'<style>circle {{ mask: url("{PIXEL}") }}</style>' + GOOD),
        svg(f'<filter id="f"><feImage href="{PIXEL}"/></filter>' + GOOD),
    ],
    "svg.foreign": [svg('<foreignObject width="9" height="9"><p xmlns="http://www.w3.org/1999/xhtml">a</p></foreignObject>')],
    "svg.too_many": [
        bomb(12),
        svg('<g id="a"><use href="#a"/></g>' + GOOD),
        svg('<g id="a"><use href="#b"/></g><g id="b"><use href="#a"/></g>' + GOOD),
    ],
    "svg.too_deep": [svg("<g>" * 4000 + GOOD + "</g>" * 4000)],
    "svg.view_box": [svg(view_box=None), svg(view_box="0 0 100"), svg(view_box="0 0 0 100"), svg(view_box="0 0 a nan")],
    "logo.empty": [
        svg(""),
        svg('<circle cx="500" cy="50" r="48"/>'),
        svg('<rect width="100" height="100" fill="none"/>'),
        svg('<text y="90" font-size="90">Velo</text>'),
    ],
    "logo.background": [
        svg('<rect width="100" height="100" fill="#ffffff"/>' + GOOD),
        svg('<rect width="100%" height="100%" fill="#1e3a8a"/>'),
        svg('<rect width="100" height="100" fill="#000000" opacity="0.2"/>' + GOOD),
        svg(GOOD + "<style>rect { fill: navy }</style>" + '<rect x="-10" y="-10" width="200" height="200"/>'),
    ],
    "logo.contrast": [
        svg('<circle cx="50" cy="50" r="48" fill="#ffffff"/>'),
        svg('<circle cx="50" cy="50" r="48" fill="#fde047"/>'),
        svg('<circle cx="50" cy="50" r="48" fill="#1e3a8a" opacity="0.3"/>'),
    ],
    "logo.small": [svg('<circle cx="50" cy="50" r="20"/>'), svg('<circle cx="99" cy="50" r="20"/>')],
    "logo.thin": [svg('<path d="M2 50 H98" stroke="#000" stroke-width="0.5"/>')],
}  # fmt: skip

WARNINGS: dict[str, list[str]] = {
    "svg.text": [svg(GOOD + '<text x="10" y="90">Velo</text>')],
    "svg.moving": [svg('<circle cx="50" cy="50" r="48"><animate attributeName="r" to="9" dur="1s"/></circle>')],
    "svg.size": [svg(more='width="24" height="24"'), svg(more='width="400px" height="100px"')],
    "logo.tile": [svg('<rect width="100" height="100" rx="20" fill="#1e3a8a"/>')],
    "logo.contrast": [svg(GOOD.replace("#1e3a8a", "#eeeeee") + GOOD.replace("48", "30"))],
    "logo.proportion": [svg('<rect x="5" y="5" width="990" height="90"/>', view_box="0 0 1000 100")],
}  # fmt: skip


@pytest.mark.parametrize(("rule", "content"), [(rule, one) for rule, logos in ERRORS.items() for one in logos])
def test_each_rule_refuses_the_logo_that_breaks_it(tmp_path: Path, rule: str, content: str | bytes) -> None:
    """The rule is among what is found, as an error, with a sentence and what to do."""
    found = {one.id: one for one in checked(tmp_path, content)}
    assert rule in found
    assert found[rule].severity is Severity.ERROR
    assert found[rule].message.endswith(".")
    assert set(found) - {rule} <= {"svg.text", "logo.tile", "logo.contrast"}, "nothing else is wrong with it"


@pytest.mark.parametrize(("rule", "content"), [(rule, one) for rule, logos in WARNINGS.items() for one in logos])
def test_what_is_worth_a_look_is_a_warning(tmp_path: Path, rule: str, content: str) -> None:
    """It is shown, and the logo passes."""
    assert [(one.id, one.severity) for one in checked(tmp_path, content)] == [(rule, Severity.WARNING)]


@pytest.mark.parametrize(
    "content",
    [
        svg(),
        svg(more='width="100%" height="100%"'),
        svg(more='width="5in" height="5in"'),
        svg(more='width="320" height="320"'),
        '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">' + svg(),
        "\ufeff" + svg(),
        '<?xml version="1.0" encoding="UTF-8"?><!-- Übersee -->' + svg(),
        svg(f'<a href="https://velo.example">{GOOD}</a>'),
        svg('<defs><circle id="c" cx="50" cy="50" r="48" fill="#1e3a8a"/></defs><use xlink:href="#c"/>'),
        svg("<style>.a { fill: #1e3a8a }</style>" + GOOD.replace('fill="#1e3a8a"', 'class="a"')),
        svg('<linearGradient id="g"><stop stop-color="#000"/><stop offset="1" stop-color="#00f"/></linearGradient>'
            '<circle cx="50" cy="50" r="48" fill="url(#g)"/>'),
        svg('<rect x="2" y="2" width="45" height="45"/><rect x="53" y="53" width="45" height="45"/>'),
        svg('<rect x="5" y="5" width="190" height="50"/>', view_box="0,0,200,60"),
    ],
)  # fmt: skip
def test_a_good_logo_passes(tmp_path: Path, content: str) -> None:
    """What exporters write, and a logo may hold, is found fault with nowhere."""
    assert checked(tmp_path, content) == []


def test_a_utf16_logo_is_read(tmp_path: Path) -> None:
    """The encoding that the file declares is the one that it is read in."""
    assert checked(tmp_path, f'<?xml version="1.0" encoding="UTF-16"?>{svg()}'.encode("utf-16")) == []


def test_the_logo_that_ships_passes() -> None:
    """The sample beside the webhook partner has no fault, not even one of advice."""
    assert check(ROOT / "partners" / "webhook.svg")[1] == []


def test_every_rule_has_a_logo_here() -> None:
    """A rule that no logo here fails is missing a test."""
    tested = set(ERRORS) | set(WARNINGS)
    sources = "".join(path.read_text() for path in (ROOT / "ops/logo").glob("*.py"))
    named = {word.strip('"') for word in sources.replace(",", " ").replace("(", " ").split() if _is_rule(word)}
    assert named == tested | {"logo.unrenderable"}


def _is_rule(word: str) -> bool:
    return word.startswith(('"svg.', '"logo.')) and word.endswith('"')


def test_a_bomb_is_refused_before_it_is_drawn(tmp_path: Path) -> None:
    """A file of two kilobytes that would draw 10**11 shapes is counted, not rendered, and has no preview."""
    (tmp_path / "logo.svg").write_text(bomb(12))
    picture, found = check(tmp_path / "logo.svg")
    assert picture is None
    assert [one.id for one in found] == ["svg.too_many"]


def test_a_logo_that_takes_for_ever_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that the renderer does not come back from ends with its process, and is said."""
    monkeypatch.setattr("ops.logo.picture.RENDER_TIMEOUT_S", 0.5)
    noise = '<filter id="f"><feTurbulence numOctaves="100000000" baseFrequency="1"/></filter>'
    (tmp_path / "logo.svg").write_text(svg(noise + '<rect width="90" height="90" filter="url(#f)"/>'))
    picture, found = check(tmp_path / "logo.svg")
    assert picture is None
    assert [one.id for one in found] == ["logo.unrenderable"]
    assert "takes longer than 0.5 s" in found[0].message


def test_what_the_renderer_refuses_is_told_in_its_words() -> None:
    """Its last line, and no traceback."""
    with pytest.raises(Unrenderable, match=r"^the document does not have a root node$"):
        render(Drawing("<svg", 1, 1))


@pytest.mark.parametrize(
    ("colour", "ratio"),
    [
        ((255, 255, 255, 255), 1.0),
        ((0, 0, 0, 255), 21.0),
        ((0, 0, 0, 0), 1.0),
        ((118, 118, 118, 255), 4.54),
        ((255, 0, 0, 255), 4.0),
    ],
)
def test_contrast_is_wcags(colour: tuple[int, int, int, int], ratio: float) -> None:
    """Black on white is 21:1, #767676 the lightest grey of 4.5:1, red 4:1; what is not there has none."""
    assert contrast_with_white(colour) == pytest.approx(ratio, abs=0.005)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["logo", "check", *arguments])


def test_a_preview_shows_it_on_white_and_on_grey(tmp_path: Path) -> None:
    """Two panels side by side, the drawing in both; the command says where it is."""
    (tmp_path / "logo.svg").write_text(svg())
    preview = tmp_path / "new folder" / "preview.png"
    done = run(str(tmp_path / "logo.svg"), "--preview", str(preview))
    assert done.exit_code == 0
    assert f"Look at it yourself: {preview}" in done.stdout
    picture = Image.open(io.BytesIO(preview.read_bytes())).convert("RGB")
    width, height = picture.size
    assert (picture.getpixel((0, 0)), picture.getpixel((width - 1, 0))) == ((255, 255, 255), (156, 163, 175))
    for panel in (width // 4, width * 3 // 4):
        for middle in (height * 2 // 5, height * 7 // 8):
            assert picture.getpixel((panel, middle)) == (30, 58, 138)


def test_a_bad_logo_is_status_1_and_previewed_where_that_is_safe(tmp_path: Path) -> None:
    """One that can be drawn is shown with its fault; one that may not be drawn leaves no preview behind."""
    preview = tmp_path / "preview.png"
    (tmp_path / "white.svg").write_text(svg('<circle cx="50" cy="50" r="48" fill="#fff"/>'))
    done = run(str(tmp_path / "white.svg"), "--preview", str(preview), "--json")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert (document["passed"], [one["id"] for one in document["findings"]]) == (False, ["logo.contrast"])
    assert preview.exists()
    preview.unlink()
    (tmp_path / "bomb.svg").write_text(bomb(12))
    done = run(str(tmp_path / "bomb.svg"), "--preview", str(preview))
    assert done.exit_code == 1
    assert "svg.too_many" in done.stdout
    assert not preview.exists()


def test_what_cannot_be_read_or_written_is_one_line(tmp_path: Path) -> None:
    """No such file, and a preview that cannot be put there: status 2 and one line."""
    done = run(str(tmp_path / "none.svg"))
    assert (done.exit_code, done.stderr) == (
        2,
        f"spillway: {tmp_path}/none.svg cannot be read: No such file or directory\n",
    )
    (tmp_path / "logo.svg").write_text(svg())
    done = run(str(tmp_path / "logo.svg"), "--preview", str(tmp_path / "logo.svg" / "preview.png"))
    assert done.exit_code == 2
    assert "the preview cannot be written to" in done.stderr
