"""A bound on the time of code that never yields to the event loop: a partner's mapping, in the loop's one thread.

On the main thread, where Lambda calls the handler, a timer's signal interrupts the code between two of its bytecodes,
and regular expressions as well. Nothing in Python can interrupt a single call into C that does not look for signals
(`int()` of ten million digits, say): such a call ends the invocation by its time-out. That is why the input of partners
is bounded in size. On another thread, as in some tools, nothing is interrupted. Either way the caller measures the time
that the code took.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_S = 0.1
"""Code that catches the interruption is interrupted again."""


class OutOfTime(Exception):
    """The code was interrupted."""


class _Interrupted(BaseException):
    """No Exception: a partner's `except Exception` around one event must not take it for that event's fault."""


class _Bell:
    """What the signal does: it interrupts, while it is `on`; `hangs` if its handler is installed."""

    hangs = False
    on = False

    @classmethod
    def ring(cls, _signal: int, _frame: FrameType | None) -> None:
        if cls.on:
            raise _Interrupted


@contextmanager
def bell() -> Iterator[None]:
    """Install the handler once for every `at_most` inside: that costs more than many a mapping."""
    if _Bell.hangs or threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGALRM, _Bell.ring)
    _Bell.hangs = True
    try:
        yield
    finally:
        _Bell.hangs = False
        signal.signal(signal.SIGALRM, handler)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Interrupt the code inside after `seconds`. Raises OutOfTime."""
    with bell():
        if not _Bell.hangs or threading.current_thread() is not threading.main_thread():
            yield
            return
        began_s, was_on = time.monotonic(), _Bell.on
        _Bell.on = True
        left_s, every_s = signal.setitimer(signal.ITIMER_REAL, max(0.001, seconds), AGAIN_S)
        try:
            try:
                yield
            finally:
                _Bell.on = False
        except _Interrupted:
            raise OutOfTime from None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            _Bell.on = was_on
            if left_s:  # a timer that was set before gets the rest of its time
                signal.setitimer(signal.ITIMER_REAL, max(0.001, left_s - (time.monotonic() - began_s)), every_s)
