"""Which pair may follow which on one queue.

A worker reads messages of some versions, an ingest writes those of one (shared/message.py). A worker that goes live
finds messages of the ingest beside it, and undelivered ones of earlier ingests. It dead-letters those that it cannot
read as `undecodable`: nothing is lost, but somebody has to redrive them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ops.releases.pair import Pair


@dataclass(frozen=True, slots=True)
class Messages:
    """The message version that each version of ingest writes, and those that each version of the worker reads."""

    writes: Mapping[int, int]
    reads: Mapping[int, tuple[int, ...]]

    def fit(self, pair: Pair) -> bool:
        """Whether a worker reads what the ingest beside it writes."""
        return self.writes[pair.ingest] in self.reads[pair.worker]


def refusal(messages: Messages, live: Pair, target: Pair, writers: Iterable[int]) -> str | None:
    """Say why `target` may not follow `live`, and what may; None if it may.

    `writers` are the versions of ingest whose messages may be on the queue; one that exists no more is not asked.
    """
    worker = f"worker {target.worker} reads {_versions(messages.reads[target.worker])}"
    if not messages.fit(target):
        return (
            f"{worker}, and ingest {target.ingest} would write version {messages.writes[target.ingest]}: choose two"
            " that fit, spillway versions shows what each writes and reads"
        )
    strange = {
        version: messages.writes[version]
        for version in sorted(set(writers))
        if version in messages.writes and messages.writes[version] not in messages.reads[target.worker]
    }
    if not strange:
        return None
    version, written = max(strange.items())
    return (
        f"{worker}, and the queue may hold messages of version {written}, written by ingest {version}: they would be"
        f" dead-lettered as undecodable{_instead(messages, live, target)}"
    )


def worker_first(messages: Messages, live: Pair, target: Pair) -> bool:
    """Whether the worker's alias moves before ingest's.

    Forward, the worker first: it reads both forms. Backward, ingest first: while one alias has moved and the other has
    not, the newer worker stands behind the older ingest. If that worker cannot read what the older ingest writes, the
    worker goes first after all.
    """
    forward = (messages.writes[target.ingest], target.ingest) >= (messages.writes[live.ingest], live.ingest)
    return forward or not messages.fit(Pair(target.ingest, live.worker))


def _instead(messages: Messages, live: Pair, target: Pair) -> str:
    """Offer the older ingest with the newer worker, which reads both forms, if that is a change and fits."""
    halfway = Pair(target.ingest, live.worker)
    if halfway == live or not messages.fit(halfway):
        return ""
    return f". Take ingest alone: spillway promote --to {halfway}"


def _versions(versions: tuple[int, ...]) -> str:
    named = " and ".join(map(str, versions))
    return f"message versions {named}" if len(versions) > 1 else f"message version {named} alone"
