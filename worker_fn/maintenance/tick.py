"""The tick, once a minute: read the state, probe, pause or resume, set the concurrency, move parked messages back.

Each duty reads the present state and does what is missing. So the next tick mends whatever a tick that failed, or a
worker that died, left undone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.errors import QueueUnavailable, StateUnavailable
from shared.state import FLOW, PARTNER, Contended
from worker_fn.batch.time_budget import TimeBudget
from worker_fn.clients.mapping import MappingUnavailable, is_held
from worker_fn.limits import agreement
from worker_fn.limits.flow import Flow
from worker_fn.limits.known_item import change_flow
from worker_fn.maintenance.intake import steer, switch
from worker_fn.maintenance.probe import probe
from worker_fn.maintenance.ticker import Ticker, TickReport
from worker_fn.maintenance.unpark import unpark


async def tick(ticker: Ticker, remaining_s: Callable[[], float]) -> TickReport:
    """Do what is due. Never raises for a failure that the next tick can mend.

    Without the state table the reason for which the mapping was paused is unknown, so messages are delivered all the
    same. An operator's pause is the exception, because a tag on the mapping shows it.
    """
    budget, report = TimeBudget(remaining_s, ticker.worker.settle_reserve_s), ticker.report
    try:
        await look(ticker)
        with _counted(report):
            await probe(ticker, budget)
        report.breaker_open = ticker.flow.breaker.is_open
        with _counted(report):
            await switch(ticker)
        with _counted(report):
            await steer(ticker)
        with _counted(report):
            await unpark(ticker, budget)
    except StateUnavailable:
        report.trouble += 1
        with _counted(report):
            report.held = report.held or await ticker.mapping.is_marked()
            await switch(ticker)
    return report


@contextmanager
def _counted(report: TickReport) -> Iterator[None]:
    """Count a duty that Lambda or SQS did not let finish: the next tick does it again."""
    try:
        yield
    except (MappingUnavailable, QueueUnavailable):
        report.trouble += 1


async def look(ticker: Ticker) -> None:
    """Read an operator's pause and the partner's item; leave a sign of life, so that an idle fleet's table does not
    count as lost; take in the last calls' results, and end a limit by hand whose time is over. Raises StateUnavailable.
    """
    worker, bounds = ticker.worker, ticker.worker.limiters.partner.item.bounds

    def alive(flow: Flow) -> tuple[Flow, None]:
        now_ms = worker.now_ms()
        flow = agreement.alive(flow, now_ms=now_ms)
        is_due = flow.has_news or flow.cap.is_over(now_ms)
        return agreement.fold(flow, bounds, now_ms=now_ms) if is_due else flow, None

    ticker.report.held = await is_held(worker.state)
    try:
        item, _ = await change_flow(worker.state, PARTNER, alive, rng=worker.rng)
    except Contended:  # others wrote in the meantime
        item = await worker.state.read(PARTNER, FLOW)
    ticker.flow = Flow.of(item)
    ticker.report.allowance_used = agreement.share_used(ticker.flow, bounds, now_ms=worker.now_ms())
