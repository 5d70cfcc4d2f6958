"""What a tick works with, and its report, which is also logged as facts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.telemetry import Fact
from worker_fn.batch.context import Worker
from worker_fn.batch.facts import tell_fleet
from worker_fn.batch.settle import Report
from worker_fn.clients.mapping import EventSourceMapping
from worker_fn.limits.flow import Flow


class Queues(Protocol):
    """The main and the parking queue, read without Lambda. Every call may raise QueueUnavailable."""

    async def take(self) -> dict[str, Any] | None:
        """Receive one message of the main queue, as a Lambda record; None if none is visible."""

    async def delete(self, record: Mapping[str, Any]) -> None:
        """Delete a message from the main queue."""

    async def parked(self, sight_s: int) -> Sequence[dict[str, Any]]:
        """Receive up to ten parked messages, as records, and hide them for `sight_s` seconds."""

    async def unpark(self, records: Sequence[Mapping[str, Any]]) -> set[str]:
        """Send parked messages to the main queue, then delete them from the parking queue: each is always in one.
        Returns the receipt handles for which that failed.
        """


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
    """An operator's pause is in force."""
    concurrency: int | None = None
    unparked: int = 0
    swept: bool = True
    """No parked message that should move back is left, as far as the sweep could see."""
    trouble: int = 0
    oldest_parked_s: float = 0.0
    """The age, since acceptance, of the oldest message parked with suspended credentials, and of the oldest erasure."""
    oldest_parked_erasure_s: float = 0.0
    breaker_open: bool | None = None
    """None: the state table did not say."""
    allowance_used: float | None = None
    """The share that was taken of the calls that the rate allowed in the last seconds; None: no rate is known."""


@dataclass(slots=True)
class Ticker:
    worker: Worker
    queues: Queues
    mapping: EventSourceMapping
    most: int
    """The deployment's MaximumConcurrency: the tick stays within it."""
    probe_now: bool = False
    """An operator asks for a probe, even if none is due."""
    measure: Callable[[Report], None] = lambda _: None
    """Measures the end of a probe's message, before the message leaves the queue."""
    flow: Flow = field(default_factory=Flow)
    """What the fleet knows of the partner, as the duties so far left it."""
    report: TickReport = field(default_factory=TickReport)


def tell(report: TickReport, worker: Worker) -> None:
    """Log as facts what a tick changed, and what is new of the fleet; a tick that changed nothing logs nothing."""
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
