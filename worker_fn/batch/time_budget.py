"""The time of one invocation, and the share of it that each step of a batch or a tick may use.

Every step has the time until its own end, so time that one step leaves over goes to the next:

    mapping, calls ▶ T-R  return times ▶ T-R/2  receipts ▶ T-R/4  settling ▶ T-1 s  last writes ▶ T-0.5 s  answer ▶ T

T is the end of the invocation, R the reserve for settling (SETTLE_RESERVE_S). Until T-R being late costs nothing:
messages that were not sent come back. After that, a step that takes too long is given up, and the next one begins.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

SETTLE_RESERVE_S = 8.0
"""R, unless a deployment sets another."""

ANSWER_S = 1.0
"""The time that is kept at the end for the function's own answer, half of it for the last writes."""

LEAST_S = 0.5
"""The least time that a settle call gets, however little is left: otherwise delivered messages would come back."""

MAPPING_SHARE = 1 / 5
"""The share of a batch's time for calls that decoding and mapping one message may take: it leaves most of the time to
the others, and a message that is merely large (a few hundred ms for 5 MB on a whole core) needs far less."""

TICK_ENDS_SHARE = 0.25
"""Share of an invocation's time that is kept back at the end of a tick."""


class TimeBudget:
    """`remaining_s` gives the rest of the invocation's time. Each `for_..._s` is the time that a step may still use."""

    def __init__(self, remaining_s: Callable[[], float], settle_reserve_s: float) -> None:
        self.remaining_s = remaining_s
        self.settle_reserve_s = settle_reserve_s
        self.whole_s = remaining_s()
        """The time that there was at the beginning."""

    def for_calls_s(self) -> float:
        return self.remaining_s() - self.settle_reserve_s

    def for_one_mapping_s(self) -> float:
        return MAPPING_SHARE * max(0.0, self.for_calls_s())

    def for_return_times_s(self) -> float:
        return self.remaining_s() - self.settle_reserve_s / 2

    def for_receipts_s(self) -> float:
        return self.remaining_s() - self.settle_reserve_s / 4

    def for_moving_s(self) -> float:
        """For putting messages into the dead-letter and the parking queue."""
        return max(LEAST_S, self.remaining_s() - ANSWER_S - LEAST_S)

    def for_hiding_s(self) -> float:
        return max(LEAST_S, self.remaining_s() - ANSWER_S)

    def for_last_writes_s(self) -> float:
        return self.remaining_s() - ANSWER_S / 2

    def probe_needs_s(self, call_timeout_s: float) -> float:
        """For a probe: its call, and settling its message."""
        return call_timeout_s + self.settle_reserve_s

    def for_sweep_s(self) -> float:
        """For looking through the parking queue, at the end of a tick."""
        return self.remaining_s() - TICK_ENDS_SHARE * self.whole_s


async def in_time(work: Awaitable[T], seconds: float, otherwise: T) -> T:
    """The result of some work, or `otherwise` if there is no time for it: it must not cost the batch its answer."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        return otherwise
