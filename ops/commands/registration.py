"""`spillway registration`: what mParticle is told about a partner."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ops.commands.options import AsJson, Stage, one_line_errors

File = Annotated[
    Path | None,
    typer.Argument(
        help="With --check or --diff: the JSON of any integration, in place of the partner's.", metavar="[FILE]"
    ),
]
Check = Annotated[bool, typer.Option("--check", help="Explain every rule that it breaks, and print nothing else.")]
Diff = Annotated[
    Path | None, typer.Option("--diff", help="Show what changed since this one, the last approved.", metavar="OLD.JSON")
]


def registration(
    file: File = None,
    check: Check = False,
    diff: Diff = None,
    stage: Stage = "dev",
    as_json: AsJson = False,
) -> None:
    """Print what mParticle is told about the partner of a stage, the one that PARTNER names: the JSON to send.

    Exit status: 0; 1 if a rule is broken or something changed that must never change; 2 if it cannot tell.
    """
    if check and diff:
        raise typer.BadParameter("--check and --diff are two questions: ask them one after the other")
    if file and not (check or diff):
        raise typer.BadParameter("what is to be done with FILE? --check it, or --diff it against another")
    from ops.operate.stage import enter_stage  # noqa: PLC0415
    from ops.registration import run  # noqa: PLC0415 - ops/commands/__init__.py says why

    with one_line_errors():
        enter_stage(stage)
        if check:
            code = run.check(os.environ, file, as_json=as_json)
        elif diff:
            code = run.diff(os.environ, diff, file, as_json=as_json)
        else:
            code = run.show_registration(os.environ)
    raise typer.Exit(code)
