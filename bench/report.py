"""The results of a run: report.json for programs, details.json with every figure's spread, a Markdown table. Pure."""

import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.measure import Figure, Row

COLUMNS = ("ours", "peer", "limit", "× peer", "× limit", "goal", "met")


@dataclass(frozen=True, slots=True)
class Run:
    """A run's commit, machine and time; `others_share` is the part of the machine that other work took meanwhile."""

    commit: str
    date: str
    machine: str
    effort: str
    took_s: float
    others_share: float

    def said(self) -> str:
        return (
            f"Commit {self.commit}, {self.date}, {self.effort} run of {self.took_s:.0f} s on {self.machine}. "
            f"Other work took {self.others_share:.0%} of the processors meanwhile."
        )


def machine() -> str:
    """The processors, with their name if the system has it, and Python's version."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = f"{len(names)} × {names[0]}" if names else platform.processor() or platform.machine()
    return f"{name}, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def reported(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """report.json: the rows of the table, only with medians."""
    return [
        {
            "name": row.name,
            "unit": row.unit,
            "ours": row.ours.median,
            "peer": row.peer.median if row.peer else None,
            "peer_name": row.peer_name,
            "limit": row.limit.median if row.limit else None,
            "ratio_to_peer": row.ratio_to_peer,
            "ratio_to_limit": row.ratio_to_limit,
            "goal": row.goal,
            "met": row.met,
        }
        for row in rows
    ]


def detailed(run: Run, rows: Iterable[Row]) -> dict[str, Any]:
    """details.json: the medians with their quartiles and the number of runs, and the further figures of each row."""
    return {"run": asdict(run), "rows": [asdict(row) for row in rows]}


def markdown(rows: Sequence[Row]) -> str:
    """The table, and below it a line for each row with the spread and the further figures."""
    table = [["row", *COLUMNS], ["---", *["---:"] * 5, "---", "---"], *(_cells(row) for row in rows)]
    lines = ["| " + " | ".join(cells) + " |" for cells in table]
    return "\n".join([*lines, "", *(f"- {_spread(row)}" for row in rows)])


def _cells(row: Row) -> list[str]:
    peer = f"{shown(row.peer.median)} ({row.peer_name})" if row.peer else "–"
    limit = shown(row.limit.median) if row.limit else "–"
    ratios = [f"{one:.2f}" if one is not None else "–" for one in (row.ratio_to_peer, row.ratio_to_limit)]
    met = {True: "yes", False: "**no**", None: "–"}[row.met] + (": spread" if row.is_near else "")
    return [f"{row.name}, {row.unit}", shown(row.ours.median), peer, limit, *ratios, row.goal or "–", met]


def _spread(row: Row) -> str:
    figures = {"ours": row.ours, row.peer_name or "peer": row.peer, "limit": row.limit, **(row.beside or {})}
    told = [f"{name} {_figure(one)}" for name, one in figures.items() if one is not None]
    return f"{row.name}: {'; '.join(told)}. {row.note}".strip()


def _figure(one: Figure) -> str:
    if one.runs == 1:
        return shown(one.median)
    return f"{shown(one.median)} ({shown(one.low)} to {shown(one.high)}, {one.runs} runs)"


def shown(value: float) -> str:
    """A number with three significant digits, or without decimals from 100 on."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
