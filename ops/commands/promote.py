"""`spillway promote`: the newest versions, or others, go live."""

from typing import Annotated

import typer

from ops.commands.options import Stage, Why, one_line_errors
from ops.console.terminal import say

To = Annotated[
    str | None, typer.Option("--to", help="A version of both functions (7), or one of each (ingest=7,worker=9).")
]


def promote(stage: Stage, to: To = None, why: Why = "") -> None:
    """Make the newest version of both functions live, or another one."""
    from ops.operate import trail  # noqa: PLC0415
    from ops.operate.stack import find_stack  # noqa: PLC0415
    from ops.releases import moves  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.releases.functions import DeployedFunctions  # noqa: PLC0415

    with one_line_errors():
        stack = find_stack(stage)
        with trail.act(stack, "promote" + (f" --to {to}" if to else ""), why=why) as noted:
            lines = moves.promote(DeployedFunctions(stack), to)
            noted.result = "; ".join(lines)
        for line in lines:
            say(line)
