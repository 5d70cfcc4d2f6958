"""One simulation from its beginning to its end."""

import asyncio
import gc
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from testkit import clock
from testkit.clock import now_s
from testkit.simulation.fleet import Deployment
from testkit.simulation.life import World
from testkit.simulation.operator import operate
from testkit.simulation.partner import Api
from testkit.simulation.queues import Queues
from testkit.simulation.scenario import Scenario
from testkit.simulation.streams import Streams

MANY_OBJECTS = 100_000
"""As many more than there were before the collector looks through them all."""


@dataclass(slots=True)
class Run:
    """How it ended."""

    deployment: Deployment
    ended_s: float

    @property
    def world(self) -> World:
        return self.deployment.world

    @property
    def queues(self) -> Queues:
        return self.deployment.queues


def simulate(scenario: Scenario, seed: int, *, dies_at_step: int | None = None, api: type[Api] = Api) -> Run:
    """Run a scenario until everything is settled, or to its latest end. The same seed, the same run."""
    with _seldom_collected():
        return clock.run(_simulate(scenario, seed, dies_at_step, api))


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """A run keeps most of what it makes until it is judged: to look for garbage every 700 objects takes a seventh."""
    before = gc.get_threshold()
    gc.set_threshold(MANY_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def _simulate(scenario: Scenario, seed: int, dies_at_step: int | None, api: type[Api]) -> Run:
    rng = random.Random(f"{scenario.name} {seed}")  # noqa: S311 - a simulation
    world = World(scenario, rng, dies_at_step=dies_at_step)
    accounts = {account for one in scenario.traffic for account in one.accounts}
    streams = Streams(scenario.traffic, world.truth, is_fair=scenario.fleet.fair and 1 < len(accounts) <= 100)
    deployment = Deployment(world, Queues(world, streams), api(world))
    running = {
        asyncio.get_running_loop().create_task(one)
        for one in (deployment.poll(), deployment.tick(), operate(deployment))
    }
    while now_s() < scenario.ends_s and not _is_over(deployment):
        done, _ = await asyncio.wait(running, timeout=min(5.0, scenario.ends_s - now_s()))
        for one in done:
            one.result()
        deployment.count()
    ended_s = now_s()
    return Run(deployment, ended_s)


def _is_over(deployment: Deployment) -> bool:
    return deployment.is_idle and deployment.queues.is_empty and not deployment.queues.parked
