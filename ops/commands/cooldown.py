"""`spillway cooldown`: how long the partner asked callers to wait, and the operator's end of it."""

import time
from typing import Annotated

import typer

from ops.commands.options import AsJson, Stage, Why, one_line_errors
from ops.console.terminal import say, say_json

cooldown = typer.Typer(name="cooldown", help="List or end cool-downs: waits that the partner asked for.")

Accounts = Annotated[list[str] | None, typer.Option("--account", metavar="ID", help="Only this account's; repeatable.")]
Everything = Annotated[bool, typer.Option("--all", help="Everybody's cool-down, and each account's.")]


@cooldown.command("list")
def listed(as_json: AsJson = False, stage: Stage = "dev") -> None:
    """List the cool-downs: of everybody, or of accounts if the partner limits accounts."""
    from ops.console.screen import Screen  # noqa: PLC0415
    from ops.operate import cooldowns as verb  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.operate.stack import find_stack  # noqa: PLC0415

    now_ms = int(time.time() * 1_000)
    with one_line_errors():
        found = verb.listing(find_stack(stage), now_ms=now_ms)
    if as_json:
        say_json(verb.as_json(found))
    else:
        verb.show(found, Screen(), now_ms=now_ms)


@cooldown.command()
def end(
    accounts: Accounts = None,
    everything: Everything = False,
    why: Why = "",
    as_json: AsJson = False,
    stage: Stage = "dev",
) -> None:
    """End everybody's cool-down and try the partner, or with --account only end those of these accounts."""
    from ops.operate import cooldowns as verb  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.operate import trail, worker_tick  # noqa: PLC0415
    from ops.operate.stack import find_stack  # noqa: PLC0415

    if accounts and everything:
        raise typer.BadParameter("name accounts, or give --all")
    with one_line_errors():
        stack = find_stack(stage)
        whose = "--all" if everything else ", ".join(accounts or ["of everybody"])
        with trail.act(stack, f"cooldown end {whose}", why=why) as noted:
            ended = verb.end(stack, accounts or [], everything=everything)
            noted.result = f"{len(ended)} ended"
        if as_json:
            say_json(verb.as_json(ended))
        else:
            for one in ended:
                say(f"ended: {one.scope.name}")
        if not ended:
            say("there was nothing to end: `spillway cooldown list` shows who is left alone", err=True)
            raise typer.Exit(1)
        if any(one.account_id is None for one in ended):
            report = worker_tick.run(stack, probe=True)
            for line in worker_tick.said(report):
                say(line, err=as_json)
