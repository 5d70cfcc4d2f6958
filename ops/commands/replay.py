"""`spillway partner replay`: what a partner would be sent."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ops.commands.options import AsJson, one_line_errors
from ops.console.terminal import say, say_json

PartnerName = Annotated[str, typer.Option("--partner", help="The partner's file without .py, or its module.")]
File = Annotated[
    Path,
    typer.Argument(help="A request a line or one in the whole file, or {name, input, answers}; - is standard input."),
]
Values = Annotated[bool, typer.Option("--values", help="Show what the bodies say of users; credentials stay masked.")]


def replay(file: File, name: PartnerName, as_json: AsJson = False, values: Values = False) -> None:
    """Show the calls that requests would become, and how their messages would end. Nothing is sent.

    --json prints credentials and values as they are.
    """
    from ops.partner import replay as verb  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.partner.new import module_of  # noqa: PLC0415
    from partners import load_partner  # noqa: PLC0415
    from shared.errors import InvalidSettings  # noqa: PLC0415
    from shared.stored import without_stored  # noqa: PLC0415

    with one_line_errors():
        partner = load_partner(without_stored({**os.environ, "PARTNER": module_of(name)}))
        try:
            lines = sys.stdin.buffer if str(file) == "-" else file.open("rb")
        except OSError as error:
            raise InvalidSettings(f"{file} cannot be read: {error.strerror}") from None
        with lines:
            for case in verb.cases(lines):
                replayed = verb.replay(case, partner)
                for line in [verb.as_json(replayed)] if as_json else verb.as_text(replayed, values=values):
                    (say_json if as_json else say)(line)
