"""`make bench`: measures each row, Spillway and its peers in turn, and writes build/bench; docs/performance.md says how
to read it.

make bench ARGS="--only worker"     only groups whose name contains this; `--only growth` runs a million messages
make bench ARGS=--write-docs        also renews the table and the plot in docs
"""

import fcntl
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import typer

from bench import plot, report
from bench.measure import CannotMeasure, MeasuresNothing, Row
from bench.rows import cost, growth, ingest, limited, merged, stubs, worker
from bench.stand.stand import FULL, QUICK, Stand, stand
from infra.build import commit
from infra.stage import ROOT
from ops import pages
from ops.console.terminal import COULD_NOT_RUN, say
from ops.demo.machine import Neighbours
from ops.local.aws import sigterm_as_exit

GROUPS: dict[str, Callable[[Stand], Iterator[Row]]] = {
    "ingest": ingest.rows,
    "worker": worker.rows,
    "merged": merged.rows,
    "limited": limited.rows,
    "cost": cost.rows,
    "growth": growth.rows,
    "stubs": stubs.rows,
}
OUTPUT = ROOT / "build/bench"
ALONE = ROOT / "build/.benching"
"""A file that is locked while a bench runs in this checkout."""
PAGE, PLOT = ROOT / "docs/performance.md", ROOT / "docs/performance.svg"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Quick = Annotated[bool, typer.Option(help="Take a minute instead of ten, with fewer and shorter runs.")]
Only = Annotated[str, typer.Option(help="Measure only groups whose name contains this.")]
WriteDocs = Annotated[bool, typer.Option(help="Renew docs/performance.md and its plot.")]


@app.command()
def bench(quick: Quick = False, only: Only = "", write_docs: WriteDocs = False) -> None:
    """Measure; the exit code says whether every row measured something, not whether its goal is met."""
    chosen = {name: rows for name, rows in GROUPS.items() if only in name}
    if not chosen:
        raise typer.BadParameter(f"no group's name holds {only!r}: there are {', '.join(GROUPS)}")
    if write_docs and (only or quick):
        raise typer.BadParameter("--write-docs needs every group in a full run: leave out --only and --quick")
    try:
        with sigterm_as_exit(), alone():
            code = run(chosen, quick=quick, only=only, write_docs=write_docs)
    except CannotMeasure as error:
        say(f"nothing was measured: {error}", err=True)
        code = COULD_NOT_RUN
    raise typer.Exit(code)


@contextmanager
def alone() -> Iterator[None]:
    """Be the only bench in this checkout: two would slow each other down, and overwrite each other's report. Raises
    CannotMeasure.
    """
    ALONE.parent.mkdir(exist_ok=True)
    with ALONE.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotMeasure("another bench runs in this checkout; start this one when that has ended") from None
        yield


def run(chosen: dict[str, Callable[[Stand], Iterator[Row]]], *, quick: bool, only: str, write_docs: bool) -> int:
    """Measure some groups and write the report; returns the exit code. Raises CannotMeasure before the first row."""
    effort, began_s, neighbours = QUICK if quick else FULL, time.monotonic(), Neighbours()
    if only == "growth" and not quick:
        effort = replace(effort, growth_s=math.inf)
    done, failed = list[Row](), list[str]()
    with stand(effort) as at:
        for name, rows in chosen.items():
            try:
                for row in rows(at):
                    done.append(row)
                    tell(row)
            except (CannotMeasure, MeasuresNothing) as error:
                failed.append(f"{name}: {error}")
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    took_s, others = time.monotonic() - began_s, neighbours.share()
    write(report.Run(commit(ROOT), now, report.machine(), effort.name, took_s, others), done, docs=write_docs)
    for problem in failed:
        say(f"measured nothing: {problem}")
    met = [row.met for row in done if row.met is not None]
    say(f"{sum(met)} of {len(met)} goals met, other work took {others:.0%} of the machine; {OUTPUT}")
    return 1 if failed or not done else 0


def tell(row: Row) -> None:
    met = {True: "met", False: "NOT met", None: ""}[row.met] + (" for its spread" if row.is_near else "")
    peer = f", {report.shown(row.peer.median)} {row.peer_name}" if row.peer else ""
    limit = f", {report.shown(row.limit.median)} limit" if row.limit else ""
    ratio = f" = {row.ratio_to_peer:.2f} × peer" if row.ratio_to_peer is not None else ""
    goal = f"; {row.goal}: {met}" if row.goal else ""
    say(f"{row.name}: {report.shown(row.ours.median)} {row.unit}{peer}{limit}{ratio}{goal}")


def write(run: report.Run, rows: list[Row], *, docs: bool) -> None:
    """Write all results into build/bench, and with `docs` also the table and the plot of docs/performance.md."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    table, picture = f"{run.said()}\n\n{report.markdown(rows)}", plot.drawn(rows)
    (OUTPUT / "report.json").write_text(json.dumps(report.reported(rows), indent=2) + "\n", encoding="utf-8")
    (OUTPUT / "details.json").write_text(json.dumps(report.detailed(run, rows), indent=2) + "\n", encoding="utf-8")
    (OUTPUT / "report.md").write_text(f"{table}\n", encoding="utf-8")
    (OUTPUT / "report.svg").write_text(picture, encoding="utf-8")
    if docs:
        pages.renew(PAGE, "bench", table)
        PLOT.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    app()
