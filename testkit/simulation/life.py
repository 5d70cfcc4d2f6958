"""Shared by all parts of a simulation: the scenario, the dice, the truth; and whether an environment lives."""

import random
from dataclasses import dataclass, field

from testkit.clock import Killed, now_s
from testkit.simulation.scenario import Scenario, Trouble
from testkit.simulation.truth import Truth


@dataclass(slots=True)
class World:
    scenario: Scenario
    rng: random.Random
    truth: Truth = field(default_factory=Truth)
    dies_at_step: int | None = None
    """Kill the worker that takes this step: how kill points are enumerated."""
    _kinds: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._kinds = frozenset(one.kind for one in self.scenario.trouble)

    def trouble(self, kind: str, account: int | None = None, key: str = "") -> Trouble | None:
        """The trouble of a kind that is on now, and hits this time."""
        if kind not in self._kinds:
            return None
        for one in self.scenario.trouble:
            if one.kind == kind and one.is_on(now_s()) and one.hits(account, key):
                return one if one.share >= 1 or self.rng.random() < one.share else None
        return None

    def happens(self, kind: str) -> bool:
        return self.trouble(kind) is not None

    def latency_s(self, latency_ms: tuple[float, float]) -> float:
        """Seconds, drawn with a long tail around the median, at most the largest."""
        median, largest = latency_ms
        return min(largest, median * self.rng.lognormvariate(0, 0.4)) / 1_000


@dataclass(slots=True)
class Life:
    """One Lambda environment. Each call of a fake takes a step, and the worker may die at any."""

    world: World
    number: int
    alive: bool = True
    accepted: list[str] = field(default_factory=list)
    """Items that the partner took in this invocation."""
    state_failed: bool = False
    """In this invocation a call to the state table failed: progress may be missing."""

    def step(self, what: str) -> None:  # noqa: ARG002 - for whoever looks for the step that broke something
        """Go on, or die here. Every later step of a dead environment raises as well, so none has an effect."""
        if not self.alive:
            raise Killed
        truth = self.world.truth
        truth.steps += 1
        if truth.steps == self.world.dies_at_step or self.world.happens("dies"):
            self.die()
            raise Killed

    def die(self) -> None:
        if self.alive:
            self.alive = False
            self.world.truth.deaths += 1
