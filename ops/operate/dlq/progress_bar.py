"""How far a redrive is: a bar on a terminal, plain lines elsewhere."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 10.0
SAME_EVERY_S = 60.0
"""How often a line is repeated that says nothing new."""


@contextmanager
def shown(
    console: Console, total: int, what: str, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int, str], None]]:
    """Give a function to call with the number that is done, and what holds the rest up if something does."""
    if console.is_terminal and not os.environ.get("CI"):
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done, held: bar.update(task, completed=done, description=held or what)
        return
    said_s, said = clock(), (0, "")

    def line(done: int, held: str) -> None:
        nonlocal said_s, said
        every_s = LINE_EVERY_S if (done, held) != said else SAME_EVERY_S
        if clock() - said_s >= every_s:
            said_s, said = clock(), (done, held)
            console.print(f"{done:,} of {total:,} {what}{f': {held}' if held else ''}")

    yield line
