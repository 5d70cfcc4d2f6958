"""SQS, as far as the worker can see: visibility, receive counts, in flight, second copies, groups, the other queues.
Numbers are AWS's quotas.

A message is made only when it is received: until then a stream is only numbers and times, so a backlog of millions
costs nothing.
"""

import asyncio
import heapq
import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.errors import QueueUnavailable
from shared.message import EVENTS
from testkit.clock import EPOCH_S, Killed, now_s
from testkit.records import sqs_record
from testkit.simulation.life import Life, World
from testkit.simulation.streams import Streams, body_of
from testkit.simulation.truth import Sent

MOST_IN_FLIGHT = 120_000
LONGEST_VISIBILITY_S = 43_200.0
RETENTION_S = 14 * 86_400.0
MAX_RECEIVES = 1_000
SQS_MS = (8.0, 60.0)
NOISY_SHARE, NOISY_LEAST = 0.1, 30
NEW_SHARE = 0.5
"""SQS promises no order: a message that came back and one that is new are as likely to be next."""


@dataclass(slots=True)
class Queued:
    """A message that exists: it was received at least once, or was sent by the worker."""

    id: str
    sent: Sent
    body: str
    attributes: Mapping[str, str]
    put_s: float
    receives: int = 0
    first_s: float = 0.0
    received_s: float = 0.0
    visible_s: float = 0.0
    handle: str = ""
    gone: bool = False


@dataclass(slots=True)
class Letter:
    """A message in the dead-letter queue."""

    sent: Sent
    attributes: Mapping[str, str]


@dataclass(slots=True)
class Queues:
    """The main queue, the parking queue and the dead-letter queue."""

    world: World
    streams: Streams
    parked: dict[str, Queued] = field(default_factory=dict)
    dead: list[Letter] = field(default_factory=list)
    in_flight: dict[str, Queued] = field(default_factory=dict)
    """By receipt handle: received, and neither deleted nor visible again."""
    came_again: int = 0
    """What workers sent to the main and the parking queue, without what left the parking queue."""
    _visible: dict[str, deque[Queued]] = field(default_factory=dict)
    _hidden: list[tuple[float, int, Queued]] = field(default_factory=list)
    _parked: list[tuple[float, int, Queued]] = field(default_factory=list)
    _flying: Counter[str] = field(default_factory=Counter)
    _number: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    # --- what the event source mapping does -----------------------------------------------------------------------

    def receive(self, most: int) -> list[dict[str, Any]]:
        """Up to `most` messages that are visible now."""
        self._return_hidden()
        fifo = self.world.scenario.fleet.fifo
        blocked = frozenset(group for group, count in self._flying.items() if count) if fifo else frozenset()
        records: list[dict[str, Any]] = []
        while len(records) < most and len(self.in_flight) < MOST_IN_FLIGHT:
            held = self._next(blocked)
            if held is None:
                break
            records.append(self._received(held))
        self.world.truth.in_flight_most = max(self.world.truth.in_flight_most, len(self.in_flight))
        return records

    async def wait(self, until_s: float | None = None) -> None:
        """Return when something may have become visible, or at `until_s`."""
        self._changed.clear()
        moments = [one for one in (self._next_s(), until_s) if one is not None]
        timeout_s = max(0.001, min(moments) - now_s()) if moments else None
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            return

    def delete(self, record: Mapping[str, Any]) -> None:
        """Delete by receipt handle, as Lambda does with what was not reported."""
        held = self.in_flight.pop(record["receiptHandle"], None)
        if held is not None:
            held.gone = True
            self._landed(held)

    def waiting(self) -> Iterator[Queued]:
        """Messages of the main queue that exist, visible or not."""
        seen = {id(held): held for line in self._visible.values() for held in line}
        seen |= {id(held): held for held in self.in_flight.values()}
        return iter(seen.values())

    @property
    def depth(self) -> int:
        """Messages of the main and the parking queue, as SQS counts."""
        lying = len(self.in_flight) + sum(map(len, self._visible.values())) + self.streams.unreceived(now_s())
        return lying + len(self.parked)

    @property
    def is_empty(self) -> bool:
        return self.streams.is_over and not self.in_flight and not bool(self._visible)

    # --- what the worker does -------------------------------------------------------------------------------------

    def hide(self, handle: str, wait_s: int) -> bool:
        held = self.in_flight.get(handle)
        if held is None or now_s() + wait_s - held.received_s > LONGEST_VISIBILITY_S:
            return False
        held.visible_s = now_s() + wait_s
        self._hide(held)
        self._changed.set()  # it may be the next one to come
        return True

    def put(self, body: str, attributes: Mapping[str, str]) -> Queued:
        """A message that the worker sends to the main queue."""
        self._number += 1
        self.came_again += 1
        held = Queued(f"m-{self._number}", self.sent_in(body), body, attributes, now_s())
        self._visible.setdefault(self._line_of(held), deque()).append(held)
        self._changed.set()
        return held

    def park(self, body: str, attributes: Mapping[str, str]) -> None:
        self._number += 1
        self.came_again += 1
        held = Queued(f"p-{self._number}", self.sent_in(body), body, attributes, now_s(), handle=f"p-{self._number}")
        self.parked[held.handle] = held
        heapq.heappush(self._parked, (0.0, self._number, held))

    def forget_parked(self, handle: str) -> None:
        """Delete it from the parking queue."""
        self.came_again -= self.parked.pop(handle, None) is not None

    def receive_parked(self, most: int, sight_s: int) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = []
        while len(records) < most and self._parked and self._parked[0][0] <= now_s():
            _, number, held = heapq.heappop(self._parked)
            if held.handle in self.parked:
                held.receives += 1
                heapq.heappush(self._parked, (now_s() + sight_s, number, held))
                records.append(record_of(held))
        return records

    def sent_in(self, body: str) -> Sent:
        """The request in a message."""
        return self.world.truth.sent[str(json.loads(body)["id"])]

    # --- inside ---------------------------------------------------------------------------------------------------

    def _line_of(self, held: Queued) -> str:
        return held.sent.group if self.streams.is_fair or self.world.scenario.fleet.fifo else ""

    def _next(self, blocked: frozenset[str]) -> Queued | None:
        grouped = self.streams.is_fair or self.world.scenario.fleet.fifo
        while grouped and (sent := self.streams.take(now_s())) is not None:
            held = self._made(sent)
            self._visible.setdefault(sent.group, deque()).append(held)
        returned = bool(self._visible)
        if not grouped and (not returned or self.world.rng.random() < NEW_SHARE):
            sent = self.streams.take(now_s())
            if sent is not None:
                return self._made(sent)
        group = self._group(blocked)
        if group is None:
            return None
        held = self._visible[group].popleft()
        if not self._visible[group]:
            del self._visible[group]
        return held

    def _made(self, sent: Sent) -> Queued:
        self._number += 1
        attributes = {"type": EVENTS, "account_id": str(sent.account)}
        return Queued(f"m-{self._number}", sent, body_of(sent), attributes, sent.at_s)

    def _group(self, blocked: frozenset[str]) -> str | None:
        """FIFO: a group with nothing in flight. Else a quiet customer before a noisy one, the oldest message first."""
        if not self.streams.is_fair and not self.world.scenario.fleet.fifo:
            return "" if self._visible.get("") else None
        least = max(NOISY_LEAST, NOISY_SHARE * len(self.in_flight))
        free = [
            (self._flying[group] >= least and not self.world.scenario.fleet.fifo, line[0].put_s, group)
            for group, line in self._visible.items()
            if group not in blocked
        ]
        return min(free)[2] if free else None

    def _received(self, held: Queued) -> dict[str, Any]:
        now = now_s()
        held.receives += 1
        held.first_s = held.first_s or now
        held.received_s = now
        held.visible_s = now + self.world.scenario.fleet.visibility_s
        self._number += 1
        held.handle = f"{held.id}/{self._number}"
        self.in_flight[held.handle] = held
        self._flying[held.sent.group] += 1
        self._hide(held)
        if self.world.happens("twice"):  # another copy of the store did not hear that it was received
            self.world.truth.unsure.update(held.sent.items)
            copy = Queued(held.id, held.sent, held.body, held.attributes, held.put_s, held.receives - 1, held.first_s)
            self._visible.setdefault(self._line_of(copy), deque()).append(copy)
        return record_of(held)

    def _hide(self, held: Queued) -> None:
        self._number += 1
        heapq.heappush(self._hidden, (held.visible_s, self._number, held))

    def _landed(self, held: Queued) -> None:
        self._flying[held.sent.group] -= 1
        self._changed.set()

    def _return_hidden(self) -> None:
        now = now_s()
        while self._hidden and self._hidden[0][0] <= now:
            visible_s, _, held = heapq.heappop(self._hidden)
            if held.gone or held.visible_s != visible_s or self.in_flight.get(held.handle) is not held:
                continue
            del self.in_flight[held.handle]
            self._landed(held)
            if held.receives >= MAX_RECEIVES:
                self.dead.append(Letter(held.sent, {"reason": "redrive policy"}))
                held.gone = True
            elif now - held.put_s < RETENTION_S:
                line = self._visible.setdefault(self._line_of(held), deque())
                line.append(held)
                if self.world.scenario.fleet.fifo:
                    self._visible[held.sent.group] = deque(sorted(line, key=lambda one: one.put_s))

    def _next_s(self) -> float | None:
        """When a message becomes visible next."""
        now = now_s()
        if self._visible and not self.world.scenario.fleet.fifo:
            return now
        moments = [self._hidden[0][0]] if self._hidden else []
        arrival_s = self.streams.next_s()
        return min([*moments, *([] if arrival_s is None else [arrival_s])], default=None)


def record_of(held: Queued) -> dict[str, Any]:
    """A message as Lambda hands it to the worker."""
    return sqs_record(
        held.id,
        held.handle,
        held.body,
        receives=held.receives,
        first_ms=int((EPOCH_S + held.first_s) * 1_000),
        sent_ms=int((EPOCH_S + held.put_s) * 1_000),
        group=held.sent.group,
        attributes=held.attributes,
    )


class EnvironmentQueue:
    """The queues as one Lambda environment reaches them: `Queue` of batch/settle and `Queues` of maintenance/tick."""

    def __init__(self, queues: Queues, life: Life) -> None:
        self._queues = queues
        self._world = queues.world
        self._life = life
        self.holds: list[dict[str, Any]] = []
        """What this invocation received."""

    async def hide(self, waits_s: Mapping[str, int]) -> set[str]:
        failed: set[str] = set()
        handles = list(waits_s)
        for start in range(0, len(handles), 10):
            batch = handles[start : start + 10]
            await self._there("ChangeMessageVisibilityBatch")
            if self._world.happens("settle_fails"):
                failed |= set(batch)
            else:
                failed |= {
                    handle
                    for handle in batch
                    if self._world.happens("settle_fails_singly") or not self._queues.hide(handle, waits_s[handle])
                }
            await self._back()
        return failed

    async def dead_letter(self, record: Mapping[str, Any], attributes: Mapping[str, str]) -> None:
        letter = Letter(self._queues.sent_in(record["body"]), dict(attributes))
        await self._call("SendMessage", letter.sent, lambda: self._queues.dead.append(letter))

    async def park(self, record: Mapping[str, Any]) -> None:
        kept = {name: one["stringValue"] for name, one in record["messageAttributes"].items()}
        sent = self._queues.sent_in(record["body"])
        await self._call("SendMessage", sent, lambda: self._queues.park(record["body"], kept))

    async def take(self) -> dict[str, Any] | None:
        await self._there("ReceiveMessage")
        self.holds = self._queues.receive(1)
        await self._back()
        return self.holds[0] if self.holds else None

    async def delete(self, record: Mapping[str, Any]) -> None:
        sent = self._queues.sent_in(record["body"])
        await self._call("DeleteMessage", sent, lambda: self._queues.delete(record))

    async def parked(self, sight_s: int) -> list[dict[str, Any]]:
        await self._there("ReceiveMessage")
        found = self._queues.receive_parked(10, sight_s)
        await self._back()
        return found

    async def unpark(self, records: Sequence[Mapping[str, Any]]) -> set[str]:
        """Up to ten at once, as SendMessageBatch and DeleteMessageBatch do; each may fail by itself."""
        failed = {record["receiptHandle"] for record in records}
        items = [item for record in records for item in self._queues.sent_in(record["body"]).items]
        try:
            await self._there("SendMessageBatch")
            sent = [record for record in records if self._takes(record)]
            await self._back()
            if self._world.happens("settle_loses_answers"):
                self._world.truth.unsure.update(items)
                return failed
            await self._there("DeleteMessageBatch")
            for record in sent:
                if self._world.happens("settle_fails"):
                    self._world.truth.unsure.update(self._queues.sent_in(record["body"]).items)
                else:
                    self._queues.forget_parked(record["receiptHandle"])
                    failed.discard(record["receiptHandle"])
            await self._back()
        except Killed:
            self._world.truth.unsure.update(items)  # they may be in both queues now
            raise
        return failed

    def _takes(self, record: Mapping[str, Any]) -> bool:
        if self._world.happens("settle_fails"):
            return False
        kept = {name: one["stringValue"] for name, one in record["messageAttributes"].items()}
        self._queues.put(record["body"], kept)
        return True

    async def _call(self, name: str, sent: Sent, effect: Callable[[], object]) -> None:
        await self._there(name)
        if self._world.happens("settle_fails"):
            if name == "DeleteMessage":
                self._world.truth.unsure.update(sent.items)
            raise QueueUnavailable("SQS did not do it")
        effect()
        await self._back()
        if self._world.happens("settle_loses_answers"):
            self._world.truth.unsure.update(sent.items)  # it may now be in two queues
            raise QueueUnavailable("its answer was lost")

    async def _there(self, name: str) -> None:
        await asyncio.sleep(self._world.latency_s(SQS_MS) / 2)
        self._life.step(f"{name}, before")

    async def _back(self) -> None:
        await asyncio.sleep(self._world.latency_s(SQS_MS) / 2)
        self._life.step("SQS, after")
