"""An operator of the simulated fleet: the commands that a scenario gives, each at its time."""

import asyncio
import random

from shared.state import PARTNER
from testkit.clock import EPOCH_S, now_s
from testkit.simulation.fleet import Deployment
from testkit.simulation.scenario import ByHand
from worker_fn.limits import agreement
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.flow import Flow
from worker_fn.limits.known_item import change_flow


async def operate(deployment: Deployment) -> None:
    """Do what the scenario says, one after the other."""
    scenario = deployment.world.scenario
    bounds = Bounds(scenario.partner.rate_per_s if scenario.partner.declared else None)
    for one in scenario.by_hand:
        await asyncio.sleep(one.from_s - now_s())
        await _turn(deployment, bounds, one)


async def _turn(deployment: Deployment, bounds: Bounds, one: ByHand) -> None:
    from_ms, until_ms = (round(1_000 * (EPOCH_S + at_s)) for at_s in (one.from_s, one.until_s))

    def turned(flow: Flow) -> tuple[Flow, None]:
        if one.per_second:
            return agreement.set_limit(flow, bounds, one.per_second, until_ms=until_ms, now_ms=from_ms), None
        return agreement.open_breaker(flow, until_ms=until_ms, now_ms=from_ms), None

    await change_flow(deployment.table, PARTNER, turned, rng=random.Random(0))  # noqa: S311 - a simulation
