"""What a demo shows while it runs: a live table on a terminal, plain lines anywhere else.

`SideNow` is one moment of one side's run; whoever runs the spike hands a new one over a few times a second. Nothing
here measures anything.
"""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ops.console.screen import BAD, BLUE, DIM, GOOD, TEAL, VIOLET, WARN
from ops.demo.figures import Sample

BLOCKS = " ▁▂▃▄▅▆▇█"
HISTORY = 40
SHORTEST_HISTORY = 10
BESIDE_HISTORY = 60
"""The columns beside a history: for its label, its count and its note."""
PLAIN_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class SideNow:
    """One moment of one side's run."""

    side: str
    elapsed_s: float
    requests: int
    invoked: int
    under_way: int
    accepted: int
    throttled: int
    failed: int
    events_accepted: int
    delivered: int
    refused: int
    invoked_per_s: float
    throttled_per_s: float
    delivered_per_s: float
    partner_rate_per_s: float
    sample: Sample | None = None
    """The last look at the queues; None for a design without one."""
    oldest_s: float = 0.0
    partner_down: bool = False

    @property
    def depth(self) -> int:
        """Messages on the main queue."""
        return self.sample.visible + self.sample.in_flight if self.sample else 0

    @property
    def state(self) -> str:
        """Anything out of the ordinary, in words; empty if there is nothing."""
        words = ["partner down"] if self.partner_down else []
        if self.sample is not None:
            known = {
                "breaker open": self.sample.breaker_open,
                "cooling down": self.sample.cooling,
                "intake stopped": self.sample.paused,
                f"{self.sample.parked:,} parked": self.sample.parked,
                f"{self.sample.dead:,} dead letters": self.sample.dead,
            }
            words += [word for word, holds in known.items() if holds]
        return ", ".join(words)


class View(Protocol):
    """Where the demo's news goes."""

    def say(self, text: str) -> None:
        """Print a line that stays."""

    def show(self, progress: SideNow) -> None:
        """The state of the side that runs now."""


class PlainView:
    """Lines, one every few seconds: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._side, self._next_s = "", 0.0

    def say(self, text: str) -> None:
        self._console.print(text)

    def show(self, progress: SideNow) -> None:
        if progress.side != self._side:
            self._side, self._next_s = progress.side, PLAIN_EVERY_S
        if progress.elapsed_s < self._next_s:
            return
        self._next_s = progress.elapsed_s + PLAIN_EVERY_S
        queue = "" if progress.sample is None else f", queue {progress.depth}"
        state = f"; {progress.state}" if progress.state else ""
        self.say(
            f"  {progress.side} {progress.elapsed_s:4.0f} s: {progress.invoked}/{progress.requests} invoked,"
            f" {progress.accepted} accepted, {progress.throttled} throttled,"
            f" {progress.delivered}/{progress.events_accepted} events delivered{queue},"
            f" oldest {progress.oldest_s:.0f} s{state}"
        )


class LiveView:
    """A table that is drawn anew in place, with a short history of each rate."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._side = ""
        self._history: dict[str, deque[float]] = {}
        self._columns = max(SHORTEST_HISTORY, min(HISTORY, live.console.width - BESIDE_HISTORY))

    def say(self, text: str) -> None:
        self._live.console.print(text)

    def show(self, progress: SideNow) -> None:
        if progress.side != self._side:
            self._side, self._history = progress.side, {}
        self._live.update(self._drawn(progress))

    def _drawn(self, progress: SideNow) -> Group:
        invoked_per_s, throttled_per_s = progress.invoked_per_s, progress.throttled_per_s
        takes = f"{progress.delivered_per_s:.0f} / s of {progress.partner_rate_per_s:g}"
        refused = f", {progress.refused:,} refused" if progress.refused else ""
        rows = [
            ("invocations", progress.invoked, invoked_per_s, TEAL, f"{invoked_per_s:.0f} / s"),
            ("throttled", progress.throttled, throttled_per_s, BAD, f"{throttled_per_s:.0f} / s"),
            ("deliveries", progress.delivered, progress.delivered_per_s, GOOD, takes + refused),
        ]
        if progress.sample is not None:
            note = f"{progress.sample.in_flight:,} being delivered or hidden"
            rows.insert(2, ("queue depth", progress.depth, progress.depth, WARN, note))
            limit = progress.sample.limit_per_s
            if limit is not None:
                rows.append(("limit", round(limit), limit, BLUE, f"{limit:.1f} / s are allowed"))
        table = Table.grid(padding=(0, 2))
        table.add_column(style=DIM)
        table.add_column(justify="right", min_width=9)
        table.add_column(min_width=self._columns, max_width=self._columns, no_wrap=True)
        table.add_column(style=DIM)
        bar = ProgressBar(total=max(progress.requests, 1), completed=progress.invoked, width=self._columns)
        table.add_row("sent", f"{progress.invoked / max(progress.requests, 1):.0%}", bar, f"of {progress.requests:,}")
        for label, count, level, colour, note in rows:
            table.add_row(label, f"{count:,}", self._history_of(label, level, colour), note)
        oldest = self._history_of("oldest", progress.oldest_s, VIOLET)
        table.add_row("oldest waiting", f"{progress.oldest_s:.1f} s", oldest, "")
        heading = Text.assemble(
            (progress.side, "bold"),
            f"  {progress.elapsed_s:.0f} s  ",
            (f"{progress.accepted:,} accepted, {progress.under_way} under way", DIM),
            (f", {progress.failed:,} failed" if progress.failed else "", BAD),
            (f"  {progress.state}" if progress.state else "", f"bold {WARN}"),
        )
        return Group(Text(), heading, table)

    def _history_of(self, label: str, level: float, colour: str) -> Text:
        history = self._history.setdefault(label, deque(maxlen=self._columns))
        history.append(level)
        return Text(sparkline(history), style=colour)


def sparkline(levels: "deque[float] | list[float]") -> str:
    """Bars of eight heights, the highest for the largest level; nought is blank."""
    top = max(levels, default=0.0)
    if top <= 0:
        return " " * len(levels)
    return "".join(BLOCKS[0] if level <= 0 else BLOCKS[max(1, round(8 * level / top))] for level in levels)


@contextmanager
def view(console: Console) -> Iterator[View]:
    """The live view on a terminal; plain lines when the output is not one, or in CI."""
    if not console.is_terminal or os.environ.get("CI"):
        yield PlainView(console)
        return
    with Live(console=console, auto_refresh=True, refresh_per_second=4, transient=True) as live:
        yield LiveView(live)
