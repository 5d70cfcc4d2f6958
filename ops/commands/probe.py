"""`spillway probe`: try the partner now, and let batches in if it is back."""

import typer

from ops.commands.options import AsJson, Stage, Why, one_line_errors
from ops.console.terminal import say, say_json


def probe(why: Why = "", as_json: AsJson = False, stage: Stage = "dev") -> None:
    """Try one message to see whether the partner is back; ends with status 1 while the intake stays stopped."""
    import json  # noqa: PLC0415 - ops/commands/__init__.py says why

    from ops.operate import trail, worker_tick  # noqa: PLC0415
    from ops.operate.stack import find_stack  # noqa: PLC0415

    with one_line_errors():
        stack = find_stack(stage)
        with trail.act(stack, "probe", why=why) as noted:
            report = worker_tick.run(stack, probe=True)
            noted.result = "; ".join(worker_tick.said(report))
    if as_json:
        say_json(json.dumps(report, indent=2))
    else:
        for line in worker_tick.said(report):
            say(line)
    if not worker_tick.is_running(report):
        raise typer.Exit(1)
