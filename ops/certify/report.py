"""What `spillway certify` prints: before it sends anything, while it runs, and at the end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ops.certify.answer_times import Series, Times
from ops.certify.play import Plan, Played, Result, TellProgress
from ops.certify.script import Script
from ops.console import findings as form
from ops.console.findings import Finding
from ops.console.screen import BAD, DIM, GOOD, WARN
from ops.console.terminal import safe
from shared.message import AUDIENCE, ERASURE, EVENTS

_KINDS = {EVENTS: "events", AUDIENCE: "audiences", ERASURE: "erasure requests"}


def announce(console: Console, target: str, plan: Plan, script: Script) -> None:
    """Say what will be sent, and where, before anything is. Values of settings are never shown."""
    registered = plan.registered
    asked_for = [name for kind, name in _KINDS.items() if kind in registered.kinds]
    lines = [
        Text.assemble(("spillway certify ", "bold"), safe(target)),
        Text(
            f"It asks for {_and(asked_for) or 'nothing'}; {len(registered.event_types)} event types,"
            f" {len(registered.environments)} environments."
        ),
        Text(
            f"{plan.requests} requests with made-up data follow (seed {script.seed});"
            " it will forward them to its partner."
        ),
    ]
    wanted = dict.fromkeys(one.id for one in (*registered.account_settings, *registered.audience_settings))
    unread = registered.permissions is None
    said = []
    if given := [f"{name}=***" for name in script.settings if unread or name in wanted]:
        said.append(f"given {', '.join(given)}")
    if unused := [name for name in script.settings if not unread and name not in wanted]:
        said.append(f"not asked for, so not sent, {', '.join(unused)}")
    if made_up := [name for name in wanted if name not in script.settings]:
        said.append(f"made up {', '.join(made_up)} (--setting NAME=VALUE gives yours)")
    if said:
        lines.append(Text(safe(f"Settings of the customer: {'; '.join(said)}.")))
    for line in lines:
        console.print(line)
    console.print()


@contextmanager
def progress(console: Console, total: int) -> Iterator[TellProgress]:
    """A progress bar on a terminal, nothing anywhere else."""
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=total)

        def told(says: str, answered: int) -> None:
            bar.update(task, description=says, advance=answered)

        yield told


def show(console: Console, result: Result) -> None:
    """Print the checks, the times and what is objected to."""
    console.print(_checks_table(result.checks))
    if result.times.warm or result.times.cold:
        console.print()
        console.print(_times_table(result.times))
        console.print(Text(_network(result.times), style=DIM))
    console.print()
    form.show(result.findings, console, good="Certified: mParticle would have nothing to object to.")
    if result.findings and form.passed(result.findings):
        console.print(Text.assemble(("✓ ", GOOD), "Certified: all of the above are warnings."))


def as_json(result: Result, target: str, script: Script) -> str:
    """Return the document that --json prints."""
    checks = [{"name": one.name, "requests": one.requests, "accepted": one.accepted} for one in result.checks]
    more = {"target": target, "seed": script.seed, "checks": checks, "times": result.times.as_json()}
    return form.as_json(result.findings, more)


def _checks_table(checks: Sequence[Played]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=DIM)
    table.add_column("")
    table.add_column("check")
    table.add_column("requests", justify="right")
    table.add_column("objections", justify="right")
    for one in checks:
        table.add_row(_mark(one.findings), one.name, str(one.requests), str(len(one.findings) or ""))
    return table


def _mark(found: Sequence[Finding]) -> Text:
    if not form.passed(found):
        return Text("✗", style=BAD)
    return Text("!", style=WARN) if found else Text("✓", style=GOOD)


def _times_table(times: Times) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=DIM)
    for name in ("answer times", "calls", "p50", "p99", "slowest"):
        table.add_column(name, justify="left" if name == "answer times" else "right")
    named: dict[str, Series | None] = {"warm, one after the other": times.warm, "at once, mostly cold": times.cold}
    for name, series in named.items():
        if series:
            table.add_row(name, str(series.calls), *(_ms(ms) for ms in (series.p50_ms, series.p99_ms, series.max_ms)))
    return table


def _network(times: Times) -> str:
    limit = f"mParticle's rule: 99% under {times.rule_ms:.0f} ms."
    if times.limit_ms != times.rule_ms:
        limit = f"{limit} Here --max-ms says {times.limit_ms:.0f} ms."
    if times.network_ms is None:
        return f"{limit} Measured here; what of it is the network's could not be told."
    return f"{limit} Measured here, of which about {_ms(times.network_ms)} are the network's (one round trip)."


def _ms(value: float) -> str:
    return f"{value:.1f} ms" if value < 10 else f"{value:,.0f} ms"


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
