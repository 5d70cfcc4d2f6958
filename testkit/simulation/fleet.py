"""Lambda: the event source mapping, environments that are reused, deadlines, deaths."""

import asyncio
import itertools
import math
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from shared.errors import StateUnavailable
from shared.ledger import Ledger as Facts
from shared.state import Patient
from shared.telemetry import Fact
from testkit.clock import EPOCH_S, now_s
from testkit.simulation.counts import Counted
from testkit.simulation.life import Life, World
from testkit.simulation.mapping import EnvironmentIntake, Mapping
from testkit.simulation.partner import Api, Line, SimulatedPartner
from testkit.simulation.queues import EnvironmentQueue, Queues
from testkit.simulation.table import EnvironmentTable, Table
from testkit.worker import make_worker
from worker_fn.batch.context import Worker, no_need
from worker_fn.batch.disposition import Budgets
from worker_fn.batch.drain import drain
from worker_fn.batch.settle import Report
from worker_fn.clients.mapping import EventSourceMapping, known_mapping, remember_mapping
from worker_fn.limits.clock import FleetClock, Once, agree
from worker_fn.maintenance.tick import tick
from worker_fn.maintenance.ticker import Ticker, TickReport

COLD_S = 0.4
ENVIRONMENT_IDLE_S = 600.0
"""An environment that was not used for this long is gone."""
TICK_S = 60.0
FIRST_INVOCATIONS, MORE_A_MINUTE = 5, 300
"""Event source mapping for SQS: concurrent invocations at first, and how many more a minute."""


@dataclass(slots=True)
class Environment:
    life: Life
    worker: Worker
    queue: EnvironmentQueue
    used_s: float = 0.0


@dataclass(slots=True)
class Deployment:
    """Everything of one deployment, and the mapping that runs it."""

    world: World
    queues: Queues
    api: Api
    table: Table = field(init=False)
    mapping: Mapping = field(init=False)
    crashes: list[BaseException] = field(default_factory=list)
    """Exceptions of the worker: none should happen; Lambda keeps the batch then."""
    reports: list[Report] = field(default_factory=list)
    facts: Facts = field(default_factory=Facts)
    """The facts that the workers logged about their messages."""
    counted: Counted = field(default_factory=Counted)
    """What CloudWatch counts meanwhile."""
    ended: int = 0
    """Messages that the workers measured as gone from the main queue."""
    _idle: list[Environment] = field(default_factory=list)
    ticks: list[TickReport] = field(default_factory=list)
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _ticking: set[asyncio.Task[None]] = field(default_factory=set)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.table = Table(self.world)
        fleet = self.world.scenario.fleet
        self.mapping = Mapping(self.world, fleet.max_concurrency, fleet.batch_size)

    @property
    def is_idle(self) -> bool:
        return not self._running and not self._ticking

    def count(self) -> None:
        """Look at the queues, and at what the workers measured."""
        came = self.queues.streams.arrived(now_s()) + self.queues.came_again
        self.counted.note(now_s(), came=came, ended=self.ended, depth=self.queues.depth)

    def _measure(self, report: Report) -> None:
        self.reports.append(report)
        self.ended += report.delivered + report.dead_lettered + report.parked

    async def poll(self) -> None:
        """Gather batches and invoke the worker with them, for ever."""
        fleet = self.world.scenario.fleet
        while True:
            if not self.mapping.is_enabled:
                await self.mapping.changes()
                continue
            grown = math.inf if fleet.at_once else FIRST_INVOCATIONS + MORE_A_MINUTE * now_s() / 60
            if len(self._running) >= min(self.mapping.concurrency, grown):
                await asyncio.wait(self._running, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                continue
            records = self.queues.receive(fleet.batch_size)
            if not records:
                await self.queues.wait()
                continue
            full_s = now_s() + fleet.window_s
            while len(records) < fleet.batch_size and now_s() < full_s:
                await self.queues.wait(full_s)
                records += self.queues.receive(fleet.batch_size - len(records))
            self._start(records)

    def _start(self, records: list[dict[str, Any]]) -> None:
        task = asyncio.get_running_loop().create_task(self._work(records))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def tick(self) -> None:
        """Invoke the worker once a minute, as the schedule does."""
        await asyncio.sleep(self.world.rng.uniform(1, 5))
        while True:
            task = asyncio.get_running_loop().create_task(self._tick())
            self._ticking.add(task)
            task.add_done_callback(self._ticking.discard)
            await asyncio.sleep(TICK_S)

    async def _tick(self) -> None:
        async def work(environment: Environment, remaining_s: Callable[[], float]) -> None:
            with suppress(StateUnavailable):
                await remember_mapping(environment.worker.state, "mapping")
            mapping = EnvironmentIntake(self.mapping, self.world, environment.life)
            most = self.world.scenario.fleet.max_concurrency
            ticker = Ticker(environment.worker, environment.queue, mapping, most=most, measure=self._measure)
            self.ticks.append(await tick(ticker, remaining_s))

        await self._invoke(work)

    async def _work(self, records: list[dict[str, Any]]) -> None:
        async def work(environment: Environment, remaining_s: Callable[[], float]) -> None:
            environment.queue.holds = records
            report = await drain(records, environment.worker, remaining_s)
            environment.life.state_failed |= report.state_trouble > 0  # a table that is left alone is not asked
            self._leave(records, report)

        await self._invoke(work)

    async def _invoke(self, work: Callable[[Environment, Callable[[], float]], Awaitable[None]]) -> None:
        """One invocation: in an environment that is kept or made, until it ends, dies or is out of time."""
        environment = await self._environment()
        life, truth = environment.life, self.world.truth
        life.accepted, life.state_failed, environment.queue.holds = [], False, []
        began_s = now_s()
        until_s = began_s + self.world.scenario.fleet.timeout_s
        truth.invocations += 1
        task = asyncio.get_running_loop().create_task(_finished(lambda: work(environment, lambda: until_s - now_s())))
        await asyncio.wait({task}, timeout=until_s - began_s)
        truth.paid_s += now_s() - began_s
        if not task.done():
            truth.timeouts += 1
            life.die()
            task.cancel()
            await asyncio.wait({task})
        if life.state_failed or not life.alive:
            items = [item for one in environment.queue.holds for item in self.queues.sent_in(one["body"]).items]
            truth.unsure.update(items)
        if not life.alive:
            return
        environment.used_s = now_s()
        self._idle.append(environment)
        if error := task.result():
            self.crashes.append(error)

    def _leave(self, records: list[dict[str, Any]], report: Report) -> None:
        """ReportBatchItemFailures: what is not reported is deleted; an unknown id brings the whole batch back."""
        self._measure(report)
        ids = {record["messageId"] for record in records}
        if not set(report.failures) <= ids or not all(report.failures):
            return
        for record in records:
            if record["messageId"] not in report.failures:
                self.queues.delete(record)

    async def _environment(self) -> Environment:
        now = now_s()
        self._idle = [one for one in self._idle if now - one.used_s < ENVIRONMENT_IDLE_S]
        if self._idle:
            return self._idle.pop()
        await asyncio.sleep(COLD_S)
        return self.environment()

    def _tell(self, kind: Fact, **fields: Any) -> None:
        """Take in a fact, as it would stand in the log."""
        self.facts.add(kind, fields, int((EPOCH_S + now_s()) * 1_000))

    def environment(self) -> Environment:
        """A cold start: an environment with its own clock, dice and knowledge."""
        scenario, world = self.world.scenario, self.world
        fleet = scenario.fleet
        life = Life(world, next(self._numbers))
        rng = random.Random(world.rng.random())  # noqa: S311 - a simulation
        skew_s = rng.uniform(-fleet.skew_s, fleet.skew_s)
        loop = asyncio.get_running_loop()

        def local_ms() -> int:
            return int((EPOCH_S + loop.time() + skew_s) * 1_000)

        fleet_clock = FleetClock(local_ms)
        now_ms = fleet_clock.now_ms
        partner = SimulatedPartner(scenario.partner)
        table = EnvironmentTable(
            self.table,
            life,
            on_date=lambda asked_s, heard_s, date_s: fleet_clock.observe(
                asked_ms=int((EPOCH_S + asked_s + skew_s) * 1_000),
                heard_ms=int((EPOCH_S + heard_s + skew_s) * 1_000),
                date_ms=int(EPOCH_S + date_s) * 1_000,
            ),
        )
        state = Patient(table, now_ms=local_ms)
        queue = EnvironmentQueue(self.queues, life)

        async def feed() -> EventSourceMapping | None:
            if await known_mapping(state) is None:
                return None
            return EnvironmentIntake(self.mapping, world, life)

        worker = make_worker(
            partner,
            Line(self.api, life).send,
            queue,
            state,
            now_ms=now_ms,
            max_in_flight=fleet.max_in_flight,
            attempts=fleet.attempts,
            share=1 / fleet.max_concurrency,
            in_groups=fleet.fifo,
            call_timeout_s=fleet.call_timeout_s,
            settle_reserve_s=fleet.settle_reserve_s,
            rng=rng,
            mapping=feed,
            agree_on_time=Once(partial(agree, fleet_clock, state)) if fleet.skew_s else no_need,
            budgets=Budgets(max_age_s=fleet.max_age_s),
        )
        return Environment(life, replace(worker, facts=self._tell), queue)


async def _finished(work: Callable[[], Awaitable[None]]) -> BaseException | None:
    """The error that ended an invocation, or None; not raised, as an invocation that dies takes nothing with it."""
    try:
        await work()
    except BaseException as error:
        return error
    return None
