"""Seconds that pass when a test says so."""

from dataclasses import dataclass


@dataclass
class Clock:
    """Seconds since the epoch, as the test says."""

    now_s: float = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def now_ms(self) -> int:
        return int(self.now_s * 1_000)
