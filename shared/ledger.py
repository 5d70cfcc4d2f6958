"""The ledger: what became of all that was accepted, counted from the facts that the functions write. Pure.

    accepted = delivered + left out + waiting + parked + dead-lettered + gap        in events

A message is known by its request's id and its part. SQS gives it a new id with each send, also when it is parked, moved
back or redriven, so by its own ids only copies are told apart: a request that mParticle sent twice has two, and each
has to have its end. SQS delivers at least once: a message that was delivered twice is counted once.

A gap is what was accepted, has no end, and is in no queue. Facts alone cannot tell it from what waits: it takes the
queues' depths, which SQS gives roughly.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shared.telemetry import Fact

WHOLE = "1/1"
_PART = re.compile(r" ([0-9]{1,4}/[0-9]{1,4})\Z")


class Place(StrEnum):
    """Where a message is by the last that was told of it."""

    DELIVERED = "delivered"
    WAITING = "waiting"
    PARKED = "parked"
    DEAD = "dead"
    UNSEEN = "unseen"
    """No worker told anything of it."""


@dataclass(slots=True)
class Copy:
    """What was told of one of SQS's messages."""

    place: Place
    at_ms: int
    events: int = 0
    left_out: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Open:
    """A message without an end, or with one that is not `delivered`."""

    request_id: str
    part: str
    account_id: str | None
    place: Place
    since_ms: int
    """When it was told last; when it was accepted, if no worker told anything."""
    events: int


@dataclass(frozen=True, slots=True)
class Depths:
    """Messages in the main queue, hidden ones included, and in the parking queue, as SQS counts: roughly."""

    queue: int
    parking: int


@dataclass(slots=True)
class Sums:
    """In events. `gap` is None where nobody asked SQS how much there is."""

    accepted: int = 0
    delivered: int = 0
    left_out: int = 0
    waiting: int = 0
    parked: int = 0
    dead: dict[str, int] = field(default_factory=dict)
    """By reason."""
    gap: int | None = None
    gap_of: Sequence[Open] = ()
    """The messages that it may consist of: of what has no end, those of which nothing was told for longest."""
    requests: int = 0
    more_copies: int = 0
    """Messages that were delivered beyond what was accepted: SQS took a request twice, say."""

    @property
    def all_dead(self) -> int:
        return sum(self.dead.values())

    @property
    def balance(self) -> int:
        """What is left of the accepted when all ends are taken away: 0, or the counting is wrong."""
        ends = self.delivered + self.left_out + self.waiting + self.parked + self.all_dead + (self.gap or 0)
        return self.accepted - ends


@dataclass(slots=True)
class _Request:
    at_ms: int
    account_id: str | None
    events: int
    parts: int
    copies: int = 1


class Ledger:
    """Takes in facts in any order, and sums them up."""

    def __init__(self) -> None:
        self._requests: dict[str, _Request] = {}
        self._told: dict[tuple[str, str], dict[str, Copy]] = {}

    def add(self, kind: str, fields: Mapping[str, Any], at_ms: int) -> None:
        """Take in a fact; what says nothing of a message's place is passed over."""
        if kind == Fact.ACCEPTED:
            self._accept(fields, at_ms)
        elif kind == Fact.DELIVERED:
            for entry in fields.get("messages", ()):
                if (read := read_entry(str(entry))) is not None:
                    key, short_id, events, left_out = read
                    self._tell(key, short_id, Copy(Place.DELIVERED, at_ms, events, left_out))
        elif (place := _PLACES.get(kind)) is not None and fields.get("request_id"):
            key = (str(fields["request_id"]), str(fields.get("part") or WHOLE))
            events, reason = int(fields.get("events") or 0), str(fields.get("reason") or "")
            self._tell(key, str(fields.get("message_id") or "")[:8], Copy(place, at_ms, events, 0, reason))

    def sums(self, depths: Depths | None = None, *, account_id: str | None = None) -> Sums:
        """Sum up; with the queues' depths also the gap, which is known for all accounts together alone."""
        sums = Sums()
        still: list[Open] = []
        for request_id, request in self._requests.items():
            if account_id is None or request.account_id == account_id:
                still += self._of_request(request_id, request, sums)
        parked = [one for one in still if one.place is Place.PARKED]
        waiting = [one for one in still if one.place is not Place.PARKED]
        if depths is not None and account_id is None:
            parked.sort(key=lambda one: one.since_ms, reverse=True)
            waiting += parked[depths.parking :]  # on their way back
            parked = parked[: depths.parking]
            waiting.sort(key=lambda one: one.since_ms)
            missing = max(0, len(waiting) - depths.queue)
            sums.gap_of = waiting[:missing]
            waiting = waiting[missing:]
            sums.gap = sum(one.events for one in sums.gap_of)
        sums.waiting, sums.parked = (sum(one.events for one in ones) for ones in (waiting, parked))
        return sums

    def place_of(self, request_id: str, part: str = WHOLE) -> Place:
        """Where a message is by what was told of it."""
        return self._ends((request_id, part), 1)[0].place

    def accounts(self) -> list[str]:
        return sorted({one.account_id for one in self._requests.values() if one.account_id is not None})

    def _accept(self, fields: Mapping[str, Any], at_ms: int) -> None:
        request_id = str(fields.get("request_id") or "")
        known = self._requests.get(request_id)
        if known is not None:
            known.copies += 1
            return
        parts, account_id = int(fields.get("parts") or 1), fields.get("account_id")
        events = int(fields.get("events") or 0)
        self._requests[request_id] = _Request(at_ms, str(account_id) if account_id else None, events, parts)

    def _tell(self, key: tuple[str, str], short_id: str, copy: Copy) -> None:
        copies = self._told.setdefault(key, {})
        before = copies.get(short_id)
        if before is None or _rank(before) <= _rank(copy):
            copies[short_id] = copy

    def _of_request(self, request_id: str, request: _Request, sums: Sums) -> Iterable[Open]:
        keys = [(request_id, f"{number}/{request.parts}") for number in range(1, request.parts + 1)]
        known = {key: self._events(key) for key in keys}
        rest = request.events - sum(known.values())
        for key in keys:
            if not known[key]:
                known[key], rest = max(0, rest), 0
        sums.requests += request.copies
        sums.accepted += request.copies * sum(known.values())
        for key in keys:
            ends = self._ends(key, request.copies)
            sums.more_copies += max(0, self._delivered(key) - request.copies)
            for end in ends:
                events = known[key]
                if end.place is Place.DELIVERED:
                    left_out = min(events, end.left_out)
                    sums.left_out += left_out
                    sums.delivered += events - left_out
                elif end.place is Place.DEAD:
                    reason = end.reason or "none"
                    sums.dead[reason] = sums.dead.get(reason, 0) + events
                else:
                    since_ms = end.at_ms or request.at_ms
                    yield Open(request_id, key[1], request.account_id, end.place, since_ms, events)

    def _ends(self, key: tuple[str, str], count: int) -> list[Copy]:
        """Where `count` copies of a message are: first those that were delivered, then what was told last."""
        told = self._told.get(key, {}).values()
        newest = sorted(told, key=_rank, reverse=True)
        return [*newest[:count], *[Copy(Place.UNSEEN, 0)] * (count - len(newest))]

    def _delivered(self, key: tuple[str, str]) -> int:
        return sum(one.place is Place.DELIVERED for one in self._told.get(key, {}).values())

    def _events(self, key: tuple[str, str]) -> int:
        return max((one.events for one in self._told.get(key, {}).values()), default=0)


def _rank(copy: Copy) -> tuple[bool, int]:
    """What is delivered stays so, whatever else is told; else the later word counts."""
    return copy.place is Place.DELIVERED, copy.at_ms


_PLACES: Mapping[str, Place] = {
    Fact.WAIT: Place.WAITING,
    Fact.UNSETTLED: Place.WAITING,
    Fact.PARKED: Place.PARKED,
    Fact.DEAD_LETTER: Place.DEAD,
}


def read_entry(entry: str) -> tuple[tuple[str, str], str, int, int] | None:
    """A message in a line of delivered ones: its key, the begin of SQS's id, events, and those left out; None for what
    is none.
    """
    head, _, amount = entry.rpartition(" ")
    head, _, short_id = head.rpartition(" ")
    events, _, left_out = amount.partition("-")
    if not head or not events.isdecimal() or not (left_out or "0").isdecimal():
        return None
    part = _PART.search(head)
    key = (head[: part.start()], part[1]) if part else (head, WHOLE)
    return key, short_id, int(events), int(left_out or 0)
