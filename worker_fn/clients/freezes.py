"""Whether this process stood still: Lambda freezes an environment, and a busy machine has much the same effect.

Two clocks are compared, because one of them may stop with the process. A process that stands still notices nothing that
it waits for, so a time-out then says nothing about the partner.
"""

from collections.abc import Callable

BEAT_S = 0.5
"""How often a client compares the clocks while calls are under way."""

STILL_S = 2.0
"""If a comparison comes this much too late, by either clock, the process stood still."""


class Freezes:
    """The clocks are compared when a call begins and ends, and every BEAT_S between."""

    def __init__(self, clock: Callable[[], float], wall_clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._seen_s, self._seen_wall_s = clock(), wall_clock()
        self.count = 0
        """How often the process stood still."""

    def look(self) -> None:
        """Compare the clocks with their last readings."""
        now_s, now_wall_s = self._clock(), self._wall_clock()
        passed_s, passed_wall_s = now_s - self._seen_s, now_wall_s - self._seen_wall_s
        self._seen_s, self._seen_wall_s = now_s, now_wall_s
        self.count += max(passed_s, passed_wall_s) > BEAT_S + STILL_S
