"""A rich console for verbs that print more than lines: without markup in texts, nothing raw in them, readable anywhere.

Colours are of the 256, which terminals' themes leave alone, and of a middle lightness: on black and on white each has a
contrast of at least 3:1. The terminal's own green and yellow vanish on white, its blue on black, `dim` on either.
"""

import os
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text
from rich.theme import Theme

from ops.console.terminal import line_breaks, safe

GOOD = "color(28)"
"""Green."""
WARN = "color(130)"
"""Amber."""
BAD = "color(160)"
"""Red."""
DIM = "color(243)"
"""Grey, for what may be passed over."""
TEAL, BLUE, VIOLET = "color(30)", "color(26)", "color(133)"
"""Tell plots apart, and judge nothing."""

THEME = Theme(
    {
        "bar.back": DIM,
        "bar.complete": BLUE,
        "bar.finished": GOOD,
        "bar.pulse": BLUE,
        "progress.download": "none",
        "progress.elapsed": DIM,
        "progress.remaining": DIM,
    }
)
"""Rich's own styles of what verbs print; the others of its styles are not in use."""

HELP = {
    "STYLE_OPTION": f"bold {TEAL}",
    "STYLE_SWITCH": f"bold {GOOD}",
    "STYLE_NEGATIVE_OPTION": f"bold {VIOLET}",
    "STYLE_NEGATIVE_SWITCH": f"bold {BAD}",
    "STYLE_TYPES": f"bold {WARN}",
    "STYLE_TYPES_SEPARATOR": DIM,
    "STYLE_USAGE": WARN,
    "STYLE_DEPRECATED": BAD,
    "STYLE_DEPRECATED_COMMAND": DIM,
    "STYLE_HELPTEXT": DIM,
    "STYLE_OPTION_DEFAULT": DIM,
    "STYLE_OPTION_ENVVAR": WARN,
    "STYLE_REQUIRED_SHORT": BAD,
    "STYLE_REQUIRED_LONG": BAD,
    "STYLE_OPTIONS_PANEL_BORDER": DIM,
    "STYLE_COMMANDS_PANEL_BORDER": DIM,
    "STYLE_COMMANDS_TABLE_FIRST_COLUMN": f"bold {TEAL}",
    "STYLE_ERRORS_PANEL_BORDER": BAD,
    "STYLE_ERRORS_SUGGESTION": DIM,
    "STYLE_ABORTED": BAD,
    "RICH_HELP": "Try [bold]'{command_path} {help_option}'[/] for help.",
}
"""Typer's names of the styles of `--help` and of a wrong command line."""

PIPE_WIDTH = 10_000
"""Where no terminal has a width, lines stay whole, for grep and for who reads a log."""


class Screen(Console):
    """Prints as Console does; `[red]` and `:smile:` are texts, and of others' control characters the spelling is shown.

    Only a line break is let through, as layout has them: what may come from outside is made `safe` where it is put in.
    Lines end between words. A word that is longer than a line is left to the terminal, so that it is copied whole.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, theme=THEME, **options)
        if not self.is_terminal and "width" not in options and not os.environ.get("COLUMNS"):
            self.size = ConsoleDimensions(PIPE_WIDTH, 25)  # a width alone yields to 80 where TERM is `dumb`

    def print(self, *objects: Any, **options: Any) -> None:
        if len(objects) == 1 and isinstance(objects[0], str | Text) and not options.get("soft_wrap"):
            text = objects[0] if isinstance(objects[0], Text) else Text(objects[0])
            super().print(wrapped(text, self.width), **{**options, "soft_wrap": True})
        else:
            super().print(*objects, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                lines = "\n".join(map(safe, segment.text.split("\n")))
                yield Segment(lines, segment.style)


def wrapped(text: Text, width: int) -> Text:
    """The same text with its lines ended between words."""
    result = []
    for line in text.split("\n", allow_blank=True):
        breaks, indent = line_breaks(line.plain, width)
        parts = line.divide(breaks)
        for part in parts:
            part.rstrip()
        result.append(Text("\n" + " " * indent).join(parts))
    return Text("\n").join(result)
