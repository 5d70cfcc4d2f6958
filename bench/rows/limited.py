"""A partner with a limit of calls a second: the share of it that is used, and the share of calls that is refused.

The rows run on simulated time, as their names say: the worker's own code, with AWS and partner as in `make scenarios`.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor

from bench.measure import Figure, Goal, MeasuresNothing, Row
from bench.stand.stand import Stand
from bench.throttled import Calls, Throttled, throttled
from testkit.simulation.run import simulate
from testkit.simulation.scenario import ApiModel, Fleet, Scenario, Traffic

RATE_PER_S, LATENCY_S, IN_FLIGHT = 100.0, 0.05, 64
SIZES = ((1, 1_000), (4, 1_000), (16, 1_000), (1, 50))
"""Environments and batch, which together hold ten seconds of the partner's rate; and the same for one environment with
the default batch.
"""
BEGINS_S, FOR_S = 5.0, 40.0
"""Calls count from 5 s after the first one, when Spillway knows the limit and has its share, for 40 s."""
FULL_SEEDS = 3
BACKLOG = int(2 * RATE_PER_S * (BEGINS_S + FOR_S))
"""Twice the number of calls that the partner takes in that time."""
SHARE, REFUSED = 0.95, 0.01
SIMULATED = "simulated time"
PEER = "429 → batch failure → redelivery"


def rows(stand: Stand) -> Iterator[Row]:
    """Run all at once, in a process for each core: on simulated time the runs cannot disturb each other."""
    seeds = range(1, 1 + (FULL_SEEDS if stand.effort.is_full else 1))
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:

        def submitted(contender: Callable[[int, int, int], Calls], sizes: tuple[int, int]) -> list[Future[Calls]]:
            return [pool.submit(contender, *sizes, seed) for seed in seeds]

        runs = [(sizes, [submitted(one, sizes) for one in CONTENDERS]) for sizes in SIZES]
        for (environments, batch), contenders in runs:
            ours, peer, lean = ([one.result() for one in futures] for futures in contenders)
            yield from pair(environments, batch, ours, peer, lean)


def pair(environments: int, batch: int, ours: list[Calls], peer: list[Calls], lean: list[Calls]) -> Iterator[Row]:
    many = f"{environments} environment{'s' if environments > 1 else ''}, batch {batch}, {SIMULATED}"
    jittered = "jittered exponential back-off"
    yield Row(
        f"rate-limited partner, {many}",
        "of the allowance",
        _share(ours),
        _share(peer),
        PEER,
        Figure.exact(1),
        (Goal(SHARE, at_least=True),),
        {jittered: _share(lean)},
    )
    yield Row(
        f"rate-limited partner, refused, {many}",
        "calls a success",
        _refused(ours),
        _refused(peer),
        PEER,
        Figure.exact(0),
        (Goal(REFUSED),),
        {jittered: _refused(lean)},
    )


def _share(outcomes: list[Calls]) -> Figure:
    return Figure.of([one.taken / (RATE_PER_S * FOR_S) for one in outcomes])


def _refused(outcomes: list[Calls]) -> Figure:
    return Figure.of([one.refused / max(1, one.taken) for one in outcomes])


def _redelivered(environments: int, _batch: int, seed: int) -> Calls:
    return throttled(_given(environments, backs_off=False), seed)


def _jittered(environments: int, _batch: int, seed: int) -> Calls:
    return throttled(_given(environments, backs_off=True), seed)


def _given(environments: int, *, backs_off: bool) -> Throttled:
    return Throttled(
        environments=environments,
        in_flight=IN_FLIGHT,
        rate_per_s=RATE_PER_S,
        latency_s=LATENCY_S,
        messages=BACKLOG,
        from_s=BEGINS_S,
        until_s=BEGINS_S + FOR_S,
        backs_off=backs_off,
    )


def _ours(environments: int, batch: int, seed: int) -> Calls:
    """A fleet that starts cold, with the whole backlog in its queue within a second."""
    latency_ms = LATENCY_S * 1_000
    scenario = Scenario(
        name="bench",
        title=SIMULATED,
        ends_s=BEGINS_S + FOR_S + 5,
        traffic=(Traffic(accounts=(1, 2, 3), rate_per_s=BACKLOG, until_s=1.0),),
        partner=ApiModel(latency_ms=(latency_ms, latency_ms), rate_per_s=RATE_PER_S, style="sliding_window"),
        fleet=Fleet(max_concurrency=environments, max_in_flight=IN_FLIGHT, batch_size=batch, at_once=True),
    )
    calls = simulate(scenario, seed).world.truth.calls
    from_s = min((call.at_s for call in calls), default=0.0) + BEGINS_S
    within = [call.ended for call in calls if from_s <= call.at_s < from_s + FOR_S]
    if "accepted" not in within:
        raise MeasuresNothing("the simulated partner took no call")
    return Calls(within.count("accepted"), within.count("refused"))


CONTENDERS = (_ours, _redelivered, _jittered)
