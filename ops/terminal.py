"""What reaches the terminal: nothing of what others wrote reaches it raw.

An account's id, a partner's reason, the text of an error, a line of a file may hold escape sequences that move the
cursor or rename the window, marks that turn the direction of writing, or a line break that fakes a line. `safe` shows
them as what they are; every verb prints through `say` or `say_json`, or on a Screen (ops/screen.py).
"""

import json

import typer


def safe(text: object) -> str:
    """The same text in one line, each character that is not seen as itself spelled out: `\\\\x1b[31m`."""
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in shown)


def say(text: object, *, err: bool = False) -> None:
    """Print one line."""
    typer.echo(safe(text), err=err)


def say_json(text: str) -> None:
    """Print a JSON document, for tools: the same one, with what is not seen as itself escaped as JSON does."""
    typer.echo(safe_json(text))


def safe_json(text: str) -> str:
    """The same JSON document. What is not printable can only stand within a string, but for line breaks."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)
