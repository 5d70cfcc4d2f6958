"""What the aliases remember: the pairs that were live, newest first, each with the time at which it went live.

    ingest/worker 5/5 20261124T162031Z, 4/4 20261120T090000Z, 3/3 -; back from 6/6 20261124T162031Z

It is the description of both aliases, so that it moves in the same call as the alias does, needs nothing but Lambda to
be read, and shows in Lambda's console. A deploy writes it, too (`after_deploy.py`). `back from` are pairs that were
rolled back, each with the time of that.

The versions that are really live count: if the note names others, somebody moved an alias without it, and the versions
that it calls live were live before.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ops.releases.pair import Pair

MAX_CHARS = 256
"""Lambda's limit for an alias's description."""

KEPT_BY_QUEUES = timedelta(days=14)
"""How long infra/queues.yml lets a message wait."""

NOTE_PREFIX, BACK = "ingest/worker ", "; back from "
TIME = "%Y%m%dT%H%M%SZ"
ENTRY = re.compile(r"(?P<ingest>[0-9]+)/(?P<worker>[0-9]+) (?P<at>[0-9]{8}T[0-9]{6}Z|-)")


@dataclass(frozen=True, slots=True)
class Entry:
    """A pair, and when it went live or, in `back`, when it was rolled back. None: not known."""

    pair: Pair
    at: datetime | None

    def __str__(self) -> str:
        at = f"{self.at:{TIME}}" if self.at else "-"
        return f"{self.pair.ingest}/{self.pair.worker} {at}"


@dataclass(frozen=True, slots=True)
class Note:
    """`live` are the pairs that were live, the one that is at first; `back` those that were rolled back."""

    live: tuple[Entry, ...]
    back: tuple[Entry, ...] = ()

    def __str__(self) -> str:
        """Return the text as an alias holds it: the oldest entries are left out if it would be too long."""
        live, back = list(self.live), list(self.back)
        while len(text := _text(live, back)) > MAX_CHARS:
            (live if len(live) > 2 else back).pop()
        return text

    @property
    def previous(self) -> Entry | None:
        """The pair to go back to."""
        return self.live[1] if len(self.live) > 1 else None

    def promoted(self, pair: Pair, now: datetime) -> "Note":
        """Return the note after a pair has gone live."""
        return Note((Entry(pair, now), *self.live), tuple(entry for entry in self.back if entry.pair != pair))

    def rolled_back(self, now: datetime) -> "Note":
        """Return the note after the pair before has gone live again: going back again goes further back."""
        _, previous, *older = self.live
        return Note((Entry(previous.pair, now), *older), (Entry(self.live[0].pair, now), *self.back))

    def writers(self, now: datetime) -> Iterator[int]:
        """Yield the versions of ingest whose messages may still be on a queue."""
        yield self.live[0].pair.ingest
        ended = [(old.pair.ingest, new.at) for new, old in zip(self.live, self.live[1:], strict=False)]
        ended += [(entry.pair.ingest, entry.at) for entry in self.back]
        for version, at in ended:
            if at is None or now - at < KEPT_BY_QUEUES:
                yield version


def read_note(live: Pair, ingest_text: str, worker_text: str) -> Note:
    """Read what both aliases remember, given what is live."""
    texts = [note for note in map(_parsed, (ingest_text, worker_text)) if note]
    if not texts:
        return Note((Entry(live, None),))
    # If they differ, a move was cut short between the two: the older note says what was live before it.
    note = min(texts, key=lambda one: one.live[0].at or datetime.min.replace(tzinfo=UTC))
    if note.live[0].pair == live:
        return note
    return Note((Entry(live, None), *note.live), note.back)


def _text(live: Sequence[Entry], back: Sequence[Entry]) -> str:
    text = NOTE_PREFIX + ", ".join(map(str, live))
    return text + BACK + ", ".join(map(str, back)) if back else text


def _parsed(text: str) -> Note | None:
    live_text, _, back_text = text.removeprefix(NOTE_PREFIX).partition(BACK)
    live, back = _entries(live_text), _entries(back_text)
    return Note(live, back) if live and text.startswith(NOTE_PREFIX) else None


def _entries(text: str) -> tuple[Entry, ...]:
    found = [ENTRY.fullmatch(part) for part in text.split(", ")]
    if not all(found):
        return ()
    return tuple(
        Entry(Pair(int(one["ingest"]), int(one["worker"])), _time(one["at"])) for one in found if one is not None
    )


def _time(text: str) -> datetime | None:
    if text == "-":
        return None
    try:
        return datetime.strptime(text, TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
