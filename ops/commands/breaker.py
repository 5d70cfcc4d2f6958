"""`spillway breaker`: an operator stops all calls for a while, or lets them go on now."""

import time
from typing import Annotated

import typer

from ops.commands.options import For, Stage, Why, WhyItStays, one_line_errors
from ops.console.terminal import say

breaker = typer.Typer(name="breaker", help="Stop all calls to the partner by hand, or let them go on.")

ForClosed = Annotated[
    str, typer.Option("--for", metavar="LENGTH", help="Keep it closed for this long, even if calls fail: 30min, 2h.")
]


@breaker.command("open")
def open_(length: For = "", why: WhyItStays = "", stage: Stage = "dev") -> None:
    """Stop all calls and probes until the time is over or `spillway breaker close`; then one probe is made."""
    from ops.console.moments import ahead, as_utc  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.operate import by_hand as verb  # noqa: PLC0415
    from ops.operate import trail, worker_tick  # noqa: PLC0415
    from ops.operate.stack import find_stack  # noqa: PLC0415

    with one_line_errors():
        length_s = verb.checked_length_s(length)
        why = trail.required_why(why, 'spillway breaker open --for 2h --why "the partner moves its data"')
        stack = find_stack(stage)
        with trail.act(stack, f"breaker open for {length.strip()}", why=why) as noted:
            until_ms = int(time.time() * 1_000) + 1_000 * length_s
            verb.open_breaker(stack, until_ms=until_ms, by=noted)
            noted.result = f"until {as_utc(until_ms)} UTC"
        left = ahead(until_ms, int(time.time() * 1_000))
        say(f"open until {as_utc(until_ms)} UTC, {left}: nobody calls the partner, and no probe is made")
        for line in worker_tick.said(worker_tick.run(stack), of_probe=False):
            say(line)


@breaker.command()
def close(length: ForClosed = "", why: Why = "", stage: Stage = "dev") -> None:
    """Let calls go on now, at a low rate that grows; if they fail, the breaker opens again by its own rules.

    With --for nothing opens it before that time. Ends with status 1 if something else keeps the intake stopped.
    """
    from ops.console.moments import ahead, as_utc  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.operate import by_hand as verb  # noqa: PLC0415
    from ops.operate import trail, worker_tick  # noqa: PLC0415
    from ops.operate.stack import find_stack  # noqa: PLC0415

    with one_line_errors():
        length_s = verb.checked_length_s(length) if length else None
        if length_s is not None:
            why = trail.required_why(why, 'spillway breaker close --for 1h --why "one customer\'s calls open it"')
        stack = find_stack(stage)
        with trail.act(stack, f"breaker close{f' for {length.strip()}' if length else ''}", why=why) as noted:
            until_ms = None if length_s is None else int(time.time() * 1_000) + 1_000 * length_s
            is_closed = verb.close_breaker(stack, until_ms=until_ms, by=noted)
            until = "" if until_ms is None else f" until {as_utc(until_ms)} UTC"
            noted.result = f"closed{until}" if is_closed else "it was closed"
        if not is_closed:
            say("it was closed already: `spillway status` says why nothing moves", err=True)
            raise typer.Exit(1)
        if until_ms is None:
            say("closed: calls begin at a low rate that grows; if they fail, it opens by its own rules")
        else:
            left = ahead(until_ms, int(time.time() * 1_000))
            say(f"closed, even if calls fail, until {as_utc(until_ms)} UTC, {left}")
        report = worker_tick.run(stack)
    for line in worker_tick.said(report, of_probe=False):
        say(line)
    if not worker_tick.is_running(report):
        raise typer.Exit(1)
