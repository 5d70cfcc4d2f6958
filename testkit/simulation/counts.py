"""What CloudWatch would count of a simulation's queues and ends: the day around it, in steps of five minutes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from worker_fn.clients.counts import STEP_S, Step
from worker_fn.maintenance.gap import EDGE

CALM = EDGE + 1
"""Steps before the simulation and after it, in which nothing happens."""


@dataclass(frozen=True, slots=True)
class Moment:
    """All that came and ended until then, and what lies in the main and the parking queue."""

    at_s: float
    came: int
    ended: int
    depth: int


@dataclass(slots=True)
class Counted:
    """The moments at which somebody looked, in order."""

    moments: list[Moment] = field(default_factory=lambda: [Moment(0.0, 0, 0, 0)])

    def note(self, at_s: float, *, came: int, ended: int, depth: int) -> None:
        self.moments.append(Moment(at_s, came, ended, depth))

    def steps(self) -> list[Step]:
        last = self.moments[-1]
        count = int(last.at_s // STEP_S) + 1
        by_step: list[list[Moment]] = [[] for _ in range(count)]
        for one in self.moments:
            by_step[int(one.at_s // STEP_S)].append(one)
        told: list[Step] = []
        before = self.moments[0]
        for moments in by_step:
            told.append(_step(before, moments or [before]))
            before = moments[-1] if moments else before
        after = Step(0, 0, last.depth, last.depth)
        return [*[Step(0, 0, 0, 0)] * CALM, *told, *[after] * CALM]


def _step(before: Moment, moments: Sequence[Moment]) -> Step:
    each = [before, *moments]
    came, ended = (
        sum(getattr(after, name) - getattr(one, name) for one, after in pairwise(each)) for name in ("came", "ended")
    )
    depths = [one.depth for one in moments]
    return Step(came, ended, min(depths), max(depths))
