"""`spillway dlq`: look at dead letters, and send them again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.commands.options import AsJson, Stage, Why, finite, one_line_errors
from ops.console.terminal import INTERRUPTED, say

if TYPE_CHECKING:
    from ops.operate.dlq.desk import Desk
    from ops.operate.dlq.filters import Filter

dlq = typer.Typer(
    name="dlq", help="Look at dead letters, export or delete them, and send them again.", no_args_is_help=True
)

Reasons = Annotated[
    list[str] | None, typer.Option("--reason", metavar="NAME", help="rejected, unmappable, ..., or none; repeatable.")
]
Statuses = Annotated[
    list[str] | None, typer.Option("--status", metavar="CODE", help="The partner's HTTP status, as 422; repeatable.")
]
Accounts = Annotated[list[str] | None, typer.Option("--account", metavar="ID", help="Of this account; repeatable.")]
Types = Annotated[
    list[str] | None, typer.Option("--type", metavar="NAME", help="events, audience or erasure; repeatable.")
]
Ids = Annotated[list[str] | None, typer.Option("--id", metavar="ID", help="This letter, or request; repeatable.")]
Since = Annotated[str, typer.Option("--since", metavar="WHEN", help="Dead-lettered since: 3h, 2d, 2026-11-24T10:00Z.")]
Until = Annotated[str, typer.Option("--until", metavar="WHEN", help="Dead-lettered before: 3h, 2d, 2026-11-24T10:00Z.")]
Where = Annotated[str, typer.Option("--where", metavar="JMESPATH", help="A condition on mParticle's request.")]
By = Annotated[
    list[str] | None,
    typer.Option("--by", metavar="NAME", help="Group by reason, status, error, type, account or age; repeatable."),
]
Most = Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most this many lines.")]
LetterId = Annotated[str, typer.Argument(metavar="ID", help="The letter's id, or its request's.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Unmasked: shows customers' keys and users' data.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it, to everything that matches.")]
Sendable = Annotated[bool, typer.Option("--sendable", help="Leave out letters that would come back at once.")]
Rate = Annotated[
    float | None,
    typer.Option(
        "--rate", min=0.01, metavar="N", callback=finite, help="Letters a second; by default what live traffic leaves."
    ),
]
ImportRate = Annotated[
    float | None,
    typer.Option("--rate", min=0.01, metavar="N", callback=finite, help="Letters a second; by default 50."),
]
MostSent = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Send at most this many.")]
Export = Annotated[
    Path | None,
    typer.Option("--export", metavar="FILE", help="The file to which letters are exported before they are sent."),
]
NewFile = Annotated[Path, typer.Argument(metavar="FILE.ndjson.gz", help="A file that does not exist yet.")]
File = Annotated[Path, typer.Argument(metavar="FILE.ndjson.gz", help="The file that `dlq export` or `redrive` wrote.")]
Target = Annotated[
    str, typer.Option("--to", metavar="QUEUE", help="dlq: back among the dead letters; queue: to be delivered.")
]


def chosen_by(  # noqa: PLR0917 - each is an option of the command line
    reason: Reasons = None,
    status: Statuses = None,
    account: Accounts = None,
    kind: Types = None,
    letter_id: Ids = None,
    since: Since = "",
    until: Until = "",
    where: Where = "",
) -> "Filter":
    """The filter that the options describe. Raises InvalidSettings."""
    import time  # noqa: PLC0415

    from ops.console.moments import past_ms, since_ms  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.operate.dlq.filters import Filter  # noqa: PLC0415

    now_ms = int(time.time() * 1_000)
    return Filter(
        ids=frozenset(letter_id or ()),
        reasons=frozenset(reason or ()),
        statuses=frozenset(status or ()),
        accounts=frozenset(account or ()),
        types=frozenset(kind or ()),
        since_ms=past_ms(since, now_ms=now_ms) if since else None,
        until_ms=since_ms(until, now_ms=now_ms) if until else None,
        where=where,
    )


def filtered(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options of `chosen_by` where its parameter `chosen` stands, and hand it the Filter they make."""
    options, own = signature(chosen_by).parameters, signature(verb).parameters

    @wraps(verb)
    def command(**given: Any) -> None:
        with one_line_errors():
            chosen = chosen_by(**{name: given.pop(name) for name in options})
        verb(chosen=chosen, **given)

    shown = [one for name in own for one in (options.values() if name == "chosen" else (own[name],))]
    command.__signature__ = Signature(shown)  # type: ignore[attr-defined]  # typer reads both
    command.__annotations__ = {one.name: one.annotation for one in shown}
    return command


@contextmanager
def stopped_well() -> Iterator[None]:
    """End in one line, also after Ctrl-C: the letters that a look held are given back by then."""
    with one_line_errors():
        try:
            yield
        except KeyboardInterrupt:
            say("spillway: stopped; no letter is lost, and the same command may be given again", err=True)
            raise typer.Exit(INTERRUPTED) from None


@dlq.command()
@filtered
def summary(chosen: "Filter", by: By = None, as_json: AsJson = False, stage: Stage = "dev") -> None:
    """Show the dead letters in groups, with one letter of each; nothing is taken out."""
    from ops.operate.dlq import browse, groups  # noqa: PLC0415

    for name in by or ():
        if name not in groups.KEYS:
            raise typer.BadParameter(f"--by is one of {', '.join(groups.KEYS)}")
    with stopped_well():
        code = browse.summary(_desk(stage), chosen, tuple(by or groups.USUAL), as_json=as_json)
    raise typer.Exit(code)


@dlq.command(name="list")
@filtered
def list_(chosen: "Filter", most: Most = 100, as_json: AsJson = False, stage: Stage = "dev") -> None:
    """List letters, a line each; nothing is taken out."""
    from ops.operate.dlq import browse  # noqa: PLC0415

    with stopped_well():
        code = browse.listed(_desk(stage), chosen, most=most, as_json=as_json)
    raise typer.Exit(code)


@dlq.command()
def show(letter_id: LetterId, reveal: Reveal = False, stage: Stage = "dev") -> None:
    """Show one letter and its payload, masked; ends with 1 if there is none with this id."""
    from ops.operate.dlq import browse  # noqa: PLC0415

    with stopped_well():
        code = browse.show(_desk(stage), letter_id, reveal=reveal)
    raise typer.Exit(code)


@dlq.command()
@filtered
def redrive(  # noqa: PLR0917
    chosen: "Filter",
    yes: Yes = False,
    sendable: Sendable = False,
    rate: Rate = None,
    most: MostSent = None,
    export_to: Export = None,
    why: Why = "",
    stage: Stage = "dev",
) -> None:
    """Say what would become of the letters; with --yes export them, then send them again."""
    from ops.operate.dlq import order  # noqa: PLC0415

    with stopped_well():
        asked = order.Order(chosen, yes, sendable, rate, most, export_to, why)
        code = order.redrive(_desk(stage), asked)
    raise typer.Exit(code)


@dlq.command()
@filtered
def export(file: NewFile, chosen: "Filter", stage: Stage = "dev") -> None:
    """Write letters into a file, body and attributes; they stay where they are."""
    from ops.operate.dlq import browse  # noqa: PLC0415

    with stopped_well():
        code = browse.export(_desk(stage), chosen, file)
    raise typer.Exit(code)


@dlq.command(name="import")
def import_(  # noqa: PLR0917
    file: File,
    to: Target = "dlq",
    yes: Yes = False,
    rate: ImportRate = None,
    why: Why = "",
    stage: Stage = "dev",
) -> None:
    """Say what would be put back of an export; with --yes put it into the dead-letter queue, or the main one."""
    from ops.operate.dlq import imports  # noqa: PLC0415

    if to not in {"dlq", "queue"}:
        raise typer.BadParameter("--to is dlq or queue")
    with stopped_well():
        code = imports.import_(_desk(stage), file, to, is_yes=yes, per_s=rate, why=why)
    raise typer.Exit(code)


@dlq.command()
@filtered
def purge(chosen: "Filter", yes: Yes = False, why: Why = "", stage: Stage = "dev") -> None:
    """Say what would be deleted for good; with --yes delete it, once you have typed `purge` and the number."""
    from ops.operate.dlq import purge as verb  # noqa: PLC0415

    with stopped_well():
        code = verb.purge(_desk(stage), chosen, is_yes=yes, ask=_typed, why=why)
    raise typer.Exit(code)


def _typed(question: str) -> str:
    return str(typer.prompt(question, default="", show_default=False)).strip()


def _desk(stage: str) -> "Desk":
    from ops.console.screen import Screen  # noqa: PLC0415
    from ops.operate.dlq.desk import Desk  # noqa: PLC0415
    from ops.operate.stack import find_stack  # noqa: PLC0415
    from ops.releases.destination import destination  # noqa: PLC0415

    return Desk(find_stack(stage), Screen(), named=lambda env: str(destination(env)))
