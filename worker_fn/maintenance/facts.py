"""What a tick did, as facts: the intake paused, resumed or steered, and what is new of the fleet."""

from shared.telemetry import Fact
from worker_fn.batch.context import Worker
from worker_fn.batch.facts import tell_fleet
from worker_fn.maintenance.tick import TickReport


def tell_tick(report: TickReport, worker: Worker) -> None:
    """Write what a tick changed; one that changed nothing writes nothing."""
    if report.paused or report.resumed:
        worker.facts(Fact.INTAKE, is_paused=report.paused, why=report.stopped_by or None)
    elif report.held and not worker.fleet_seen.held:  # the operator's own command paused the mapping
        worker.facts(Fact.INTAKE, is_paused=True, why="an operator")
    worker.fleet_seen.held = report.held
    if report.concurrency is not None:
        worker.facts(Fact.INTAKE, concurrency=report.concurrency)
    if report.unparked:
        worker.facts(Fact.UNPARKED, items=report.unparked)
    tell_fleet(worker)
