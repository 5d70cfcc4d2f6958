"""The usual ways with a partner's 429, on simulated time: environments that take messages off a queue, a call for each.

Both leave it to the queue to bring a failed message back. They are given what favours them: a queue and a function
that cost no time, and a queue that takes a message up to any number of times.
"""

import asyncio
import heapq
import random
from dataclasses import dataclass, field

from testkit.clock import now_s, run
from testkit.simulation.partner import PartnerLimit

RECEIVED, HIDDEN_FOR_S = 10, 30.0
"""SQS's defaults for a function: messages of a batch, and how soon a failed one comes back."""
RECEIVES, FIRST_WAIT_S, LONGEST_WAIT_S = 5, 0.5, 20.0
"""Of the jittered exponential back-off within an invocation."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """A partner that takes so many calls in any second, and a backlog of messages; `from_s` to `until_s` is counted."""

    environments: int
    in_flight: int
    rate_per_s: float
    latency_s: float
    messages: int
    from_s: float
    until_s: float
    backs_off: bool
    """Whether a 429 is tried again in the invocation, after a jittered exponential wait, before it is a failure."""


@dataclass(slots=True)
class Calls:
    taken: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Fleet:
    given: Throttled
    rng: random.Random
    limiter: PartnerLimit
    new: int
    """Messages that were not received yet."""
    back_s: list[float] = field(default_factory=list)
    """When failed messages come back, a heap."""
    outcome: Calls = field(default_factory=Calls)

    async def environment(self) -> None:
        """Take batches until the end: messages that came back first, as they are the oldest."""
        room = asyncio.Semaphore(self.given.in_flight)
        while True:
            batch = [self._receive() for _ in range(RECEIVED)]
            if not any(batch):
                await asyncio.sleep(0.1)
            await asyncio.gather(*(self._message(room) for received in batch if received))

    def _receive(self) -> bool:
        if self.back_s and self.back_s[0] <= now_s():
            heapq.heappop(self.back_s)
            return True
        self.new -= 1
        return self.new >= 0

    async def _message(self, room: asyncio.Semaphore) -> None:
        async with room:
            for number in range(RECEIVES if self.given.backs_off else 1):
                is_taken, counts = self.limiter.takes(now_s()), now_s() >= self.given.from_s
                await asyncio.sleep(self.given.latency_s)
                if is_taken:
                    self.outcome.taken += counts
                    return
                self.outcome.refused += counts
                if self.given.backs_off and number < RECEIVES - 1:
                    longest_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**number)
                    await asyncio.sleep(self.rng.uniform(0, longest_s))
            heapq.heappush(self.back_s, now_s() + HIDDEN_FOR_S)


def throttled(given: Throttled, seed: int) -> Calls:
    """What the partner took and refused. The same arguments give the same."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    fleet = _Fleet(given, rng, PartnerLimit(given.rate_per_s, "sliding_window"), given.messages)

    async def all_of_it() -> None:
        tasks = [asyncio.ensure_future(fleet.environment()) for _ in range(given.environments)]
        await asyncio.wait(tasks, timeout=given.until_s)

    run(all_of_it())
    return fleet.outcome
