"""`spillway trail`: who did what to a stage, when and why."""

from typing import Annotated

import typer

from ops.commands.options import AsJson, Stage, one_line_errors
from ops.console.terminal import say_json

Most = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most this many acts, the latest.")]


def trail(most: Most = 50, as_json: AsJson = False, stage: Stage = "dev") -> None:
    """Show who did what by hand, when and why, the oldest first: kept for 400 days."""
    from ops.console.screen import Screen  # noqa: PLC0415
    from ops.operate import trail as verb  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.operate.stack import find_stack  # noqa: PLC0415

    with one_line_errors():
        acts = verb.listing(find_stack(stage), most=most)
    if as_json:
        say_json(verb.as_json(acts))
    else:
        verb.show(acts, Screen())
