"""Simulated time: an event loop that does not wait. When no task can go on, its clock jumps to the next timer.

So a day of waiting costs nothing, and the order of events depends on the seed alone, not on the machine.
"""

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH_S = 1_790_000_000.0
"""The time on all clocks when simulated time begins, in seconds since 1970. The loop's own time begins at zero."""


class Clock:
    """Simulated time for one test: its loops move it, and so does setting `now_s`."""

    def __init__(self, begins_s: float = EPOCH_S) -> None:
        self.begins_s = begins_s
        self.passed_s = 0.0

    @property
    def now_s(self) -> float:
        """Seconds since 1970."""
        return self.begins_s + self.passed_s

    @now_s.setter
    def now_s(self, now_s: float) -> None:
        self.passed_s = now_s - self.begins_s

    def now_ms(self) -> int:
        return int(self.now_s * 1_000)

    def loop(self) -> "VirtualLoop":
        """A loop whose time goes on where the last one stopped."""
        return VirtualLoop(self)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on simulated time; tasks that it left running are ended."""
        loop = self.loop()
        try:
            return loop.run_until_complete(main)
        finally:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.close()


class _NobodyWaits(selectors.DefaultSelector):
    """Takes the time that asyncio would wait for sockets, and passes it at once. There are no sockets."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the simulation stands still: everybody waits and no timer is set")
        self._clock.passed_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose `time()` is simulated."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        super().__init__(_NobodyWaits(clock))
        self.set_exception_handler(_only_what_lives)

    def time(self) -> float:
        return self.clock.passed_s


class Killed(BaseException):
    """The environment is gone. Not an Exception: no code of the worker may catch it and go on."""


def _only_what_lives(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Ignore the Killed with which the rest of a killed environment ends."""
    if not isinstance(context.get("exception"), Killed | BaseExceptionGroup):
        loop.default_exception_handler(dict(context))


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on simulated time from zero."""
    return Clock().run(main)


def now_s() -> float:
    """Simulated seconds since it began."""
    return asyncio.get_running_loop().time()
