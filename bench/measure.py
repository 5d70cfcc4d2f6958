"""Alternating runs, the time that they took, and the peers, limits and goals of a figure. The arithmetic is pure."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self


class CannotMeasure(Exception):
    """Something that a benchmark needs is missing or failed; the error's text says what."""


class MeasuresNothing(Exception):
    """A run did less than it claims, or took less time than the clock can measure, so its figure would mean nothing."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The time that one run took for a number of calls, events or messages (`units`)."""

    cpu_s: float
    wall_s: float
    units: int = 1

    @property
    def cpu_ms_a_unit(self) -> float:
        return self.cpu_s * 1_000 / self.units

    @property
    def wall_ms_a_unit(self) -> float:
        return self.wall_s * 1_000 / self.units

    @property
    def units_a_second(self) -> float:
        return self.units / self.wall_s


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of several runs, and the quartiles around it."""

    median: float
    low: float
    high: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        if not values:
            raise MeasuresNothing("no run")
        if len(values) == 1:
            return cls.exact(values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))

    @classmethod
    def exact(cls, value: float) -> Self:
        """A figure that was counted or calculated, so that it has no spread."""
        return cls(value, value, value, 1)

    def less(self, other: Self) -> Self:
        """This figure less another's median: a cold start, for example, less that of the bare runtime client."""
        return type(self)(self.median - other.median, self.low - other.median, self.high - other.median, self.runs)


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on a figure, or on its ratio to the peer's figure or to the limit."""

    bound: float
    at_least: bool = False
    of: str = "figure"
    """`figure`, `peer` or `limit`."""

    def text(self, unit: str) -> str:
        what = unit if self.of == "figure" else f"× {self.of}"
        return f"{'≥' if self.at_least else '≤'} {self.bound:g} {what}"

    def is_met(self, row: "Row") -> bool:
        """Whether the median meets the goal, and the worse quartiles of both figures do, too. A figure whose spread
        lies on both sides of the bound does not meet it.
        """
        return self._holds(row, worst=True)

    def is_near(self, row: "Row") -> bool:
        """Whether the median meets the goal, but the spread does not."""
        return self._holds(row, worst=False) and not self.is_met(row)

    def _holds(self, row: "Row", *, worst: bool) -> bool:
        other = {"figure": Figure.exact(1), "peer": row.peer, "limit": row.limit}[self.of]
        if other is None or other.median <= 0 or other.high <= 0:
            return False
        if self.at_least:
            return (row.ours.low / other.high if worst else row.ours.median / other.median) >= self.bound
        if worst and other.low <= 0:
            return False
        return (row.ours.high / other.low if worst else row.ours.median / other.median) <= self.bound


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the report. `beside` has further figures of the same runs, by name."""

    name: str
    unit: str
    ours: Figure
    peer: Figure | None = None
    peer_name: str | None = None
    limit: Figure | None = None
    goals: tuple[Goal, ...] = ()
    beside: Mapping[str, Figure] | None = None
    note: str = ""

    @property
    def ratio_to_peer(self) -> float | None:
        return ratio(self.ours, self.peer)

    @property
    def ratio_to_limit(self) -> float | None:
        return ratio(self.ours, self.limit)

    @property
    def goal(self) -> str | None:
        return ", ".join(goal.text(self.unit) for goal in self.goals) or None

    @property
    def met(self) -> bool | None:
        """Whether the row meets all its goals; None for a row without a goal."""
        return all(goal.is_met(self) for goal in self.goals) if self.goals else None

    @property
    def is_near(self) -> bool:
        """Whether the row misses its goals only because of the spread."""
        return not self.met and bool(self.goals) and all(one.is_met(self) or one.is_near(self) for one in self.goals)


def ratio(ours: Figure, other: Figure | None) -> float | None:
    """The ratio of two figures' medians; None if there is no other figure, or its median is 0."""
    return ours.median / other.median if other is not None and other.median > 0 else None


MOST_ROUNDS = 25


def alternately(
    contenders: Mapping[str, Callable[[], Sample]],
    *,
    least: int,
    budget_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, list[Sample]]:
    """Run each contender once a round. Each round begins with another one, so that a disturbance of the machine is
    shared by all. There are at least `least` rounds, and more while one as long as the longest fits the budget.
    """
    names, taken = list(contenders), {name: list[Sample]() for name in contenders}
    began_s, longest_s, rounds = clock(), 0.0, 0
    while rounds < least or (rounds < MOST_ROUNDS and clock() - began_s + longest_s <= budget_s):
        turn, round_began_s = rounds % len(names), clock()
        for name in (*names[turn:], *names[:turn]):
            taken[name].append(contenders[name]())
        longest_s, rounds = max(longest_s, clock() - round_began_s), rounds + 1
    return taken


def checked(sample: Sample, *, counted: int, claimed: int, clock_step_s: float) -> Sample:
    """The run itself, if a stub counted what it claims and the clock could measure it. Raises MeasuresNothing."""
    if claimed < 1 or sample.units < 1:
        raise MeasuresNothing("a run without work")
    if counted != claimed:
        raise MeasuresNothing(f"the stub saw {counted} of {claimed} calls")
    if min(sample.cpu_s, sample.wall_s) < 100 * clock_step_s:
        raise MeasuresNothing(f"{sample.cpu_s:.2g} s of CPU in {sample.wall_s:.2g} s: too little for the clock")
    return sample
