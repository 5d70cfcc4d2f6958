"""`spillway pause` and `spillway resume`: an operator stops and restarts the intake."""

import time
from typing import Annotated

import typer

from ops.commands.options import Stage, Why, WhyItStays, one_line_errors
from ops.console.terminal import say

Show = Annotated[
    bool, typer.Option("--show", help="Say whether the intake is paused, by whom and why, and change nothing.")
]


def pause(why: WhyItStays = "", show: Show = False, stage: Stage = "dev") -> None:
    """Stop delivering: accepted messages stay in the queue until `spillway resume`."""
    from ops.operate import pause as verb  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.operate import trail  # noqa: PLC0415
    from ops.operate.stack import find_stack  # noqa: PLC0415

    with one_line_errors():
        stack = find_stack(stage)
        if not show:
            why = verb.checked_why(why)
            with trail.act(stack, "pause", why=why) as noted:
                at_once = verb.pause(stack, why, who=noted.who)
            if not at_once:
                say("the mapping is being changed by somebody else: the worker's tick pauses it within a minute")
        said = verb.standing(stack, int(time.time() * 1_000))
    say(said)


def resume(why: Why = "", stage: Stage = "dev") -> None:
    """Deliver again after `spillway pause`; ends with status 1 if something else keeps the intake stopped."""
    from ops.operate import pause as verb  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.operate import trail, worker_tick  # noqa: PLC0415
    from ops.operate.stack import find_stack  # noqa: PLC0415

    with one_line_errors():
        stack = find_stack(stage)
        ended = verb.current(stack)
        with trail.act(stack, "resume", why=why) as noted:
            report = verb.resume(stack)
            was = "it was not paused by an operator" if ended is None else "the operator's pause is over"
            lines = [was, *worker_tick.said(report, of_probe=False)]
            noted.result = "; ".join(lines)
    for line in lines:
        say(line)
    if not worker_tick.is_running(report):
        raise typer.Exit(1)
