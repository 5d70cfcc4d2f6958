"""`spillway status`: what is wrong, how much is where, why nothing moves."""

from typing import Annotated

import typer

from ops.commands.options import AsJson, Stage, one_line_errors
from ops.console.terminal import say, say_json
from shared.errors import SpillwayError

Watch = Annotated[bool, typer.Option("--watch", help="Show it again every five seconds, until Ctrl-C.")]
REDRAWN_EVERY_S = 5.0


def status(watch: Watch = False, as_json: AsJson = False, stage: Stage = "dev") -> None:
    """Say in one screen what is wrong, how much is where, and why nothing moves."""
    import time  # noqa: PLC0415

    from ops.console.screen import Screen  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.operate import status as verb  # noqa: PLC0415
    from ops.operate import status_screen  # noqa: PLC0415
    from ops.operate.stack import find_stack  # noqa: PLC0415

    screen = Screen()
    with one_line_errors():
        stack = find_stack(stage)
        while True:
            try:
                found = verb.look(stack, now_ms=int(time.time() * 1_000))
            except SpillwayError as error:
                if not watch:
                    raise
                say(f"spillway: {error}", err=True)  # it may be over in five seconds
                time.sleep(REDRAWN_EVERY_S)
                continue
            if as_json:
                say_json(status_screen.as_json(found))
            else:
                if watch:
                    screen.clear()
                status_screen.show(found, screen)
            if not watch:
                return
            time.sleep(REDRAWN_EVERY_S)
