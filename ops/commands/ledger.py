"""`spillway ledger`: accepted = delivered + left out + waiting + parked + dead-lettered."""

from typing import Annotated

import typer

from ops.commands.options import AsJson, Since, Stage, one_line_errors
from ops.console.terminal import say_json

Until = Annotated[str, typer.Option("--until", metavar="WHEN", help="Accepted before then; by default now.")]
Account = Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account.")]
ByAccount = Annotated[bool, typer.Option("--by-account", help="A line for each account, too.")]


def ledger(  # noqa: PLR0917 - each is an option of the command line
    since: Since = "1h",
    until: Until = "",
    account: Account = None,
    by_account: ByAccount = False,
    as_json: AsJson = False,
    stage: Stage = "dev",
) -> None:
    """Show what became of all accepted events, and which messages are missing (the gap); ends with 1 if any are.

    Compare it with mParticle's forwarding figures. Counted from both functions' logs.
    """
    import time  # noqa: PLC0415

    from ops.console.moments import past_ms, since_ms  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.console.screen import Screen  # noqa: PLC0415
    from ops.operate import ledger as verb  # noqa: PLC0415
    from ops.operate.facts import Logs  # noqa: PLC0415
    from ops.operate.stack import find_stack  # noqa: PLC0415

    now_ms = int(time.time() * 1_000)
    with one_line_errors():
        stack = find_stack(stage)
        counted = verb.count(
            Logs.of(stack),
            verb.depths_of(stack),
            since_ms=past_ms(since, now_ms=now_ms),
            until_ms=since_ms(until, now_ms=now_ms) if until else now_ms,
            account_id=account,
            by_account=by_account,
        )
    if as_json:
        say_json(verb.as_json(counted))
    else:
        verb.show(counted, Screen())
    raise typer.Exit(1 if counted.sums.gap else 0)
