"""The command `spillway`: one verb a task, each declared in ops/commands."""

import typer

from ops.commands import COMMANDS

app = typer.Typer(
    help="Tools around Spillway: mParticle -> ingest -> SQS -> worker -> partner.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def spillway() -> None:
    """Tools around Spillway: mParticle -> ingest -> SQS -> worker -> partner."""


for command in COMMANDS:
    if isinstance(command, typer.Typer):
        app.add_typer(command)
    else:
        app.command()(command)


if __name__ == "__main__":
    app()
