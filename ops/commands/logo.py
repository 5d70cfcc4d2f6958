"""`spillway logo`: a partner's logo."""

from pathlib import Path
from typing import Annotated

import typer

from ops.commands.options import AsJson, one_line_errors

logo = typer.Typer(name="logo", help="Check a partner's logo, the SVG that mParticle asks for.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="The logo, an SVG.", metavar="FILE.svg")]
Preview = Annotated[Path, typer.Option("--preview", help="Where the preview goes, a PNG on white and on grey.")]


@logo.callback()
def verbs() -> None:
    """A partner's logo: the SVG that mParticle asks for."""


@logo.command()
def check(file: File, preview: Preview = Path("build/logo/preview.png"), as_json: AsJson = False) -> None:
    """Say what is wrong with a logo, and draw a preview to look at.

    Exit status: 0; 1 if mParticle would object to it; 2 if the command could not find out.
    """
    from ops.logo.run import run  # noqa: PLC0415 - ops/commands/__init__.py says why

    with one_line_errors():
        code = run(file, preview, as_json=as_json)
    raise typer.Exit(code)
