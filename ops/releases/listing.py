"""`spillway versions`: what the alias of each function serves, since when, of which commit; and pruning."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.console.screen import DIM
from ops.console.terminal import safe
from ops.releases.functions import DeployedFunctions, Function, Functions, Version

SHORT = 10
"""Characters of a commit in the table, which fits into 80 columns; `--json` has all of it."""

ABOUT = {"ingest": "writes", "worker": "reads"}


def as_json(functions: Functions) -> str:
    """Return all versions, newest first, for tools."""
    live = {"partner": functions.destination.partner, "hosts": list(functions.destination.hosts)}
    return json.dumps({"live": live, "versions": _rows(functions)}, indent=2)


def show(functions: Functions, console: Console) -> None:
    """Print where the live ones deliver, and all versions, newest first."""
    rows = _rows(functions)
    console.print(Text(safe(f"delivers to {functions.destination}")))
    console.print(Text(safe(f"live since {next(row['since'] for row in rows if row['state'] == 'live')}")))
    table = Table(box=None, header_style=DIM, pad_edge=False)
    for column in ("function", "version", "commit", "published (UTC)", "messages", "state"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        style = {"live": "bold", "previous": "", "rolled back": "bold"}.get(row["state"], DIM)
        messages = ", ".join(map(str, row["messages"]))
        cells = (row["function"], row["version"], _short(row["commit"]), row["published"].removesuffix(" UTC"))
        table.add_row(
            *(Text(safe(cell)) for cell in cells),
            Text(f"{ABOUT[row['function']]} {messages}"),
            Text(safe(row["state"]), style=style),
        )
    console.print(table)


def _short(commit: str) -> str:
    """Enough of a commit to find it, and whether the deployed code differed from it."""
    return commit if len(commit) <= SHORT else commit[:SHORT] + ("-dirty" if commit.endswith("-dirty") else "")


def prune(deployed: DeployedFunctions, functions: Functions, keep: int) -> list[str]:
    """Delete all but the newest `keep` versions of each function; returns a line for each that was deleted.

    Versions that an alias serves stay, and so does the pair that a rollback would go to.
    """
    lines = []
    previous = functions.note.previous
    for name, function in (("ingest", functions.ingest), ("worker", functions.worker)):
        kept = deployed.aliased(function) | set(list(function.versions)[-keep:])
        if previous:
            kept.add(getattr(previous.pair, name))
        for number in sorted(set(function.versions) - kept):
            deployed.delete(function, number)
            lines.append(f"{function.alias.function}: version {number} deleted")
    return lines


def _rows(functions: Functions) -> list[dict[str, Any]]:
    return [
        _row(functions, name, version)
        for name, function in (("ingest", functions.ingest), ("worker", functions.worker))
        for version in reversed([*function.versions.values()])
    ]


def _row(functions: Functions, name: str, version: Version) -> dict[str, Any]:
    function: Function = getattr(functions, name)
    note = functions.note
    went_live = note.live[0].at
    state, since = "", None
    if version.number == function.alias.version:
        state, since = "live", f"{went_live:%Y-%m-%d %H:%M:%S} UTC" if went_live else "unknown"
    elif note.previous and version.number == getattr(note.previous.pair, name):
        state = "previous"
    elif version.number in {getattr(entry.pair, name) for entry in note.back}:
        state = "rolled back"
    return {
        "function": name,
        "version": version.number,
        "commit": version.commit,
        "published": f"{version.published[:10]} {version.published[11:19]} UTC",
        "messages": list(version.messages),
        "partner": version.destination.partner,
        "hosts": list(version.destination.hosts),
        "state": state,
        "since": since,
    }
