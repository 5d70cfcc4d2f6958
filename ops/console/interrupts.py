"""Ctrl-C and SIGTERM without half-made things: held back while something is made or ended, a cancellation in a loop.

Python raises in the middle of whatever the main thread does. If it is building an event loop or starting a thread, the
exception would leave something behind that is never ended. So a signal takes effect only after such moments.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

SIGNALS = (signal.SIGINT, signal.SIGTERM)

Result = TypeVar("Result")


@contextmanager
def held_back() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait until the block has ended. Outside the main thread, where none arrive, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        caught.append(number)

    before = {number: signal.signal(number, hold) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if caught:
            signal.raise_signal(caught[0])


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C, or whoever ends processes, asked to stop: what is under way is ended first. A second Ctrl-C does
    not wait.
    """
    asked: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        signal.signal(number, before[number])

    before: dict[int, Any] = {name: signal.signal(name, ask) for name in SIGNALS}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in a loop of its own, as `asyncio.run` does. For the main thread.

    A signal cancels it; when it has cleaned up and the loop is closed, the signal has the effect it would have had.
    """
    stopped_by: list[int] = []
    runner, task = asyncio.Runner(), None

    async def cancellable() -> Result:
        nonlocal task
        task = asyncio.current_task()
        if stopped_by and task is not None:
            task.cancel()
        return await main

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped_by.append(number)
        if task is not None and len(stopped_by) == 1:
            runner.get_loop().call_soon_threadsafe(task.cancel)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        return runner.run(cancellable())
    finally:
        runner.close()
        for number, handler in before.items():
            signal.signal(number, handler)
        if stopped_by:
            signal.raise_signal(stopped_by[0])
