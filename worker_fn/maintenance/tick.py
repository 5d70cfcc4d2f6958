"""Once a minute, whatever else happens: probe, pause or resume, steer, and move parked messages back.

While the event source mapping is paused no batch arrives, so the tick takes one message from the queue by itself and
lets it be the probe. Each step reads the present state and does what is missing. So the next tick mends whatever a tick
that failed, or a worker that died, left undone.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from shared.errors import QueueUnavailable, StateUnavailable
from shared.message import ERASURE
from shared.state import FLOW, PARTNER, Contended, State
from worker_fn.batch.context import Worker
from worker_fn.batch.drain import drain
from worker_fn.batch.settle import Report
from worker_fn.batch.time_budget import TimeBudget
from worker_fn.clients.mapping import EventSourceMapping, MappingUnavailable, is_held
from worker_fn.limits import agreement, breaker, silence
from worker_fn.limits.adaptive import RECOVERING
from worker_fn.limits.flow import Flow
from worker_fn.limits.known_item import change_flow
from worker_fn.limits.ruling import what_stops_mapping
from worker_fn.maintenance.unpark import Parking, sweep

SPARE = 2.0
"""The tick allows so many times the environments that the limit needs by arithmetic: an invocation is more than its
calls, and calls are not equally long. With too few the rate would stay below the limit, which would then never grow.
"""
LEAST_CONCURRENCY = 2
"""The smallest MaximumConcurrency that Lambda takes."""
WORTH_A_CHANGE = 0.25
"""MaximumConcurrency is not changed by less than this share of it."""
OPENED_BY_HAND = "an operator opened the breaker"
PROBES = 5
"""A tick takes at most so many messages until one is a probe: a message that is parked, hidden or dead-lettered without
a call is none.
"""


class Queues(Parking, Protocol):
    """The parking queue and the main queue, read without Lambda. Every call may raise QueueUnavailable."""

    async def take(self) -> dict[str, Any] | None:
        """Receive one message of the main queue, as a Lambda record; None if none is visible."""

    async def delete(self, record: Mapping[str, Any]) -> None:
        """Delete it from the main queue."""


@dataclass(slots=True)
class TickReport:
    paused: bool = False
    resumed: bool = False
    probed: bool = False
    answer: str = ""
    """The partner's answer to the probe, if the probe did not arrive."""
    no_probe: str = ""
    """Why no probe was made."""
    running: bool | None = None
    """Whether Lambda fetches batches, or will once it has carried out the last change; None: not known."""
    stopped_by: str = ""
    """The reason why the mapping is paused, or will be."""
    held: bool = False
    """An operator's pause stands."""
    concurrency: int | None = None
    unparked: int = 0
    swept: bool = True
    """No parked message is left that should move back, as far as the sweep could see."""
    trouble: int = 0
    oldest_parked_s: float = 0.0
    """The true age of the oldest message that was seen parked with suspended credentials, and of the oldest erasure."""
    oldest_parked_erasure_s: float = 0.0
    allowance_used: float | None = None
    """The share of the calls that the rate allowed in the last seconds which was taken; None: no rate is known."""


@dataclass(frozen=True, slots=True)
class Ticker:
    """What a tick needs beside the worker. `most` is the deployment's MaximumConcurrency: the tick stays within it.
    `probe_now`: an operator asks for a probe, whether it is time for one or not. `measure` takes in what became of a
    probe's message, before that leaves the queue.
    """

    worker: Worker
    queues: Queues
    mapping: EventSourceMapping
    most: int
    probe_now: bool = False
    measure: Callable[[Report], None] = lambda _: None


async def tick(ticker: Ticker, remaining_s: Callable[[], float]) -> TickReport:
    """Do what is due. Never raises for a failure that the next tick can mend."""
    budget, report = TimeBudget(remaining_s, ticker.worker.settle_reserve_s), TickReport()
    try:
        report.held = await is_held(ticker.worker.state)
        flow = await _alive(ticker.worker)
        now_ms, bounds = ticker.worker.now_ms(), ticker.worker.limiters.partner.item.bounds
        report.allowance_used = agreement.share_used(flow, bounds, now_ms=now_ms)
        with _counted(report):
            flow = await _probe(ticker, flow, report, budget)
        with _counted(report):
            await _switch(ticker, flow, report)
        with _counted(report):
            await _steer(ticker, flow, report)
        with _counted(report):
            swept = await sweep(ticker.worker, ticker.queues, budget)
            report.unparked, report.swept = swept.moved, swept.is_done
            report.trouble += swept.trouble
            _tell_ages(swept.oldest_ms, report, ticker.worker.now_ms())
    except StateUnavailable:
        report.trouble += 1
        await _let_in(ticker, report)
    return report


@contextmanager
def _counted(report: TickReport) -> Iterator[None]:
    """Count a step that Lambda or SQS did not let finish: the next tick does it again."""
    try:
        yield
    except (MappingUnavailable, QueueUnavailable):
        report.trouble += 1


def _tell_ages(oldest_ms: Mapping[str, int], report: TickReport, now_ms: int) -> None:
    if oldest_ms:
        report.oldest_parked_s = (now_ms - min(oldest_ms.values())) / 1_000
    if ERASURE in oldest_ms:
        report.oldest_parked_erasure_s = (now_ms - oldest_ms[ERASURE]) / 1_000


async def _let_in(ticker: Ticker, report: TickReport) -> None:
    """With the state table down nobody knows why the mapping was paused, so messages are delivered all the same.

    An operator's pause is the exception, because a tag on the mapping shows it: the mapping stays, or is, paused.
    """
    try:
        status = await ticker.mapping.status()
        if not status.is_settled:
            return
        report.held = report.held or await ticker.mapping.is_marked()
        if report.held and status.is_enabled:
            await ticker.mapping.pause()
            report.paused = True
        elif not report.held and not status.is_enabled:
            await ticker.mapping.resume()
            report.resumed = True
    except MappingUnavailable:
        report.trouble += 1


async def _probe(ticker: Ticker, flow: Flow, report: TickReport, budget: TimeBudget) -> Flow:
    """Send one message to see whether the partner is back, if that is due and no batch can, or an operator asks for it.

    A message that is not sent, because its account is suspended or it cannot be read, was no probe: another one is
    taken.
    """
    worker = ticker.worker
    status = await ticker.mapping.status()
    if ticker.probe_now and flow.breaker.is_open:
        flow = await _hastened(worker)
    elif not report.held and (status.is_enabled or not status.is_settled):
        is_by_hand = flow.breaker.is_open and breaker.is_by_hand(flow.breaker, now_ms=worker.now_ms())
        report.no_probe = OPENED_BY_HAND if is_by_hand else "the mapping runs or is being changed: a batch brings it"
        return flow
    for _ in range(PROBES):
        report.no_probe = _why_none(flow, report, worker, budget)
        if report.no_probe:
            return flow
        record = await ticker.queues.take()
        if record is None:
            # No message is visible to try with: the next batch will bring the probe.
            report.no_probe = "no message is visible to try with"
            if not status.is_enabled and status.is_settled:
                await ticker.mapping.resume()
                report.resumed = True
            return flow
        drained = await drain([record], worker, budget.remaining_s)
        ticker.measure(drained)
        if not drained.failures:
            await ticker.queues.delete(record)
        before, flow = flow, await _flow(worker.state)
        if flow.breaker != before.breaker:
            report.probed, report.answer = True, flow.breaker.said
            return flow
    report.no_probe = f"none of {PROBES} messages could be sent: parked, hidden or dead-lettered"
    return flow


def _why_none(flow: Flow, report: TickReport, worker: Worker, budget: TimeBudget) -> str:
    """Why no probe is to be made now, in words; empty if one is."""
    now_ms, fleet = worker.now_ms(), flow.breaker
    left_s, needed_s = budget.remaining_s(), budget.probe_needs_s(worker.call_timeout_s)
    reasons = (
        (report.held, "an operator paused the intake"),
        (not fleet.is_open, "the breaker is closed"),
        (breaker.is_by_hand(fleet, now_ms=now_ms), OPENED_BY_HAND),
        (flow.cool_until_ms > now_ms, f"the partner asked for a pause of {_seconds(flow.cool_until_ms - now_ms)} more"),
        (fleet.probe_until_ms > now_ms, f"one is under way, for {_seconds(fleet.probe_until_ms - now_ms)} at most"),
        (fleet.probe_at_ms > now_ms, f"the next one is due in {_seconds(fleet.probe_at_ms - now_ms)}"),
        (left_s < needed_s, f"{left_s:.0f} s are left of this invocation, and a probe may take {needed_s:.0f} s"),
    )
    return next((why for is_so, why in reasons if is_so), "")


def _seconds(ms: int) -> str:
    return f"{math.ceil(ms / 1_000)} s"


async def _hastened(worker: Worker) -> Flow:
    """Make a probe due; returns what the fleet then knows about the partner."""

    def hastened(flow: Flow) -> tuple[Flow, None]:
        return replace(flow, breaker=breaker.hasten(flow.breaker, now_ms=worker.now_ms())), None

    item, _ = await change_flow(worker.state, PARTNER, hastened, rng=worker.rng)
    return Flow.of(item)


async def _switch(ticker: Ticker, flow: Flow, report: TickReport) -> None:
    """Pause or resume the mapping as the shared flow says."""
    status = await ticker.mapping.status()
    now_ms = ticker.worker.now_ms()
    report.stopped_by = "an operator" if report.held else what_stops_mapping(flow, now_ms=now_ms)
    report.running = status.is_enabled or report.resumed
    if report.stopped_by and status.is_enabled and status.is_settled and not report.resumed:
        await ticker.mapping.pause()
        report.paused, report.running = True, False
    elif not report.stopped_by and not status.is_enabled:
        if status.is_settled:
            await ticker.mapping.resume()
            report.resumed = report.running = True
        else:
            report.stopped_by = "a change of the mapping that is under way: the next tick resumes it"


async def _steer(ticker: Ticker, flow: Flow, report: TickReport) -> None:
    """Set MaximumConcurrency to what the partner's allowance can use: more environments would only wait for tokens, and
    cost money.
    """
    status = await ticker.mapping.status()
    calls_a_batch = 1 if ticker.worker.partner.limits.bulk else status.batch_size
    wanted = concurrency_for(
        flow, max_in_flight=ticker.worker.max_in_flight, most=ticker.most, calls_a_batch=calls_a_batch
    )
    now = status.concurrency
    if now is None or not status.is_settled or report.paused or report.resumed:
        return
    if abs(wanted - now) > max(1, WORTH_A_CHANGE * now) or (
        wanted != now and wanted in {LEAST_CONCURRENCY, ticker.most}
    ):
        await ticker.mapping.set_concurrency(wanted)
        report.concurrency = wanted


def concurrency_for(flow: Flow, *, max_in_flight: int, most: int, calls_a_batch: int | None = None) -> int:
    """Environments that a limit keeps busy: calls under way at once (rate x latency) over connections each; and at
    least as many as are needed if each sends one batch a second, because a batch's lease is spread over a second.
    """
    limit = flow.limit.per_second
    if limit is not None and flow.limit.why == RECOVERING:
        limit = max(
            limit, flow.limit.held or 0.0
        )  # the limit recovers within seconds, a change of the mapping takes longer
    if limit is None or not flow.latency_ms or flow.why in {"start", "steady"}:
        return most  # the limit is not what holds the fleet back
    by_connections = limit * flow.latency_ms / 1_000 / max_in_flight
    by_batches = limit / calls_a_batch if calls_a_batch else 0.0
    return max(LEAST_CONCURRENCY, min(most, math.ceil(max(by_connections, by_batches) * SPARE) + 1))


async def _alive(worker: Worker) -> Flow:
    """Leave a sign of life in the shared item, because an idle fleet is not cut off. Take in the results of the last
    calls, and return what is known of the partner.
    """

    def alive(flow: Flow) -> tuple[Flow, None]:
        now_ms, bounds = worker.now_ms(), worker.limiters.partner.item.bounds
        flow = silence.alive(flow, now_ms=now_ms)
        return agreement.fold(flow, bounds, now_ms=now_ms) if flow.has_news else flow, None

    try:
        item, _ = await change_flow(worker.state, PARTNER, alive, rng=worker.rng)
        return Flow.of(item)
    except Contended:  # others wrote in the meantime
        return await _flow(worker.state)


async def _flow(state: State) -> Flow:
    return Flow.of(await state.read(PARTNER, FLOW))
