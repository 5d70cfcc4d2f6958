"""Printing to the terminal: no text that others wrote reaches it raw.

An account's id, a partner's reason, the text of an error, a line of a file may hold escape sequences that move the
cursor or rename the window, marks that turn the direction of writing, or a line break that fakes a line. `safe` shows
them as what they are; every verb prints through `say` or `say_json`, or on a Screen (ops/console/screen.py).
"""

import json
import re
import shutil
import signal
import sys

import typer
from rich.cells import cell_len

COULD_NOT_RUN = 2
"""Exit status of a command that could not find its answer."""
INTERRUPTED = 128 + signal.SIGINT

_WORD = re.compile(r"\S+?(?:(?<=,)(?=[\"{\[])|(?!\S))")
"""Up to a space, or to a comma between two members of a JSON document, which has no spaces."""
_HANG = 2
"""The indent, in columns, of a line that goes on, so that it is not taken for a new one."""


def safe(text: object) -> str:
    """The same text in one line, each character that is not seen as itself spelled out: `\\\\x1b[31m`."""
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in shown)


def say(text: object, *, err: bool = False) -> None:
    """Print one line. On a terminal a long one goes on below, broken between words."""
    line = safe(text)
    if (sys.stderr if err else sys.stdout).isatty():
        breaks, indent = line_breaks(line, shutil.get_terminal_size().columns)
        parts = [line[begin:end].rstrip() for begin, end in zip([0, *breaks], [*breaks, None], strict=True)]
        line = ("\n" + " " * indent).join(parts)
    typer.echo(line, err=err)


def line_breaks(line: str, width: int) -> tuple[list[int], int]:
    """Where a line is broken to fit, always before a word, and by how much what follows is indented.

    A word that is longer than the width is left whole: the terminal breaks it, and it can be copied as a whole.
    """
    indent = max(_HANG, len(line) - len(line.lstrip()))
    breaks, used, end = [], 0, 0
    for word in _WORD.finditer(line):
        gap, length = word.start() - end, cell_len(word[0])
        if used and used + gap + length > width:
            breaks.append(word.start())
            used = indent + length
        else:
            used += gap + length
        end = word.end()
    return breaks, indent


def say_json(text: str) -> None:
    """Print a JSON document, for tools: the same one, with characters that are not visible escaped as in JSON."""
    typer.echo(safe_json(text))


def safe_json(text: str) -> str:
    """The same JSON document. Unprintable characters can only be in strings, except for line breaks."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)
