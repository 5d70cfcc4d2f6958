"""`spillway rollback`: the versions that were live before are live again."""

from ops.commands.options import Stage, Why, one_line_errors
from ops.console.terminal import say


def rollback(stage: Stage, why: Why = "") -> None:
    """Make the versions of both functions live that were live before the last deploy or promote."""
    from ops.operate import trail  # noqa: PLC0415
    from ops.operate.stack import find_stack  # noqa: PLC0415
    from ops.releases import moves  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.releases.functions import DeployedFunctions  # noqa: PLC0415

    with one_line_errors():
        stack = find_stack(stage)
        with trail.act(stack, "rollback", why=why) as noted:
            lines = moves.rollback(DeployedFunctions(stack))
            noted.result = "; ".join(lines)
        for line in lines:
            say(line)
