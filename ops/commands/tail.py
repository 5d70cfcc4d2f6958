"""`spillway tail`: follow what both functions write."""

from typing import Annotated

import typer

from ops.commands.options import Since, Stage, one_line_errors

Accounts = Annotated[list[str] | None, typer.Option("--account", metavar="ID", help="Only this account; repeatable.")]
Ends = Annotated[
    list[str] | None, typer.Option("--end", help="Only this: dead_letter, wait, parked, delivered, ...; repeatable.")
]
Partner = Annotated[
    str, typer.Option("--partner", help="Refuse a stage that delivers to another one: webhook, or partners.webhook.")
]
Functions = Annotated[list[str] | None, typer.Option("--function", help="ingest or worker; both if none is named.")]


def tail(  # noqa: PLR0917 - each is an option of the command line
    account: Accounts = None,
    end: Ends = None,
    function: Functions = None,
    partner: Partner = "",
    since: Since = "1min",
    stage: Stage = "dev",
) -> None:
    """Follow both functions: a line for each thing that happens to a message or to the fleet, until Ctrl-C."""
    import time  # noqa: PLC0415

    from ops.console.moments import past_ms  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.console.screen import Screen  # noqa: PLC0415
    from ops.operate import tail as verb  # noqa: PLC0415
    from ops.operate.facts import FUNCTIONS, Logs  # noqa: PLC0415
    from ops.operate.stack import find_stack  # noqa: PLC0415
    from shared.telemetry import Fact  # noqa: PLC0415

    for name in end or ():
        if name not in set(Fact):
            raise typer.BadParameter(f"--end is one of {', '.join(Fact)}")
    for name in function or ():
        if name not in FUNCTIONS:
            raise typer.BadParameter(f"--function is one of {', '.join(FUNCTIONS)}")
    wanted = verb.Wanted(frozenset(account or ()), frozenset(end or ()), frozenset(function or ()))
    screen = Screen()
    with one_line_errors():
        stack = find_stack(stage)
        if partner:
            verb.check_partner(stack, partner)
        for told in verb.follow(Logs.of(stack), wanted, since_ms=past_ms(since, now_ms=int(time.time() * 1_000))):
            screen.print(verb.line_of(told))
