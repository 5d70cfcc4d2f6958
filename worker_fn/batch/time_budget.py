"""The time of one invocation, and what of it each step of a batch or a tick may use.

Every step has the time until its own end, so what one leaves over is the next one's:

    mapping, calls ▶ T-R  return times ▶ T-R/2  receipts ▶ T-R/4  settling ▶ T-1 s  last writes ▶ T-0.5 s  answer ▶ T

T is the end of the invocation, R the reserve for settling (SETTLE_RESERVE_S). Until T-R nothing is lost by being late:
what was not sent comes back. From there on each step that takes too long is given up, and the next one has its part.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

ANSWER_S = 1.0
"""What is kept at the end for the function's own answer, half of it for what is written last."""

LEAST_S = 0.5
"""The least that a settle call gets, however little time is left: without it what was delivered would come back."""

MAPPING_SHARE = 1 / 5
"""Of the time that a batch has for its calls, what decoding and mapping one message may take: so the others have most
of it, and a message that is merely large (a few hundred ms for 5 MB on a whole core) is far from it."""

TICK_ENDS_SHARE = 0.25
"""Share of an invocation's time that is kept back at the end of a tick."""


@dataclass(frozen=True, slots=True)
class TimeBudget:
    """`remaining_s` tells what is left of the invocation. Each `for_..._s` is what a step may still use, now."""

    remaining_s: Callable[[], float]
    settle_reserve_s: float
    whole_s: float = field(init=False)
    """What there was at the beginning."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole_s", self.remaining_s())

    def for_calls_s(self) -> float:
        """For mapping and sending."""
        return self.remaining_s() - self.settle_reserve_s

    def for_one_mapping_s(self) -> float:
        """For decoding and mapping one message."""
        return MAPPING_SHARE * max(0.0, self.for_calls_s())

    def for_return_times_s(self) -> float:
        """For giving messages that wait a time to come back."""
        return self.remaining_s() - self.settle_reserve_s / 2

    def for_receipts_s(self) -> float:
        """For writing down what became of erasures."""
        return self.remaining_s() - self.settle_reserve_s / 4

    def for_moving_s(self) -> float:
        """For putting messages into the dead-letter and the parking queue."""
        return max(LEAST_S, self.remaining_s() - ANSWER_S - LEAST_S)

    def for_hiding_s(self) -> float:
        """For hiding messages that wait."""
        return max(LEAST_S, self.remaining_s() - ANSWER_S)

    def for_last_writes_s(self) -> float:
        """For what is remembered after everything is settled."""
        return self.remaining_s() - ANSWER_S / 2

    def probe_needs_s(self, call_timeout_s: float) -> float:
        """What a probe may take: its call, and settling its message."""
        return call_timeout_s + self.settle_reserve_s

    def for_sweep_s(self) -> float:
        """For looking through the parking queue, at the end of a tick."""
        return self.remaining_s() - TICK_ENDS_SHARE * self.whole_s


async def in_time(work: Awaitable[T], seconds: float, otherwise: T) -> T:
    """What some work comes to, or `otherwise` when there is no time for it: it is not worth the batch's answer."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            return await work
    except TimeoutError:
        return otherwise
