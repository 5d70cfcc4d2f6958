"""The tick's probe: while the event source mapping is paused no batch arrives, so the tick tries one message itself."""

import math
from collections.abc import Callable
from dataclasses import replace

from shared.state import FLOW, PARTNER
from worker_fn.batch.context import Worker
from worker_fn.batch.drain import drain
from worker_fn.batch.time_budget import TimeBudget
from worker_fn.limits import agreement, breaker
from worker_fn.limits.breaker import Opened
from worker_fn.limits.flow import Flow
from worker_fn.limits.known_item import change_flow
from worker_fn.maintenance.ticker import Ticker

OPENED_BY_HAND = "an operator opened the breaker"
PROBES = 5
"""The most messages that a tick tries: one that is parked, hidden or dead-lettered without a call is no probe."""


async def probe(ticker: Ticker, budget: TimeBudget) -> None:
    """Send one message to see whether the partner is back: if a probe is due that no batch can make, or on request.

    A breaker that an operator opened is probed when its time is over, and closed if there is no message to try with.
    """
    worker, report, bounds = ticker.worker, ticker.report, ticker.worker.limiters.partner.item.bounds
    status = await ticker.mapping.status()
    opened = breaker.why_open(ticker.flow.breaker, now_ms=worker.now_ms())
    if ticker.probe_now and opened is not None:
        ticker.flow = await _changed(
            worker, lambda flow: replace(flow, breaker=breaker.hasten(flow.breaker, now_ms=worker.now_ms()))
        )
    elif not report.held and opened is not Opened.OVER and (status.is_enabled or not status.is_settled):
        by_batch = "the mapping runs or is being changed: a batch makes the probe"
        report.no_probe = OPENED_BY_HAND if opened is Opened.BY_HAND else by_batch
        return
    for _ in range(PROBES):
        report.no_probe = _why_none(ticker, budget)
        if report.no_probe:
            return
        record = await ticker.queues.take()
        if record is None:
            report.no_probe = "no message is visible to try with"
            if opened is Opened.OVER:
                ticker.flow = await _changed(
                    worker, lambda flow: agreement.end_breaker(flow, bounds, now_ms=worker.now_ms())
                )
            if not status.is_enabled and status.is_settled:  # the next batch will be the probe
                await ticker.mapping.resume()
                report.resumed = True
            return
        drained = await drain([record], worker, budget.remaining_s)
        ticker.measure(drained)
        if not drained.failures:
            await ticker.queues.delete(record)
        before, ticker.flow = ticker.flow, Flow.of(await worker.state.read(PARTNER, FLOW))
        if ticker.flow.breaker != before.breaker:
            report.probed, report.answer = True, ticker.flow.breaker.said
            return
    report.no_probe = f"none of {PROBES} messages could be sent: parked, hidden or dead-lettered"


def _why_none(ticker: Ticker, budget: TimeBudget) -> str:
    """Why no probe should be made now, in words; empty if one should."""
    worker, flow, fleet = ticker.worker, ticker.flow, ticker.flow.breaker
    now_ms = worker.now_ms()
    opened = breaker.why_open(fleet, now_ms=now_ms)
    left_s, needed_s = budget.remaining_s(), budget.probe_needs_s(worker.call_timeout_s)
    reasons = (
        (ticker.report.held, "an operator paused the intake"),
        (opened is None, "the breaker is closed"),
        (opened is Opened.BY_HAND, OPENED_BY_HAND),
        (flow.cool_until_ms > now_ms, f"the partner asked for a pause of {_seconds(flow.cool_until_ms - now_ms)} more"),
        (fleet.probe_until_ms > now_ms, f"one is under way, for {_seconds(fleet.probe_until_ms - now_ms)} at most"),
        (fleet.probe_at_ms > now_ms, f"the next one is due in {_seconds(fleet.probe_at_ms - now_ms)}"),
        (left_s < needed_s, f"{left_s:.0f} s are left of this invocation, and a probe may take {needed_s:.0f} s"),
    )
    return next((why for is_so, why in reasons if is_so), "")


def _seconds(ms: int) -> str:
    return f"{math.ceil(ms / 1_000)} s"


async def _changed(worker: Worker, step: Callable[[Flow], Flow]) -> Flow:
    item, _ = await change_flow(worker.state, PARTNER, lambda flow: (step(flow), None), rng=worker.rng)
    return Flow.of(item)
