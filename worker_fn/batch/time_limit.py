"""A bound on the time of code that never yields to the event loop: a partner's mapping, in the loop's one thread.

On the main thread, where Lambda calls the handler, a timer's signal interrupts the code between two of its bytecodes,
and regular expressions as well. Nothing in Python can interrupt a single call into C that does not look for signals
(`int()` of ten million digits, say): such a call ends the invocation by its time-out. That is why the input of partners
is bounded in size. On another thread, as in some tools, nothing is interrupted. Either way the caller measures the time
that the code took.
"""

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

LOOKS_EVERY_S = 0.05
"""How often the timer checks whether the code's time is over; code that catches the interruption gets another one."""


class OutOfTime(Exception):
    """The code was interrupted."""


class _Interrupted(BaseException):
    """Not an Exception: a partner's `except Exception` around one event must not take it for that event's fault."""


class _Timer:
    users = 0
    thread = 0
    """The thread in which it ticks; 0: in none."""
    ends_s = math.inf
    """When the running code's time is over."""
    began_s: float
    handler: Any
    before: tuple[float, float]
    """What somebody else had set when it began to tick: the time left, and the interval."""

    @classmethod
    def look(cls, _signal: int, frame: FrameType | None) -> None:
        is_done = frame is not None and frame.f_code is at_most.__exit__.__code__  # nothing catches it there
        if time.monotonic() >= cls.ends_s and not is_done:
            raise _Interrupted

    @classmethod
    def start(cls) -> None:
        cls.thread, cls.began_s = threading.get_ident(), time.monotonic()
        cls.handler = signal.signal(signal.SIGALRM, cls.look)
        cls.before = signal.setitimer(signal.ITIMER_REAL, LOOKS_EVERY_S, LOOKS_EVERY_S)

    @classmethod
    def stop(cls) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if cls.handler != signal.SIG_DFL:  # which would end the process for a tick that is under way
            signal.signal(signal.SIGALRM, cls.handler)
        cls.thread, (left_s, every_s) = 0, cls.before
        if left_s:  # a timer that was set before gets the rest of its time
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left_s - (time.monotonic() - cls.began_s)), every_s)


@contextmanager
def ticking() -> Iterator[None]:
    """Run one timer for every `at_most` inside: setting a timer costs more than a small mapping. Several coroutines may
    run it at the same time.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if not _Timer.users:
        _Timer.start()
    _Timer.users += 1
    try:
        yield
    finally:
        _Timer.users -= 1
        if not _Timer.users:
            _Timer.stop()


class at_most:  # noqa: N801 - as contextlib has its own
    """Interrupt the code inside after `seconds`, or a tick later, where the timer is `ticking`. Raises OutOfTime."""

    __slots__ = ("_ends_s", "_outer_s")

    def __init__(self, seconds: float) -> None:
        self._ends_s = time.monotonic() + seconds

    def __enter__(self) -> None:
        self._outer_s = _Timer.ends_s
        if _Timer.thread == threading.get_ident():
            _Timer.ends_s = self._ends_s

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if _Timer.thread == threading.get_ident():
            _Timer.ends_s = self._outer_s
        if kind is _Interrupted:
            raise OutOfTime from None
