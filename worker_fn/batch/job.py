"""A record on its way through one invocation."""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from partners import LeftOut
from shared.errors import InvalidRequest, UndecodableMessage, Unmappable, raised_at
from shared.firehose import Malformed
from shared.message import QUEUED_TYPES, Message
from worker_fn.accounts.suspension import Carried
from worker_fn.accounts.suspensions import Place
from worker_fn.batch.disposition import DeadLetter, Delivered, End, Reason
from worker_fn.batch.progress import NO_PROGRESS, Progress
from worker_fn.batch.record import Record
from worker_fn.dispatch.classify import Verdict
from worker_fn.dispatch.lanes import Dispatch

MOVED_MS = 5_000
"""A message that reaches the queue this soon after mParticle sent it is new; a later one may come from another queue.
Ingest needs a second; parking and moving back take at least the two seconds that a call waits for its account's turn,
and a few for the sweep.
"""

UNREAD = Message(id="", part="", type="", account_id=None, received_at_ms=0, payload={})
"""Stands in for the message of a record that could not be decoded, or not in time."""


@dataclass(slots=True)
class Job:
    """A record, and all that the worker knows of it so far."""

    record: Record
    message: Message = UNREAD
    """The message without its payload."""
    payload: dict[str, Any] | None = None
    """The message's request, until its mapping begins; None also if memory is short."""
    weight: int = 0
    """The memory that its request needs while it is read and mapped, in bytes: an estimate (memory.py)."""
    source: Generator[Dispatch, None, None] | None = None
    """The deliveries that were not mapped yet, once its mapping has begun."""
    is_mapped: bool = False
    """All of its deliveries are mapped: nothing is left in the source."""
    is_stopped: bool = False
    """Nothing more of it is mapped in this invocation, because a message that goes before it waits."""
    took_s: float = 0.0
    """How long decoding and mapping it took."""
    items: list[Dispatch] = field(default_factory=list)
    """Its deliveries as far as they are mapped, without those that an earlier receive settled."""
    sent: int = 0
    """How many of the items belonged to earlier rounds of this invocation: those behind them are this round's."""
    total: int = 0
    """Deliveries that were mapped, settled ones included."""
    fingerprints: set[str] = field(default_factory=set)
    """The fingerprints of the credentials that its first deliveries carry, settled ones included."""
    lane: str | None = None
    """Messages of the batch with the same lane go before or behind this one, never beside it."""
    progress: Progress = NO_PROGRESS
    place: Place = Place.SEND
    is_placed: bool = False
    """Whether its credentials were looked up among the suspensions. They are known once it is mapped."""
    malformed: tuple[Malformed, ...] = ()
    """The parts of the request that could not be read."""
    event_ids: tuple[str, ...] = ()
    """The ids of its events, where the log is to hold them."""
    events: int = 0
    """The size of the message in events, as ingest counts it (shared/message.py)."""
    called: int = 0
    """Items that became calls, settled ones included."""
    left_out: list[tuple[int, LeftOut]] = field(default_factory=list)
    """The parts that the partner makes no call for, each with its place among all that the partner yielded."""
    looked_at: int = 0
    """How many of the things that the partner yields, deliveries and LeftOut alike, were read."""
    end: End | None = None
    """The end that was decided; a return time or a receipt that could not be written may still change it."""
    stays: bool = False
    """The queue keeps the message: it waits, or could not be moved to the queue that its end names."""
    failure: str = ""
    """The exception that a step raised while it worked on this record, and its place."""
    has_given_up: bool = False
    """A delivery failed too often and is refused: those behind it begin without failed attempts."""
    is_refused_alone: bool = False
    """Its credentials were refused while the same ones were accepted in other messages."""

    def fail(self, error: Exception) -> None:
        """End it with an exception of a step: a dead letter that names the place, and shows nothing of the payload.

        Deliveries that arrived by then are remembered as with any dead letter, so that a redrive does not repeat them.
        A record that was delivered as a whole stays delivered: there is nothing left to redrive.
        """
        is_told = isinstance(error, UndecodableMessage | InvalidRequest | Unmappable)
        self.failure = str(error) if is_told else f"{type(error).__name__} in {raised_at(error)}"
        if isinstance(self.end, Delivered):
            return
        is_unread = self.message is UNREAD and not isinstance(error, Unmappable)
        reason = Reason.UNDECODABLE if is_unread else Reason.FAILED if self.is_mapped else Reason.UNMAPPABLE
        self.end = DeadLetter(reason, self.failure, attempts=self.progress.attempts + self.calls)

    @property
    def is_over(self) -> bool:
        """Whether its end is decided."""
        return self.end is not None

    @property
    def holds(self) -> bool:
        """Whether its request is in memory."""
        return self.payload is not None or self.source is not None

    @property
    def kind(self) -> str:
        """The type of its request, for logs and metrics; empty for a type that is not one of the protocol's."""
        return self.message.type if self.message.type in QUEUED_TYPES else ""

    @property
    def was_seen_before(self) -> bool:
        """Whether a worker may have worked on it: received before, or sent again from another queue."""
        record, accepted_ms = self.record, self.message.received_at_ms
        was_moved = record.number("SentTimestamp", accepted_ms) - accepted_ms > MOVED_MS
        return record.receives > 1 or was_moved or record.was_dead

    @property
    def begun_ms(self) -> int:
        """The beginning of its age: when it was accepted or last redriven."""
        return max(self.message.received_at_ms, self.record.redriven_ms)

    @property
    def carried(self) -> Carried:
        """The part of the message that decides whether a suspension holds it up."""
        one, record = self.message, self.record
        return Carried(
            one.account_id, self.fingerprints, record.message_id, one.type, one.received_at_ms, record.was_dead
        )

    @property
    def calls(self) -> int:
        """Calls of this batch that carried a delivery of the message, push-backs left out."""
        return len({number for item in self.items for number in (*item.calls, *item.again)})

    @property
    def arrived_at_once(self) -> bool:
        """Whether all of it arrived, and no progress was known before: there is none to remember or to forget."""
        is_sent = self.is_mapped and self.place is Place.SEND and self.end is None and self.progress is NO_PROGRESS
        return is_sent and all(item.outcome and item.outcome.verdict is Verdict.DELIVERED for item in self.items)
