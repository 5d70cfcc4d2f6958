"""A record that mapped, on its way through one invocation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from partners import LeftOut
from shared.firehose import Malformed
from shared.message import Message
from worker_fn import progress as progresses
from worker_fn.classify import Outcome
from worker_fn.courier import Shipment
from worker_fn.ends import End
from worker_fn.progress import Progress
from worker_fn.suspensions import Place

MOVED_MS = 5_000
"""A message that reached the queue so long after mParticle sent it may come from another queue: ingest needs a second,
parking and moving back at least the two that a call waits for its account's turn and a few for the sweep.
"""


@dataclass(slots=True)
class Job:
    """A record that mapped, on its way."""

    record: Mapping[str, Any]
    message: Message
    items: list[Shipment]
    total: int
    lane: str | None = None
    """Other messages of the batch that name it go before or behind this one, never beside it."""
    progress: Progress = progresses.NONE
    place: Place = Place.SEND
    malformed: tuple[Malformed, ...] = ()
    """What of the request could not be read."""
    left_out: tuple[LeftOut, ...] = ()
    """What the partner makes no call of."""
    end: End | None = None
    """As it was decided; a receipt that could not be written may hold it back."""
    struck_out: bool = False
    """A delivery used up its strikes: those behind it begin with none."""
    is_denied_alone: bool = False
    """Its credentials were refused while others of its account were taken."""

    @property
    def was_seen_before(self) -> bool:
        """Whether somebody may have worked on it: received before, or sent again from the parking queue."""
        attributes = self.record["attributes"]
        sent_ms = int(attributes.get("SentTimestamp", self.message.received_at_ms))
        moved = sent_ms - self.message.received_at_ms > MOVED_MS
        return int(attributes["ApproximateReceiveCount"]) > 1 or moved

    @property
    def outcomes(self) -> list[Outcome]:
        """What became of the deliveries that were tried."""
        return [item.outcome for item in self.items if item.outcome is not None]
