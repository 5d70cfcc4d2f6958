"""A record on its way through one invocation."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from partners import LeftOut
from shared.errors import InvalidRequest, UndecodableMessage, Unmappable, raised_at
from shared.firehose import Malformed
from shared.message import QUEUED_TYPES, Message
from worker_fn.accounts.suspensions import Carried, Place
from worker_fn.batch.disposition import DeadLetter, Delivered, End, Reason
from worker_fn.batch.progress import NO_PROGRESS, Progress
from worker_fn.dispatch.classify import Outcome
from worker_fn.dispatch.lanes import Dispatch

MOVED_MS = 5_000
"""How long after mParticle sent it a message may reach the queue and be new there; later it may come from another
queue. Ingest needs a second; parking and moving back take at least the two that a call waits for its account's turn,
and a few for the sweep.
"""

REDRIVEN, MAX_HISTORY = ("redriven_ms", "history"), 256
"""Attributes that `spillway dlq redrive` gives a message, and how long they may be: when it was redriven last; how
often, and as what it was dead-lettered before.
"""

UNREAD = Message(id="", part="", type="", account_id=None, received_at_ms=0, payload={})
"""What is known of a record that nobody could decode, or had the time to."""


@dataclass(slots=True)
class Job:
    """A record, and what is known of it by now."""

    record: Mapping[str, Any]
    message: Message = UNREAD
    """Its payload is held only until it is mapped: `holds` says whether it is."""
    weight: int = 0
    """What its request needs of the memory while it is read and mapped, in bytes: an estimate (memory.py)."""
    holds: bool = False
    source: Iterator[Dispatch] | None = None
    """The deliveries that were not mapped yet."""
    let_go: Callable[[], None] | None = None
    """Ends the partner's generator behind the source."""
    is_mapped: bool = False
    """Nothing is left in the source."""
    is_stopped: bool = False
    """Nothing more of it is mapped in this invocation: something that has to go before it waits."""
    took_s: float = 0.0
    """How long decoding and mapping it took."""
    items: list[Dispatch] = field(default_factory=list)
    """Its deliveries as far as they are mapped, without those that an earlier receive settled."""
    sent: int = 0
    """How many of the items earlier rounds of this invocation had: what is behind them is this round's."""
    total: int = 0
    """Deliveries that were mapped, settled ones included."""
    fingerprints: set[str] = field(default_factory=set)
    """Of the credentials that its first deliveries carry, settled ones included."""
    lane: str | None = None
    """Other messages of the batch that name it go before or behind this one, never beside it."""
    progress: Progress = NO_PROGRESS
    place: Place = Place.SEND
    is_placed: bool = False
    """Whether it was looked up what of its credentials is suspended: once they are known, which mapping it tells."""
    malformed: tuple[Malformed, ...] = ()
    """What of the request could not be read."""
    events: int = 0
    """How much it carries, as ingest counts it (shared/message.py)."""
    called: int = 0
    """Items that became calls, settled ones included."""
    last_called: object = None
    left_out: list[tuple[int, LeftOut]] = field(default_factory=list)
    """What the partner makes no call of, each with its place among all that the partner said."""
    looked_at: int = 0
    """How many of the things that the partner made of it, deliveries and what it leaves out, were read."""
    end: End | None = None
    """As it was decided; a receipt that could not be written may hold it back."""
    failure: str = ""
    """What a step raised over it, and where."""
    has_given_up: bool = False
    """A delivery failed too often and is refused: those behind it begin without failed attempts."""
    is_refused_alone: bool = False
    """Its credentials were refused while the same were taken in other messages."""

    def fail(self, error: Exception) -> None:
        """End it by what a step raised over it: a dead letter that says where, and nothing of what was looked at.

        What of it arrived by then is remembered as with any dead letter, so that a redrive does not repeat it. What was
        delivered stays so: there is nothing left to redrive.
        """
        if isinstance(error, UndecodableMessage | InvalidRequest | Unmappable):
            text = str(error)
        else:
            text = f"{type(error).__name__} in {raised_at(error)}"
        self.failure = text
        if isinstance(self.end, Delivered):
            return
        is_unread = self.message is UNREAD and not isinstance(error, Unmappable)
        reason = Reason.UNDECODABLE if is_unread else Reason.FAILED if self.is_mapped else Reason.UNMAPPABLE
        self.end = DeadLetter(reason, text, attempts=self.progress.attempts + self.calls)

    def note_call_for(self, item: str) -> None:
        """Count what becomes a call; several calls of one item come one after the other."""
        self.called += item != self.last_called
        self.last_called = item

    @property
    def left_out_events(self) -> int:
        """How many of its events the partner makes no call of: no more than those that have none, so that of what is
        beside the events, or of an event with several calls, nothing is counted.
        """
        return min(max(0, self.events - self.called), len({one.item for _, one in self.left_out}))

    @property
    def is_over(self) -> bool:
        """Whether its end is decided."""
        return self.end is not None

    @property
    def kind(self) -> str:
        """The type of its request, as it may be told; nothing for what an envelope calls by a name of its own."""
        return self.message.type if self.message.type in QUEUED_TYPES else ""

    @property
    def message_id(self) -> str:
        return str(self.record.get("messageId") or "")

    @property
    def group(self) -> str:
        """Its group in a FIFO queue."""
        return str(self._attributes.get("MessageGroupId") or "")

    @property
    def receives(self) -> int:
        """How often it was received; where that is not known, as if somebody may have worked on it."""
        return self.number("ApproximateReceiveCount", 2)

    @property
    def was_seen_before(self) -> bool:
        """Whether somebody may have worked on it: received before, or sent again from another queue."""
        sent_ms = self.number("SentTimestamp", self.message.received_at_ms)
        return self.receives > 1 or self.carried.was_dead or sent_ms - self.message.received_at_ms > MOVED_MS

    @property
    def first_received_ms(self) -> str:
        return str(self._attributes.get("ApproximateFirstReceiveTimestamp") or "")

    @property
    def begun_ms(self) -> int:
        """Since when its age counts: when it was accepted, or redriven last, which was before it was sent here."""
        said = self._said("redriven_ms")
        if not (said.isascii() and said.isdecimal() and len(said) < 16):
            return self.message.received_at_ms
        redriven_ms = min(int(said), self.number("SentTimestamp", int(said)))
        return max(self.message.received_at_ms, redriven_ms)

    @property
    def redrives(self) -> dict[str, str]:
        """What a redriven message says of that, for the letter that it may become again."""
        said = {name: self._said(name) for name in REDRIVEN}
        return {name: text for name, text in said.items() if 0 < len(text) <= MAX_HISTORY and text.isprintable()}

    @property
    def carried(self) -> Carried:
        """What decides whether a suspension holds it up."""
        said = self.record.get("messageAttributes")
        return Carried(
            account_id=self.message.account_id,
            fingerprints=self.fingerprints,
            message_id=self.message_id,
            kind=self.message.type,
            received_at_ms=self.message.received_at_ms,
            was_dead=isinstance(said, Mapping) and "reason" in said,
        )

    def _said(self, name: str) -> str:
        """A message attribute, where it is a text."""
        said = self.record.get("messageAttributes")
        one = said.get(name) if isinstance(said, Mapping) else None
        text = one.get("stringValue") if isinstance(one, Mapping) else None
        return text if isinstance(text, str) else ""

    @property
    def calls(self) -> int:
        """Calls of this batch that something of the message was in, push-backs left out."""
        return len({number for item in self.items for number in (*item.calls, *item.again)})

    @property
    def outcomes(self) -> list[Outcome]:
        """What became of the deliveries that were tried."""
        return [item.outcome for item in self.items if item.outcome is not None]

    def number(self, name: str, otherwise: int) -> int:
        """One of SQS's own attributes, all of which are short digits."""
        text = self._attributes.get(name)
        return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 20 else otherwise

    @property
    def _attributes(self) -> Mapping[str, Any]:
        attributes = self.record.get("attributes")
        return attributes if isinstance(attributes, Mapping) else {}
