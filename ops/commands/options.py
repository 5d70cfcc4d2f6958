"""Options that several verbs have, and the way in which all of them fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from ops.console.terminal import say
from shared.errors import SpillwayError

Stage = Annotated[str, typer.Option("--stage", envvar="STAGE", help="The deployed stage.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for tools.")]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Say what to change in one line and end with status 2, instead of a traceback."""
    try:
        yield
    except SpillwayError as error:
        say(f"spillway: {error}", err=True)
        raise typer.Exit(2) from None
