"""`spillway versions`: what is live, what there is, and pruning."""

from typing import Annotated

import typer

from ops.commands.options import AsJson, Stage, one_line_errors
from ops.console.terminal import say, say_json

Prune = Annotated[
    int | None,
    typer.Option(
        "--prune",
        min=1,
        metavar="KEEP",
        help="Delete old versions: keep the newest KEEP, those that are live, and those that a rollback goes to.",
    ),
]


def versions(stage: Stage, json: AsJson = False, prune: Prune = None) -> None:
    """Show what the alias of each function serves, since when, of which commit, and the other versions."""
    from ops.console.screen import Screen  # noqa: PLC0415
    from ops.operate.stack import find_stack  # noqa: PLC0415
    from ops.releases import listing  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.releases.functions import DeployedFunctions  # noqa: PLC0415

    with one_line_errors():
        deployed = DeployedFunctions(find_stack(stage))
        functions = deployed.read()
        if prune is not None:
            gone = listing.prune(deployed, functions, prune)
            for line in gone or ["nothing to prune"]:
                say(line, err=json)
            functions = deployed.read()
        if json:
            say_json(listing.as_json(functions))
        else:
            listing.show(functions, Screen())
