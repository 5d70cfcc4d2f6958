"""How much of this machine other work took: tells a demo that failed from one on a machine that was too busy."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """CPU seconds since some moment: of all processors' work, of this process and those it started, and of the clock
    times the processors.
    """

    busy_s: float
    ours_s: float
    possible_s: float


class Neighbours:
    """Other processes' share of the machine from the start to a call of `share()`. `read` reads it, or is a test's."""

    def __init__(self, read: Callable[[], CpuTimes] | None = None) -> None:
        self._read = read or _Machine()
        self._began = self._read()

    def share(self) -> float:
        """0 to 1: the part of all processors' time that went into the work of others."""
        now, began = self._read(), self._began
        others_s = (now.busy_s - began.busy_s) - (now.ours_s - began.ours_s)
        possible_s = now.possible_s - began.possible_s
        return min(1.0, max(0.0, others_s / possible_s)) if possible_s > 0 else 0.0


class _Machine:
    """Reads the CPU times; the time of a process of ours that has ended is kept from its last reading."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, float], float] = {}

    def __call__(self) -> CpuTimes:
        times = psutil.cpu_times()
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        counted_twice_s = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # they are a part of user
        possible_s = sum(times) - counted_twice_s
        own = psutil.Process(os.getpid())
        for process in [own, *own.children(recursive=True)]:
            try:
                used = process.cpu_times()
                self._seen[process.pid, process.create_time()] = used.user + used.system
            except psutil.Error:  # it has just ended
                continue
        return CpuTimes(possible_s - idle_s, sum(self._seen.values()), possible_s)
