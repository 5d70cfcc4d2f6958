"""How far a redrive is: a bar on a terminal, plain lines elsewhere."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 10.0


@contextmanager
def shown(
    console: Console, total: int, what: str, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int, str], None]]:
    """Give a function that is told how many are done, and what holds it up if something does."""
    if console.is_terminal and not os.environ.get("CI"):
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done, held: bar.update(task, completed=done, description=held or what)
        return
    last = [clock()]

    def line(done: int, held: str) -> None:
        if clock() - last[0] >= LINE_EVERY_S:
            last[0] = clock()
            console.print(f"{done:,} of {total:,} {what}{f': {held}' if held else ''}")

    yield line
