"""Once a minute, whatever else happens: probe, pause or resume, steer, and move parked messages back.

While the intake is paused no batch arrives, so the tick takes one message from the queue by itself and lets it be the
probe. Each step reads what is and does what is missing: a tick that fails, or a worker that died before it, is made
good by the next one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shared.errors import QueueUnavailable, StateUnavailable
from shared.state import FLOW, PARTNER, State
from worker_fn import breaker
from worker_fn import flow as flows
from worker_fn.drain import drain
from worker_fn.flow import Flow
from worker_fn.intake import Intake, IntakeUnavailable, is_held
from worker_fn.sweep import sweep
from worker_fn.worker import Worker

SPARE = 2.0
"""Environments beyond what the limit needs by its arithmetic: an invocation is not calls alone, and they are not evenly
long. Too few would keep the rate below the limit, and nobody would see that it could grow.
"""
LEAST_CONCURRENCY = 2
"""Lambda's least for MaximumConcurrency."""
WORTH_A_CHANGE = 0.25
"""A change of MaximumConcurrency by less than this share is left."""
PROBES = 5
"""Messages that a tick takes for one probe: those that turn out to be parked, hidden or dead-lettered were none."""
PROBING_ENDS_S = 30.0
"""Time that a tick keeps for the rest of what it does."""


class Queues(Protocol):
    """The main queue and the parking queue, by hand. Every call may raise QueueUnavailable."""

    async def take(self) -> dict[str, Any] | None:
        """Receive one message of the main queue, as a Lambda record; None if none is visible."""

    async def delete(self, record: Mapping[str, Any]) -> None:
        """Delete it from the main queue."""

    async def parked(self, sight_s: int) -> Sequence[dict[str, Any]]:
        """Receive up to ten parked messages, as records, hidden for so long."""

    async def unpark(self, records: Sequence[Mapping[str, Any]]) -> set[str]:
        """Send parked messages to the main queue, then delete them from the parking queue: never in neither. Returns
        the receipt handles for which that failed.
        """


@dataclass(slots=True)
class TickReport:
    paused: bool = False
    resumed: bool = False
    probed: bool = False
    held: bool = False
    """An operator paused the intake."""
    concurrency: int | None = None
    unparked: int = 0
    swept: bool = True
    """No parked message is left that should move back, as far as could be seen."""
    trouble: int = 0


@dataclass(frozen=True, slots=True)
class Ticker:
    """What a tick needs beside the worker. `most` is the deployment's MaximumConcurrency: the tick stays within it."""

    worker: Worker
    queues: Queues
    intake: Intake
    most: int


async def tick(ticker: Ticker, remaining_s: Callable[[], float]) -> TickReport:
    """Do what is due. Never raises for what the next tick can make good."""
    report = TickReport()
    steps = (_probe, _switch, _steer)
    try:
        report.held = await is_held(ticker.worker.state)
        flow = await _flow(ticker.worker.state)
        for step in steps:
            try:
                flow = await step(ticker, flow, report, remaining_s)
            except (IntakeUnavailable, QueueUnavailable):
                report.trouble += 1
        swept = await sweep(ticker.worker, ticker.queues, remaining_s)
        report.unparked, report.swept = swept.moved, swept.is_done
        report.trouble += swept.trouble
    except StateUnavailable:
        report.trouble += 1
        await _let_in(ticker, report)
    except QueueUnavailable:
        report.trouble += 1
    return report


async def _let_in(ticker: Ticker, report: TickReport) -> None:
    """With the state table down nobody knows why the intake was paused: messages are delivered all the same.

    But for an operator's pause, which the mapping itself tells of: that is kept, and made good.
    """
    try:
        status = await ticker.intake.status()
        if not status.is_settled:
            return
        report.held = report.held or await ticker.intake.is_marked()
        if report.held and status.is_enabled:
            await ticker.intake.pause()
            report.paused = True
        elif not report.held and not status.is_enabled:
            await ticker.intake.resume()
            report.resumed = True
    except IntakeUnavailable:
        report.trouble += 1


async def _probe(ticker: Ticker, flow: Flow, report: TickReport, remaining_s: Callable[[], float]) -> Flow:
    """Let one message try whether the partner is back, when that is due and no batch can.

    A message that is not sent, because its account is suspended or nobody can read it, was no probe: another one is
    taken.
    """
    worker = ticker.worker
    status = await ticker.intake.status()
    if report.held or status.is_enabled or not status.is_settled:
        return flow
    for _ in range(PROBES):
        now_ms = worker.now_ms()
        due = breaker.probe_is_due(flow.breaker, now_ms=now_ms) and flow.cool_until_ms <= now_ms
        if not due or remaining_s() < PROBING_ENDS_S:
            return flow
        record = await ticker.queues.take()
        if record is None:
            # Nothing visible to try with: the next batch will bring the probe.
            await ticker.intake.resume()
            report.resumed = True
            return flow
        drained = await drain([record], worker, remaining_s)
        if not drained.failures:
            await ticker.queues.delete(record)
        before, flow = flow, await _flow(worker.state)
        report.probed = report.probed or flow.breaker != before.breaker
    return flow


async def _switch(ticker: Ticker, flow: Flow, report: TickReport, remaining_s: Callable[[], float]) -> Flow:  # noqa: ARG001
    """Make the mapping what the flow says it should be."""
    status = await ticker.intake.status()
    stop = report.held or flows.stops_intake(flow, now_ms=ticker.worker.now_ms())
    if stop and status.is_enabled and status.is_settled and not report.resumed:
        await ticker.intake.pause()
        report.paused = True
    elif not stop and not status.is_enabled and status.is_settled:
        await ticker.intake.resume()
        report.resumed = True
    return flow


async def _steer(ticker: Ticker, flow: Flow, report: TickReport, remaining_s: Callable[[], float]) -> Flow:  # noqa: ARG001
    """Set MaximumConcurrency to what the partner's allowance can use: more would only wait for tokens, and be paid
    for.
    """
    status = await ticker.intake.status()
    wanted = concurrency_for(flow, max_in_flight=ticker.worker.max_in_flight, most=ticker.most)
    now = status.concurrency
    if now is None or not status.is_settled or report.paused or report.resumed:
        return flow
    if abs(wanted - now) > max(1, WORTH_A_CHANGE * now) or (
        wanted != now and wanted in {LEAST_CONCURRENCY, ticker.most}
    ):
        await ticker.intake.set_concurrency(wanted)
        report.concurrency = wanted
    return flow


def concurrency_for(flow: Flow, *, max_in_flight: int, most: int) -> int:
    """Environments that a limit keeps busy: calls under way at once (rate x latency) over connections each."""
    limit = flow.limit.per_second
    if limit is None or not flow.latency_ms or flow.limit.why in {"start", "steady"}:
        return most  # the limit is not what holds the fleet back
    under_way = limit * flow.latency_ms / 1_000
    return max(LEAST_CONCURRENCY, min(most, math.ceil(under_way * SPARE / max_in_flight) + 1))


async def _flow(state: State) -> Flow:
    value = (await state.read(PARTNER, FLOW)).value
    return Flow.from_item(value) if value else Flow()
