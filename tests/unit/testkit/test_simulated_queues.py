import asyncio
import random
from dataclasses import replace

from testkit import clock
from testkit.simulation.life import World
from testkit.simulation.queues import Queues
from testkit.simulation.scenario import Traffic, load_all
from testkit.simulation.streams import Streams


def test_a_lone_message_that_was_hidden_comes_back_when_it_was_told_to() -> None:
    """Not when it would have without: whoever waits for the next message hears that it is to be sooner."""

    async def hidden_for_3_s() -> float:
        traffic = (Traffic(accounts=(1,), rate_per_s=1.0, until_s=1.0),)
        world = World(replace(load_all()[0], traffic=traffic), random.Random(1))
        queues = Queues(world, Streams(traffic, world.truth))
        [record] = queues.receive(10)
        waiting = asyncio.ensure_future(queues.wait())
        await asyncio.sleep(1)
        assert queues.hide(record["receiptHandle"], 3)
        await waiting
        while not queues.receive(10):
            await queues.wait()
        return clock.now_s()

    assert clock.run(hidden_for_3_s()) < 4.1
