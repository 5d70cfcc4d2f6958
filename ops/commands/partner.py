"""`spillway partner`: everything that the author of a partner does with it."""

import os
from typing import Annotated

import typer

from ops.commands.options import AsJson, one_line_errors
from ops.commands.replay import replay
from ops.console.terminal import say, say_json

partner = typer.Typer(
    name="partner",
    help="Begin a partner, check that it keeps its promises, and see what it would send.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The partner's file without .py: acme is partners/acme.py.")]
Count = Annotated[int, typer.Option(min=1, help="How many requests of each kind are made.")]
Seed = Annotated[int, typer.Option(min=0, help="The first request's seed; the same seed, the same requests.")]


@partner.command()
def new(name: Name) -> None:
    """Write a working partner with its test and a sample request, to be changed into yours."""
    from ops.partner import new as verb  # noqa: PLC0415 - ops/commands/__init__.py says why

    with one_line_errors():
        for line in verb.create(name):
            say(line)


@partner.command()
def check(name: Name, requests: Count = 50, seed: Seed = 0, as_json: AsJson = False) -> None:
    """Map samples and generated requests, and say which promises the partner does not keep."""
    from ops.console import findings  # noqa: PLC0415 - as above
    from ops.console.screen import Screen  # noqa: PLC0415
    from ops.partner import check as verb  # noqa: PLC0415
    from ops.partner.new import module_of  # noqa: PLC0415

    with one_line_errors():
        checked = verb.check(module_of(name), os.environ, count=requests, seed=seed)
    if as_json:
        say_json(findings.as_json(checked.findings))
    else:
        good = f"{name} keeps its promises: {checked.requests} requests, {checked.deliveries} deliveries"
        findings.show(checked.findings, Screen(), good=good)
        for reason in checked.reasons:
            say(f"  left out: {reason}")
    raise typer.Exit(findings.exit_status(checked.findings))


partner.command()(replay)
