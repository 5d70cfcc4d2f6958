"""`spillway trace ID`: what became of a request, a message, an erasure."""

from typing import Annotated

import typer

from ops.commands.options import AsJson, Since, Stage, one_line_errors
from ops.console.terminal import say_json

Id = Annotated[
    str, typer.Argument(metavar="ID", help="The id of a request, message, erasure or event, or an Idempotency-Key.")
]


def trace(asked: Id, since: Since = "3d", as_json: AsJson = False, stage: Stage = "dev") -> None:
    """Show what happened to a request: accepted, waits, attempts, and where it is now; ends with 1 if nothing is known.

    Also by the id of its message, of an erasure or an event, or by an Idempotency-Key. Read from both functions' logs.
    """
    import time  # noqa: PLC0415

    from ops.console.moments import past_ms  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.console.screen import Screen  # noqa: PLC0415
    from ops.operate import trace as verb  # noqa: PLC0415
    from ops.operate.stack import find_stack  # noqa: PLC0415

    with one_line_errors():
        story = verb.trace(find_stack(stage), asked, since_ms=past_ms(since, now_ms=int(time.time() * 1_000)))
    if as_json:
        say_json(verb.as_json(story))
    else:
        verb.show(story, Screen(), since=since)
    raise typer.Exit(0 if story.steps else 1)
