"""`spillway doctor`: what is wrong with the account and the stack, and the command that mends it."""

import os
from typing import Annotated

import typer

from ops.commands.options import AsJson, Settings, Stage, one_line_errors, settings_of

Before = Annotated[bool, typer.Option("--before", help="Before the first deploy: look at the account alone.")]


def doctor(stage: Stage = "dev", before: Before = False, setting: Settings = None, as_json: AsJson = False) -> None:
    """Look at the account and the stack, and say in words what is wrong and what mends it.

    Reads only, but for one harmless call to the partner. Exit status: 0; 1 on errors; 2 if it could not look.
    """
    from ops.console.screen import Screen  # noqa: PLC0415
    from ops.doctor.run import run  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.operate.stack import enter_stage  # noqa: PLC0415

    with one_line_errors():
        enter_stage(stage)
        settings = settings_of(setting)
        code = run(stage, before=before, settings=settings, env=os.environ, as_json=as_json, console=Screen())
    raise typer.Exit(code)
