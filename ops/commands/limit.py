"""`spillway limit`: an operator holds the shared rate below the declared one for a while."""

import time
from typing import Annotated

import typer

from ops.commands.options import Account, Endpoint, For, Stage, Why, WhyItStays, one_line_errors
from ops.console.terminal import say

limit = typer.Typer(name="limit", help="Limit the calls a second by hand, for a while: below the declared rate.")

PerSecond = Annotated[str, typer.Argument(metavar="CALLS", help="The most calls a second, of all workers together.")]


@limit.command("set", context_settings={"ignore_unknown_options": True})  # -5 is a number, and refused as one
def set_(  # noqa: PLR0917 - each is an option of the command line
    per_second: PerSecond,
    length: For = "",
    why: WhyItStays = "",
    account: Account = None,
    endpoint: Endpoint = None,
    stage: Stage = "dev",
) -> None:
    """Keep all workers to at most this many calls a second, until the time is over or `spillway limit clear`."""
    from ops.console.moments import ahead, as_utc  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.operate import by_hand as verb  # noqa: PLC0415
    from ops.operate import trail  # noqa: PLC0415
    from ops.operate.stack import find_stack  # noqa: PLC0415

    with one_line_errors():
        calls, scope = verb.per_second_of(per_second), verb.checked_scope(account, endpoint)
        length_s = verb.checked_length_s(length)
        why = trail.required_why(why, 'spillway limit set 30 --for 2h --why "the partner asked for less"')
        stack = find_stack(stage)
        declared = verb.checked_rate(stack, scope, calls)
        with trail.act(stack, f"limit set {calls:g} for {length.strip()} of {scope.name}", why=why) as noted:
            until_ms = int(time.time() * 1_000) + 1_000 * length_s
            flow = verb.set_limit(stack, scope, calls, declared_per_s=declared, until_ms=until_ms, by=noted)
            noted.result = f"until {as_utc(until_ms)} UTC"
    now_ms = int(time.time() * 1_000)
    whose = "" if scope.account_id is None else f" for {scope.name}"
    say(f"at most {calls:g} calls a second{whose} until {as_utc(until_ms)} UTC, {ahead(until_ms, now_ms)}")
    below = "no rate is declared" if declared is None else f"the declared rate is {declared:g}"
    say(f"{below}; workers keep to it within a second, and end it by themselves")
    if flow.limit.per_second is not None and flow.limit.per_second < calls:
        say(f"it is {flow.limit.per_second:g} now, because of an earlier limit or the partner's answers; it may rise")


@limit.command()
def clear(account: Account = None, endpoint: Endpoint = None, why: Why = "", stage: Stage = "dev") -> None:
    """End an operator's limit now: the rate grows to what it was before, within seconds."""
    from ops.operate import by_hand as verb  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.operate import trail  # noqa: PLC0415
    from ops.operate.stack import find_stack  # noqa: PLC0415

    with one_line_errors():
        scope = verb.checked_scope(account, endpoint)
        stack = find_stack(stage)
        with trail.act(stack, f"limit clear of {scope.name}", why=why) as noted:
            was_set = verb.clear_limit(stack, scope)
            noted.result = "cleared" if was_set else "there was none"
    if not was_set:
        say(f"there was no limit by hand for {scope.name}: `spillway status` shows those that are set", err=True)
        raise typer.Exit(1)
    say(f"cleared: the rate of {scope.name} grows to what it was before, within seconds")
