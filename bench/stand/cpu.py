"""CPU time of another process, to the nanosecond: all its threads, those that have ended among them."""

import sys
import time

from bench.measure import CannotMeasure

CLOCK_STEP_S = 1e-6
"""The step of the clock, with room to spare."""


def cpu_s(pid: int) -> float:
    """CPU seconds that a running process has used since it was started. Raises CannotMeasure but on Linux."""
    if not sys.platform.startswith("linux"):
        raise CannotMeasure("the bench needs Linux, which tells another process's CPU time to the nanosecond")
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3), which Python has for its own process alone
