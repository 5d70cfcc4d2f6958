"""Simulated time: an event loop that does not wait. When nobody can go on, its clock jumps to the next timer.

So a day of waiting costs nothing, and what happens at which moment depends on the seed alone, not on the machine.
"""

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH_S = 1_790_000_000.0
"""What the fleet's clocks show when a simulation begins, seconds since 1970. The loop's own time begins at zero."""


class _NobodyWaits(selectors.DefaultSelector):
    """Takes the time that asyncio would wait for sockets, and passes it at once. There are no sockets."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the simulation stands still: everybody waits and no timer is set")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose `time()` is simulated."""

    def __init__(self) -> None:
        self._virtual = _NobodyWaits()
        super().__init__(self._virtual)
        self.set_exception_handler(_only_what_lives)

    def time(self) -> float:
        return self._virtual.now


class Killed(BaseException):
    """The environment is gone. Not an Exception: no code of the worker may catch it and go on."""


def _only_what_lives(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """What is left of a killed environment ends with Killed, and nobody asks why."""
    if not isinstance(context.get("exception"), Killed | BaseExceptionGroup):
        loop.default_exception_handler(dict(context))


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on simulated time from zero; what it left running is ended."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()


def now_s() -> float:
    return asyncio.get_running_loop().time()
