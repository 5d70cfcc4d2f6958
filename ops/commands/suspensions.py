"""`spillway suspensions`: whose credentials the partner refuses, and the operator's clear."""

import time
from typing import Annotated

import typer

from ops.commands.options import AsJson, Stage, Why, one_line_errors
from ops.console.terminal import say, say_json

suspensions = typer.Typer(name="suspensions", invoke_without_command=True)

Accounts = Annotated[list[str] | None, typer.Argument(metavar="ACCOUNT", help="mParticle's account ids.")]
Everybody = Annotated[bool, typer.Option("--all", help="Every account that is suspended.")]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait until all parked messages are back: about two minutes, or more.")
]


@suspensions.callback()
def listed(context: typer.Context, as_json: AsJson = False, stage: Stage = "dev") -> None:
    """List the accounts whose credentials the partner refuses; their messages are parked."""
    if context.invoked_subcommand is not None:
        source = context.get_parameter_source("stage")
        if source is not None and source.name == "COMMANDLINE":  # what comes after it would ask another stage
            raise typer.BadParameter(f"--stage comes after {context.invoked_subcommand}")
        return
    _show(stage, as_json=as_json)


@suspensions.command("list")
def listed_by_name(as_json: AsJson = False, stage: Stage = "dev") -> None:
    """List the accounts, as `spillway suspensions` alone does."""
    _show(stage, as_json=as_json)


def _show(stage: str, *, as_json: bool) -> None:
    from ops.console.screen import Screen  # noqa: PLC0415
    from ops.operate import suspensions as verb  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.operate.stack import find_stack  # noqa: PLC0415

    with one_line_errors():
        found = verb.listing(find_stack(stage))
    if as_json:
        say_json(verb.as_json(found))
    else:
        verb.show(found, Screen(), now_ms=int(time.time() * 1_000))


@suspensions.command()
def clear(  # noqa: PLR0917 - each is an option of the command line
    accounts: Accounts = None,
    everybody: Everybody = False,
    wait: Wait = False,
    why: Why = "",
    as_json: AsJson = False,
    stage: Stage = "dev",
) -> None:
    """Serve accounts again whose credentials were mended: their parked messages, and only those, move back.

    With --wait it ends with 1 if the credentials of some are refused again.
    """
    from ops.operate import suspensions as verb  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.operate import trail  # noqa: PLC0415
    from ops.operate.stack import StackUnavailable, find_stack  # noqa: PLC0415

    if bool(accounts) == everybody:
        raise typer.BadParameter("name accounts, or give --all")
    with one_line_errors():
        stack = find_stack(stage)
        with trail.act(stack, f"suspensions clear {', '.join(accounts or ['--all'])}", why=why) as noted:
            cleared = verb.clear_accounts(stack, accounts or [])
            noted.result = f"cleared: {', '.join(cleared.accounts) or 'nobody'}"
        if not as_json:
            say(f"cleared: {', '.join(cleared.accounts) or 'nobody was suspended'}")
        if wait and not cleared.is_done:
            say("Waiting two minutes or so for messages that are still being parked; Ctrl-C ends only this.", err=True)
        try:
            cleared = verb.move_back(
                stack,
                cleared,
                wait=wait,
                on_progress=lambda moved: say(f"{moved:,} messages moved back", err=True),
            )
        except StackUnavailable as error:
            if wait:
                raise
            say(f"spillway: {error}", err=True)
    if as_json:
        say_json(verb.as_json(cleared))
    else:
        for one in cleared.refused_again:
            refusal = f"{one.account_id}: refused again with HTTP {one.status}"
            say(f"{refusal}; messages with these credentials are parked as before")
        if not cleared.is_done:
            say("Messages that are parked late, or hidden for now, follow with the worker's next ticks.")
    if wait and cleared.refused_again:
        raise typer.Exit(1)
