"""`spillway registration`: what mParticle is told about a partner."""

import os

import typer

from ops.commands.options import one_line_errors


def registration() -> None:
    """Print what mParticle is told about the partner that PARTNER names."""
    from ops import registration as verb  # noqa: PLC0415 - ops/commands/__init__.py says why

    with one_line_errors():
        typer.echo(verb.as_json(os.environ))
