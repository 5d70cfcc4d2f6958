"""`make scenarios`: the fleet on simulated time, through everything that goes wrong; a table, and a report as JSON.

    SEED=7          another seed; 1-20 or 3,5,8: several, each scenario with each
    NAME=outage     only scenarios whose name holds this

`python -m ops.scenarios --write-docs` also renews the table in docs/limits.md.
"""

import json
import multiprocessing
import os
import signal
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.stage import ROOT
from ops import pages
from ops.console.screen import BAD, DIM, Screen
from ops.console.terminal import safe
from testkit.simulation.judge import Figures
from testkit.simulation.scenario import Scenario, load_all
from testkit.simulation.suite import examine

REPORT = ROOT / "build/scenarios/report.json"
LIMITS_PAGE = ROOT / "docs/limits.md"
TABLE = "scenarios"
"""Between its markers in docs/limits.md."""
COLUMNS = ("events", "lost", "false dead letters", "calls in cool-down", "over-admitted", "duplicates", "healthy p99")
SHORT_COLUMNS = ("events", "lost", "false\ndead", "in cool-\ndown", "over\nrate", "twice", "p99")
"""The same, for a terminal of 80 columns."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Seed = Annotated[str, typer.Option(envvar="SEED", help="A seed, or several: 1-20 or 3,5,8.")]
Name = Annotated[str, typer.Option(envvar="NAME", help="Only scenarios whose name holds this.")]
WriteDocs = Annotated[bool, typer.Option(help="Renew the table in docs/limits.md (one seed, all scenarios).")]


@app.command()
def scenarios(seed: Seed = "1", name: Name = "", write_docs: WriteDocs = False) -> None:
    """Run the scenarios and judge them; the exit code says whether a band is broken."""
    known = load_all()
    chosen = [one for one in known if name in one.name]
    seeds = seeds_of(seed)
    if not chosen:
        raise typer.BadParameter(
            f"no scenario's name holds {safe(name)!r}: there are {', '.join(one.name for one in load_all())}"
        )
    if write_docs and (name or len(seeds) > 1):
        raise typer.BadParameter("--write-docs runs all scenarios with one seed: leave NAME out, and give one SEED")
    judged = list(_examined(chosen, seeds))
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps([one.reported() for one in judged], indent=2) + "\n", encoding="utf-8")
    show(judged, Screen())
    if write_docs:
        pages.renew(LIMITS_PAGE, TABLE, markdown(judged))
    if any(one.broken for one in judged):
        raise typer.Exit(1)


def seeds_of(text: str) -> list[int]:
    """Read `7`, `3,5,8` or `1-20`. Raises typer.BadParameter."""
    seeds: list[int] = []
    try:
        for part in filter(None, text.replace(" ", "").split(",")):
            first, _, last = part.partition("-")
            seeds += range(int(first), int(last or first) + 1)
    except ValueError:
        seeds = []
    if not seeds:
        raise typer.BadParameter(f"SEED={safe(text)} is no seed: it is one, or several, as in 7, 3,5,8 or 1-20")
    return seeds


def _examined(chosen: Sequence[Scenario], seeds: Sequence[int]) -> Iterable[Figures]:
    """All scenarios with all seeds, a process for each core; in the order of the files."""
    work = [(one, seed) for one in chosen for seed in seeds]
    if len(work) == 1:
        yield examine(*work[0])
        return
    # Ctrl-C ends the processes, too: they would finish their scenarios first.
    spawn = multiprocessing.get_context("spawn")
    ends = (signal.SIGINT, signal.SIG_DFL)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn, initializer=signal.signal, initargs=ends) as pool:
        yield from pool.map(examine, *zip(*work, strict=True))


def show(judged: Sequence[Figures], console: Console) -> None:
    """Print a row for each scenario, and below the table a line for each that broke a band."""
    table = Table(box=None, header_style=DIM, padding=(0, 1, 0, 0))
    table.add_column("scenario", no_wrap=True)
    for column in ("seed", *SHORT_COLUMNS):
        table.add_column(column, justify="right", no_wrap=True)
    for one in judged:
        table.add_row(Text(one.scenario, style=BAD if one.broken else ""), str(one.seed), *cells(one))
    console.print(table)
    for one in judged:
        if one.broken:
            broken = safe("; ".join(one.broken[:4]))
            console.print(Text.assemble(("✗ ", BAD), f"{one.scenario}, seed {one.seed}: {broken}"))
    console.print(f"{sum(1 for one in judged if not one.broken)} of {len(judged)} within their bands; {REPORT}")


def cells(figures: Figures) -> list[str]:
    """The row of a scenario, in the order of COLUMNS."""
    counts = (
        figures.events,
        figures.lost,
        figures.false_dead_letters,
        figures.calls_during_cooldown,
        figures.over_admitted,
        figures.duplicates,
    )
    return [*(f"{count:,}" for count in counts), f"× {figures.healthy_p99_ratio:.1f}"]


def markdown(judged: Sequence[Figures]) -> str:
    """The table as docs/limits.md has it."""
    titles = {one.name: one.title for one in load_all()}
    rows = [["scenario", "what happens", *COLUMNS], ["---"] * 2 + ["---:"] * len(COLUMNS)]
    rows += [[f"`{one.scenario}`", titles[one.scenario], *cells(one)] for one in judged]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    app()
