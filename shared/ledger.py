"""The ledger: what became of all accepted requests, counted from the facts that the functions log. Pure.

    accepted = delivered + left out + waiting + parked + dead-lettered + gap        in events

A message is known by its request's id and its part. SQS gives it a new id with each send, also when it is parked, moved
back or redriven, so SQS's ids only tell copies apart: a request that mParticle sent twice has two, and each has to have
its end. SQS delivers at least once: a message that was delivered twice is counted once.

The gap is what was accepted, has no end, and is in no queue. Facts alone cannot tell it from messages that wait: it
takes the queues' depths, which SQS gives roughly.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shared.telemetry import SHORT_ID, Fact

WHOLE = "1/1"
NO_ACCOUNT = "-"
"""In place of an account's id, for a request that has none."""
_PART = re.compile(r" ([0-9]{1,4}/[0-9]{1,4})\Z")
_AMOUNT = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")


class Whereabouts(StrEnum):
    """Where a message is, by the last fact about it."""

    DELIVERED = "delivered"
    WAITING = "waiting"
    PARKED = "parked"
    DEAD = "dead"
    UNSEEN = "unseen"
    """No worker logged a fact about it."""


@dataclass(slots=True)
class Copy:
    """The facts about one of SQS's messages."""

    place: Whereabouts
    at_ms: int
    events: int = 0
    left_out: int = 0
    reason: str = ""
    account_id: str | None = None
    """None: the line named no account, like a line of delivered messages."""
    wait_s: int = 0
    """How long the message waits, by its last fact."""


@dataclass(frozen=True, slots=True)
class Open:
    """A message without an end, or with one that is not `delivered`."""

    request_id: str
    part: str
    account_id: str
    place: Whereabouts
    since_ms: int
    """The time of its last fact; of its acceptance, if no worker logged one."""
    due_ms: int
    """Until when no further fact is to be expected: a message that waits has one when its wait is over."""
    events: int


@dataclass(frozen=True, slots=True)
class Depths:
    """Messages in the main queue, hidden ones included, and in the parking queue, as SQS counts: roughly."""

    queue: int
    parking: int


@dataclass(slots=True)
class Sums:
    """In events. `gap` is None if SQS was not asked for the depths of its queues."""

    accepted: int = 0
    delivered: int = 0
    left_out: int = 0
    waiting: int = 0
    parked: int = 0
    dead: dict[str, int] = field(default_factory=dict)
    """By reason."""
    gap: int | None = None
    gap_of: Sequence[Open] = ()
    """The messages that may be missing: of those without an end, the ones that have been due for longest."""
    requests: int = 0
    more_copies: int = 0
    """Messages that were delivered beyond what was accepted: SQS took a request twice, say."""

    @property
    def all_dead(self) -> int:
        return sum(self.dead.values())

    @property
    def balance(self) -> int:
        """The accepted minus all ends: 0, or the counting is wrong."""
        ends = self.delivered + self.left_out + self.waiting + self.parked + self.all_dead + (self.gap or 0)
        return self.accepted - ends


@dataclass(slots=True)
class _Request:
    """What became of one account's requests with one id."""

    at_ms: int
    account_id: str
    events: int
    parts: int
    short_ids: list[str]
    """The first characters of SQS's ids of its messages."""
    copies: int = 1


class Ledger:
    """Takes in facts in any order, and sums them up."""

    def __init__(self) -> None:
        self._requests: dict[str, list[_Request]] = {}
        self._told: dict[tuple[str, str], dict[str, Copy]] = {}

    def add(self, kind: str, fields: Mapping[str, Any], at_ms: int) -> None:
        """Take in a fact; facts that say nothing of a message's place are ignored."""
        if kind == Fact.ACCEPTED:
            self._accept(fields, at_ms)
        elif kind == Fact.DELIVERED:
            for entry in fields.get("messages", ()):
                if (read := read_entry(str(entry))) is not None:
                    key, short_id, events, left_out = read
                    self._tell(key, short_id, Copy(Whereabouts.DELIVERED, at_ms, events, left_out))
        elif (place := _PLACES.get(kind)) is not None and fields.get("request_id"):
            key = (str(fields["request_id"]), str(fields.get("part") or WHOLE))
            events, reason = int(fields.get("events") or 0), str(fields.get("reason") or "")
            account_id = fields.get("account_id")
            wait_s = int(fields.get("wait_s") or 0)
            copy = Copy(place, at_ms, events, 0, reason, str(account_id) if account_id else None, wait_s)
            self._tell(key, str(fields.get("message_id") or "")[:SHORT_ID], copy)

    def sums(self, depths: Depths | None = None, *, account_id: str | None = None) -> Sums:
        """Sum up; with the queues' depths also the gap, which is known only for all accounts together."""
        sums = Sums()
        still: list[Open] = []
        for request_id, of_id in self._requests.items():
            for request in of_id:
                if account_id is None or request.account_id == account_id:
                    still += self._of_request(request_id, request, sums)
        parked = [one for one in still if one.place is Whereabouts.PARKED]
        waiting = [one for one in still if one.place is not Whereabouts.PARKED]
        if depths is not None and account_id is None:
            parked.sort(key=lambda one: one.since_ms, reverse=True)
            waiting += parked[depths.parking :]  # on their way back
            parked = parked[: depths.parking]
            waiting.sort(key=lambda one: one.due_ms)
            missing = max(0, len(waiting) - depths.queue)
            sums.gap_of = waiting[:missing]
            waiting = waiting[missing:]
            sums.gap = sum(one.events for one in sums.gap_of)
        sums.waiting, sums.parked = (sum(one.events for one in ones) for ones in (waiting, parked))
        return sums

    def place_of(self, request_id: str, part: str = WHOLE) -> Whereabouts:
        """Where a message is, by the facts about it."""
        return self.end_of(request_id, part).place

    def end_of(self, request_id: str, part: str = WHOLE) -> Copy:
        """The last fact about a message, whichever account it was accepted for."""
        return _ends(self._told.get((request_id, part), {}).values(), 1)[0]

    def copies_of(self, request_id: str, part: str = WHOLE) -> list[tuple[str, Copy]]:
        """The end of each copy of a message that was accepted, with its account."""
        key = (request_id, part)
        return [
            (request.account_id, end)
            for request in self._requests.get(request_id, ())
            for end in _ends(self._told_of(key, request), request.copies)
        ]

    def parts_of(self, request_id: str) -> list[str]:
        """The parts of a request: as many as were accepted, or those that facts name."""
        accepted = max((one.parts for one in self._requests.get(request_id, ())), default=1)
        if accepted > 1:
            return [f"{number}/{accepted}" for number in range(1, accepted + 1)]
        return [part for one, part in self._told if one == request_id] or [WHOLE]

    def accounts(self) -> list[str]:
        return sorted({one.account_id for of_id in self._requests.values() for one in of_id})

    def _accept(self, fields: Mapping[str, Any], at_ms: int) -> None:
        account_id = str(fields.get("account_id") or NO_ACCOUNT)
        short_ids = [str(one)[:SHORT_ID] for one in fields.get("messages", ())]
        of_id = self._requests.setdefault(str(fields.get("request_id") or ""), [])
        known = next((one for one in of_id if one.account_id == account_id), None)
        if known is not None:
            known.copies += 1
            known.short_ids += short_ids
            return
        parts, events = int(fields.get("parts") or 1), int(fields.get("events") or 0)
        of_id.append(_Request(at_ms, account_id, events, parts, short_ids))

    def _tell(self, key: tuple[str, str], short_id: str, copy: Copy) -> None:
        copies = self._told.setdefault(key, {})
        before = copies.get(short_id)
        if before is None or _rank(before) <= _rank(copy):
            copies[short_id] = copy

    def _of_request(self, request_id: str, request: _Request, sums: Sums) -> Iterable[Open]:
        keys = [(request_id, f"{number}/{request.parts}") for number in range(1, request.parts + 1)]
        told = {key: self._told_of(key, request) for key in keys}
        known = {key: max((one.events for one in told[key]), default=0) for key in keys}
        rest = request.events - sum(known.values())
        for key in keys:
            if not known[key]:
                known[key], rest = max(0, rest), 0
        sums.requests += request.copies
        sums.accepted += request.copies * sum(known.values())
        for key in keys:
            delivered = sum(one.place is Whereabouts.DELIVERED for one in told[key])
            sums.more_copies += max(0, delivered - request.copies)
            for end in _ends(told[key], request.copies):
                events = known[key]
                if end.place is Whereabouts.DELIVERED:
                    left_out = min(events, end.left_out)
                    sums.left_out += left_out
                    sums.delivered += events - left_out
                elif end.place is Whereabouts.DEAD:
                    reason = end.reason or "none"
                    sums.dead[reason] = sums.dead.get(reason, 0) + events
                else:
                    since_ms = end.at_ms or request.at_ms
                    due_ms = since_ms + 1_000 * end.wait_s
                    yield Open(request_id, key[1], request.account_id, end.place, since_ms, due_ms, events)

    def _told_of(self, key: tuple[str, str], request: _Request) -> list[Copy]:
        """The facts about a message of one request: all facts with its id, unless another account has a request with
        the same id.
        """
        told, of_id = self._told.get(key, {}), self._requests.get(key[0], ())
        if len(of_id) <= 1:
            return [one for one in told.values() if (one.account_id or request.account_id) == request.account_id]
        return next(copies for one, copies in _by_request(told, of_id) if one is request)


def _by_request(told: Mapping[str, Copy], requests: Sequence[_Request]) -> list[tuple[_Request, list[Copy]]]:
    """Which request each message belongs to: that of the account which its line names, or which was accepted with SQS's
    id. A moved message has another id, and a line of delivered ones names no account: such a message belongs to a
    request whose message was moved, or to one about which there is no other fact.
    """
    owned: list[tuple[_Request, list[Copy]]] = [(one, []) for one in requests]
    ownerless: list[Copy] = []
    for short_id, copy in told.items():
        mine = [
            copies
            for one, copies in owned
            if (copy.account_id or one.account_id) == one.account_id
            and (copy.account_id is not None or short_id in one.short_ids)
        ]
        (mine[0] if mine else ownerless).append(copy)
    for copy in sorted(ownerless, key=_rank):
        _, copies = min(owned, key=_has_its_end)
        copies.append(copy)
    return owned


def _has_its_end(owned: tuple[_Request, list[Copy]]) -> tuple[bool, bool]:
    """Orders requests by how likely a message of unknown owner belongs to them."""
    request, copies = owned
    done = sum(one.place is Whereabouts.DELIVERED for one in copies) >= request.copies
    return done, not any(one.place in {Whereabouts.PARKED, Whereabouts.DEAD} for one in copies)


def _ends(told: Iterable[Copy], count: int) -> list[Copy]:
    """Where `count` copies of a message are: first the delivered ones, then by their last facts."""
    newest = sorted(told, key=_rank, reverse=True)[:count]
    return [*newest, *[Copy(Whereabouts.UNSEEN, 0)] * (count - len(newest))]


def _rank(copy: Copy) -> tuple[bool, int]:
    """Delivered is final, whatever other facts say; otherwise the later fact counts."""
    return copy.place is Whereabouts.DELIVERED, copy.at_ms


_PLACES: Mapping[str, Whereabouts] = {
    Fact.WAIT: Whereabouts.WAITING,
    Fact.UNSETTLED: Whereabouts.WAITING,
    Fact.PARKED: Whereabouts.PARKED,
    Fact.DEAD_LETTER: Whereabouts.DEAD,
}


def has_part(request_id: str) -> bool:
    """Whether an id ends as if a part followed it: then the part is written, also where there is but one."""
    return _PART.search(request_id) is not None


def read_entry(entry: str) -> tuple[tuple[str, str], str, int, int] | None:
    """A message in a line of delivered ones: its key, the first characters of SQS's id, events, and those left out;
    None if it cannot be read.
    """
    head, _, amount = entry.rpartition(" ")
    head, _, short_id = head.rpartition(" ")
    counted = _AMOUNT.fullmatch(amount)
    if not head or counted is None:
        return None
    part = _PART.search(head)
    key = (head[: part.start()], part[1]) if part else (head, WHOLE)
    return key, short_id, int(counted[1]), int(counted[2] or 0)
