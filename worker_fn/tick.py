"""Once a minute, whatever else happens: probe, pause or resume, steer, and move parked messages back.

While the intake is paused no batch arrives, so the tick takes one message from the queue by itself and lets it be the
probe. Each step reads what is and does what is missing: a tick that fails, or a worker that died before it, is made
good by the next one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from shared.errors import QueueUnavailable, StateUnavailable, UndecodableMessage
from shared.message import decode
from shared.state import FLOW, PARTNER, SUSPENDED, Conflict, State
from worker_fn import breaker
from worker_fn import flow as flows
from worker_fn.drain import Worker, drain
from worker_fn.flow import Flow
from worker_fn.intake import Intake, IntakeUnavailable
from worker_fn.suspensions import SWEEP, Suspension

SPARE = 2.0
"""Environments beyond what the limit needs by its arithmetic: an invocation is not calls alone, and they are not evenly
long. Too few would keep the rate below the limit, and nobody would see that it could grow.
"""
LEAST_CONCURRENCY = 2
"""Lambda's least for MaximumConcurrency."""
WORTH_A_CHANGE = 0.25
"""A change of MaximumConcurrency by less than this share is left."""
SWEEP_ENDS_S = 15.0
"""Time that is kept back at the end of a tick."""
LOOK_EVERY_MS = 600_000
"""The parking queue is looked through so often also if nobody asked: a worker may have died before it could."""
SIGHT_S = 120
"""How long a parked message that was looked at stays out of sight: a sweep sees each one once."""


class Queues(Protocol):
    """The main queue and the parking queue, by hand. Every call may raise QueueUnavailable."""

    async def take(self) -> dict[str, Any] | None:
        """Receive one message of the main queue, as a Lambda record; None if none is visible."""

    async def delete(self, record: Mapping[str, Any]) -> None:
        """Delete it from the main queue."""

    async def parked(self, sight_s: int) -> Sequence[dict[str, Any]]:
        """Receive up to ten parked messages, as records, hidden for so long."""

    async def unpark(self, record: Mapping[str, Any]) -> None:
        """Send a parked message to the main queue, then delete it from the parking queue: never in neither."""


@dataclass(slots=True)
class TickReport:
    paused: bool = False
    resumed: bool = False
    probed: bool = False
    concurrency: int | None = None
    unparked: int = 0
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
        flow = await _flow(ticker.worker.state)
        for step in steps:
            try:
                flow = await step(ticker, flow, report, remaining_s)
            except (IntakeUnavailable, QueueUnavailable):
                report.trouble += 1
        await _sweep(ticker, report, remaining_s)
    except StateUnavailable:
        report.trouble += 1
        await _let_in(ticker, report)
    except QueueUnavailable:
        report.trouble += 1
    return report


async def _let_in(ticker: Ticker, report: TickReport) -> None:
    """With the state table down nobody knows why the intake was paused: messages are delivered all the same."""
    try:
        status = await ticker.intake.status()
        if not status.is_enabled and status.is_settled:
            await ticker.intake.resume()
            report.resumed = True
    except IntakeUnavailable:
        report.trouble += 1


async def _probe(ticker: Ticker, flow: Flow, report: TickReport, remaining_s: Callable[[], float]) -> Flow:
    """Let one message try whether the partner is back, when that is due and no batch can."""
    worker = ticker.worker
    due = breaker.probe_is_due(flow.breaker, now_ms=worker.now_ms()) and flow.cool_until_ms <= worker.now_ms()
    status = await ticker.intake.status()
    if not due or status.is_enabled or not status.is_settled:
        return flow
    record = await ticker.queues.take()
    if record is None:
        # Nothing visible to try with: the next batch will bring the probe.
        await ticker.intake.resume()
        report.resumed = True
        return flow
    report.probed = True
    drained = await drain([record], worker, remaining_s)
    if not drained.failures:
        await ticker.queues.delete(record)
    return await _flow(worker.state)


async def _switch(ticker: Ticker, flow: Flow, report: TickReport, remaining_s: Callable[[], float]) -> Flow:  # noqa: ARG001
    """Make the mapping what the flow says it should be."""
    status = await ticker.intake.status()
    stop = flows.stops_intake(flow, now_ms=ticker.worker.now_ms())
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


async def _sweep(ticker: Ticker, report: TickReport, remaining_s: Callable[[], float]) -> None:
    """Move parked messages back: of accounts that may be served again, those too old to wait, and a suspended account's
    next probe where the last one is gone.
    """
    worker, state = ticker.worker, ticker.worker.state
    now_ms = worker.now_ms()
    asked = await state.read(PARTNER, SWEEP)
    suspended = {name: Suspension.from_item(name, item) for name, item in (await state.listed(SUSPENDED)).items()}
    lost = {name for name, one in suspended.items() if one.probe_is_lost(now_ms)}
    wanted = now_ms - asked.value.get("wanted_ms", 0) <= 2_000 * SIGHT_S
    looked_lately = now_ms - asked.value.get("looked_ms", 0) < LOOK_EVERY_MS
    if not wanted and not lost and looked_lately:
        return
    while remaining_s() > SWEEP_ENDS_S:
        records = await ticker.queues.parked(SIGHT_S)
        if not records:
            break
        for record in records:
            account_id = record["messageAttributes"].get("account_id", {}).get("stringValue")
            if account_id in suspended and account_id not in lost and not _is_too_old(record, worker):
                continue
            lost.discard(account_id)
            await ticker.queues.unpark(record)
            report.unparked += 1
    with suppress(Conflict):  # somebody asked meanwhile: the next tick looks again
        wanted_ms = now_ms if report.unparked else asked.value.get("wanted_ms", 0)
        value = {"wanted_ms": wanted_ms, "looked_ms": now_ms}
        await state.swap(PARTNER, SWEEP, asked, value, expires_at=None)


def _is_too_old(record: Mapping[str, Any], worker: Worker) -> bool:
    """Whether a parked message has used up its age: the worker that gets it says so in the dead-letter queue."""
    try:
        message = decode(record["body"])
    except UndecodableMessage:
        return True
    return worker.now_ms() - message.received_at_ms > 1_000 * worker.budgets.age_s(message.type)


async def _flow(state: State) -> Flow:
    value = (await state.read(PARTNER, FLOW)).value
    return Flow.from_item(value) if value else Flow()
