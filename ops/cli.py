"""The command `spillway`: one subcommand for each task, declared in ops/commands."""

from importlib.metadata import version
from typing import Annotated

import typer
from typer import rich_utils

from ops.commands import COMMANDS
from ops.console.screen import HELP
from ops.console.terminal import say

for name, style in HELP.items():
    setattr(rich_utils, name, style)

app = typer.Typer(
    help="Tools around Spillway: mParticle -> ingest -> SQS -> worker -> partner.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if not asked:
        return
    from infra.build import commit  # noqa: PLC0415 - ops/commands/__init__.py says why
    from infra.stage import ROOT  # noqa: PLC0415

    say(f"spillway {version('spillway')}, commit {commit(ROOT)}")
    raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", help="Print version and commit, and end.", callback=_show_version, is_eager=True),
]


@app.callback()
def spillway(show_version: Version = False) -> None:
    """Tools around Spillway: mParticle -> ingest -> SQS -> worker -> partner."""


for command in COMMANDS:
    if isinstance(command, typer.Typer):
        app.add_typer(command)
    else:
        app.command()(command)


if __name__ == "__main__":
    app()
