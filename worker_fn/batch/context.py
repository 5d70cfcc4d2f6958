"""One Lambda environment: the worker's settings and clients, and its memory between invocations."""

import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from partners import Delivery, Partner
from shared.state import State
from worker_fn.accounts.outliers import Outliers
from worker_fn.accounts.suspensions import Suspensions
from worker_fn.batch.disposition import Budgets
from worker_fn.batch.memory import Room
from worker_fn.clients.http import Send
from worker_fn.clients.mapping import EventSourceMapping, Held
from worker_fn.limits.fleet_seen import FleetSeen
from worker_fn.limits.registry import Registry


class Queue(Protocol):
    """shared.queue.WorkerQueue in threads, or a fake in tests. Every call may raise QueueUnavailable."""

    async def hide(self, waits_s: Mapping[str, int]) -> set[str]:
        """Hide messages (receipt handle -> seconds from now); returns the handles for which that failed."""

    async def dead_letter(self, record: Mapping[str, Any], attributes: Mapping[str, str]) -> None:
        """Return when the record's body is in the dead-letter queue."""

    async def park(self, record: Mapping[str, Any]) -> None:
        """Return when the record's body and attributes are in the parking queue."""


async def no_need() -> None:
    """Do nothing: without a declared rate no clock has to be agreed on, and a simulation has no connections."""


@dataclass(frozen=True, slots=True)
class Worker:
    """Everything that waits or talks is handed in, so that the same code runs on Lambda and on a simulated clock."""

    partner: Partner
    send: Send
    queue: Queue
    state: State
    limiters: Registry
    suspensions: Suspensions
    held: Held
    """Whether an operator's pause is in force."""
    max_in_flight: int
    attempts: int
    settle_reserve_s: float
    call_timeout_s: float
    mapping: Callable[[], Awaitable[EventSourceMapping | None]]
    """The event source mapping that feeds us, once its id is known."""
    fingerprint: Callable[[Delivery], str]
    """Tells a delivery's credentials apart."""
    budgets: Budgets = field(default_factory=Budgets)
    agree_on_time: Callable[[], Awaitable[None]] = no_need
    """Sets the worker's clock by the fleet's, once."""
    outliers: Outliers = field(default_factory=Outliers)
    in_groups: bool = False
    """A FIFO queue: messages of a group stay in order, and a failure holds back those behind it."""
    room: Room = field(default_factory=lambda: Room.of_function(512))
    """How much memory a batch may use."""
    stopwatch: Callable[[], float] = time.perf_counter
    """The clock, in seconds, that measures how long mapping takes."""
    now_ms: Callable[[], int] = lambda: int(time.time() * 1_000)
    rng: random.Random = field(default_factory=random.Random)
    log: Callable[..., None] = lambda *_, **__: None
    facts: Callable[..., None] = lambda *_, **__: None
    """Logs a fact: its kind, and fields of the allow-list."""
    tells_ids: bool = False
    """Whether facts also hold the ids of events, and every call with its keys: LOG_EVENTS=ids."""
    measured_accounts: frozenset[str] = frozenset()
    """Accounts whose ends are metrics of their own."""
    fleet_seen: FleetSeen = field(default_factory=FleetSeen)
    """What was last logged of the fleet."""
    close: Callable[[], Awaitable[None]] = no_need
    """Closes the worker's connections."""
