"""The tick's duties for the event source mapping: to pause or resume it, and to set its concurrency."""

import math

from worker_fn.limits.adaptive import RECOVERING
from worker_fn.limits.flow import Flow
from worker_fn.limits.ruling import what_stops_mapping
from worker_fn.maintenance.ticker import Ticker

SPARE = 2.0
"""How many times the computed number of environments is allowed: an invocation is more than its calls, and with too few
environments the rate would stay below the limit, which would then never grow.
"""
LEAST_CONCURRENCY = 2
"""The smallest MaximumConcurrency that Lambda takes."""
WORTH_A_CHANGE = 0.25
"""MaximumConcurrency is not changed by less than this share of it."""


async def switch(ticker: Ticker) -> None:
    """Pause or resume the mapping as an operator or the shared flow says."""
    report, status = ticker.report, await ticker.mapping.status()
    by_flow = what_stops_mapping(ticker.flow, now_ms=ticker.worker.now_ms())
    report.stopped_by = "an operator" if report.held else by_flow
    report.running = status.is_enabled or report.resumed
    if report.stopped_by and status.is_enabled and status.is_settled and not report.resumed:
        await ticker.mapping.pause()
        report.paused, report.running = True, False
    elif not report.stopped_by and not status.is_enabled and status.is_settled:
        await ticker.mapping.resume()
        report.resumed = report.running = True
    elif not report.stopped_by and not status.is_enabled:
        report.stopped_by = "a change of the mapping that is under way: the next tick resumes it"


async def steer(ticker: Ticker) -> None:
    """Set MaximumConcurrency to what the partner's allowance can use: more environments would wait, and cost money."""
    report, status, worker = ticker.report, await ticker.mapping.status(), ticker.worker
    now = status.concurrency
    if now is None or not status.is_settled or report.paused or report.resumed:
        return
    calls_a_batch = 1 if worker.partner.limits.bulk else status.batch_size
    wanted = concurrency_for(
        ticker.flow, max_in_flight=worker.max_in_flight, most=ticker.most, calls_a_batch=calls_a_batch
    )
    is_bound = wanted in {LEAST_CONCURRENCY, ticker.most}
    if abs(wanted - now) > max(1, WORTH_A_CHANGE * now) or (wanted != now and is_bound):
        await ticker.mapping.set_concurrency(wanted)
        report.concurrency = wanted


def concurrency_for(flow: Flow, *, max_in_flight: int, most: int, calls_a_batch: int | None = None) -> int:
    """How many environments a limit keeps busy: calls under way at once (rate x latency) over the connections of each;
    at least as many as are needed if each sends one batch a second, because a batch's lease is spread over a second.
    """
    limit = flow.limit.per_second
    if limit is None or not flow.latency_ms or flow.why in {"start", "steady"}:
        return most  # the limit is not what holds the fleet back
    if flow.limit.why == RECOVERING:  # it recovers within seconds, and a change of the mapping takes longer
        limit = max(limit, flow.limit.held or 0.0)
    by_connections = limit * flow.latency_ms / 1_000 / max_in_flight
    by_batches = limit / calls_a_batch if calls_a_batch else 0.0
    return max(LEAST_CONCURRENCY, min(most, math.ceil(max(by_connections, by_batches) * SPARE) + 1))
