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

TICK_S = 0.05
"""So often the timer looks whether the code's time is over; code that catches the interruption is interrupted again."""


class OutOfTime(Exception):
    """The code was interrupted."""


class _Interrupted(BaseException):
    """No Exception: a partner's `except Exception` around one event must not take it for that event's fault."""


class _Timer:
    ticks = False
    ends_s = math.inf
    """When the time is over of the code that runs."""

    @classmethod
    def look(cls, _signal: int, _frame: FrameType | None) -> None:
        if time.monotonic() >= cls.ends_s:
            raise _Interrupted


@contextmanager
def ticking() -> Iterator[None]:
    """Start the timer once for every `at_most` inside: that costs more than many a mapping."""
    if _Timer.ticks or threading.current_thread() is not threading.main_thread():
        yield
        return
    began_s, handler = time.monotonic(), signal.signal(signal.SIGALRM, _Timer.look)
    left_s, every_s = signal.setitimer(signal.ITIMER_REAL, TICK_S, TICK_S)
    _Timer.ticks = True
    try:
        yield
    finally:
        _Timer.ticks = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left_s:  # a timer that was set before gets the rest of its time
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left_s - (time.monotonic() - began_s)), every_s)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Interrupt the code inside after `seconds`, or up to a tick later. Raises OutOfTime."""
    with ticking():
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        outer_s, _Timer.ends_s = _Timer.ends_s, time.monotonic() + seconds
        try:
            try:
                yield
            finally:
                _Timer.ends_s = outer_s
        except _Interrupted:
            _Timer.ends_s = outer_s  # also where it came just before the line above
            raise OutOfTime from None
