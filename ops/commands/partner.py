"""`spillway partner`: everything that the author of a partner does with it."""

import typer

from ops.commands.replay import replay

partner = typer.Typer(name="partner", help="Begin a partner, and check what it does.", no_args_is_help=True)

partner.command()(replay)
