"""`spillway dsr`: what became of erasure requests."""

from typing import Annotated

import typer

from ops.commands.options import AsJson, Stage, one_line_errors

SubjectRequestId = Annotated[str, typer.Argument(metavar="ID", help="mParticle's id of the subject's request.")]
Certify = Annotated[bool, typer.Option("--certify", help="Also those that `spillway certify` made up.")]
OpenOnly = Annotated[bool, typer.Option("--open", help="Only those that are not delivered.")]

dsr = typer.Typer(name="dsr", help="Say whether erasure requests were forwarded, and when.", no_args_is_help=True)


@dsr.command()
def status(subject_request_id: SubjectRequestId, stage: Stage = "dev", as_json: AsJson = False) -> None:
    """Say what became of one request. Ends with 0 if it was forwarded, with 1 if not or if it is not known."""
    from ops.operate import erasures as verb  # noqa: PLC0415 - ops/commands/__init__.py says why

    with one_line_errors():
        code = verb.status(subject_request_id, stage, as_json=as_json)
    raise typer.Exit(code)


@dsr.command(name="list")
def list_(only_open: OpenOnly = False, certify: Certify = False, stage: Stage = "dev", as_json: AsJson = False) -> None:
    """List the requests of the last 400 days, the oldest first, a line each; `status` tells the story of one."""
    from ops.operate import erasures as verb  # noqa: PLC0415 - as above

    with one_line_errors():
        verb.list_all(stage, only_open=only_open, certify=certify, as_json=as_json)
