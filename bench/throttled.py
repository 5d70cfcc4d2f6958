"""The usual ways to deal with a partner's 429, on simulated time: environments receive messages and make a call for
each.

Both ways let the queue bring a failed message back. The assumptions favour them: queue and function take no time, and
a message may be received any number of times.
"""

import asyncio
import heapq
import random
from dataclasses import dataclass, field

from testkit.clock import now_s, run
from testkit.simulation.partner import PartnerLimit

RECEIVED, HIDDEN_FOR_S = 10, 30.0
"""SQS's defaults for a function: the messages in a batch, and the time until a failed one comes back."""
RECEIVES, FIRST_WAIT_S, LONGEST_WAIT_S = 5, 0.5, 20.0
"""The jittered exponential back-off within an invocation: its attempts, its first and its longest wait."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """A partner that takes `rate_per_s` calls in any second, and a backlog; calls from `from_s` to `until_s` count."""

    environments: int
    in_flight: int
    rate_per_s: float
    latency_s: float
    messages: int
    from_s: float
    until_s: float
    backs_off: bool
    """Whether a call is tried again after a 429, with a jittered exponential wait, before its message fails."""


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
    """The number of messages that were not received yet."""
    back_s: list[float] = field(default_factory=list)
    """A heap of the times at which failed messages come back."""
    outcome: Calls = field(default_factory=Calls)

    async def environment(self) -> None:
        """Take batches until the end, beginning with messages that came back, because they are the oldest."""
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
    """The number of calls that the partner took and refused. The same arguments give the same numbers."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    fleet = _Fleet(given, rng, PartnerLimit(given.rate_per_s, "sliding_window"), given.messages)

    async def all_of_it() -> None:
        tasks = [asyncio.ensure_future(fleet.environment()) for _ in range(given.environments)]
        await asyncio.wait(tasks, timeout=given.until_s)

    run(all_of_it())
    return fleet.outcome
