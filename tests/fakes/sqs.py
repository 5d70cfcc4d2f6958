# ruff: noqa: N803 - boto3's names
"""SQS in memory, as a boto3 client shows it: on a clock of the test's, and dead whenever the test wants it to be."""

import itertools
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.clock import Clock


class Killed(BaseException):
    """The process is gone: nothing more is called, not even at its end."""


@dataclass
class _Message:
    id: str
    body: str
    attributes: dict[str, Any]
    system: dict[str, str]
    number: int
    visible_s: float = 0.0
    handle: str = ""


@dataclass
class MemorySqs:
    """Queues by their URL. Standard ones hand out in any order, FIFO ones by group."""

    clock: Clock
    seed: int = 1
    call_s: float = 0.0
    """What a call takes."""
    dies: Callable[[int], str] = lambda _: ""
    """Of the nth call: whether the process dies `before` or `after` it."""
    log: Callable[[str, str], None] = lambda *_: None
    """Told of each message that a queue takes: queue and body."""
    calls: int = 0
    _queues: dict[str, dict[str, _Message]] = field(default_factory=dict)
    _taken: dict[tuple[str, str], float] = field(default_factory=dict)
    _is_dead: bool = False

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    def revive(self) -> None:
        """The next process."""
        self._is_dead, self.dies = False, lambda _: ""

    def bodies(self, url: str) -> list[str]:
        return [one.body for one in sorted(self._queues.get(url, {}).values(), key=lambda one: one.number)]

    def hidden(self, url: str) -> int:
        return sum(one.visible_s > self.clock() for one in self._queues.get(url, {}).values())

    def put(self, url: str, body: str, *, group: str | None = None, **attributes: str) -> str:
        """Put a message into a queue, past all rules; gives its id."""
        given = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        return self._put(url, {"MessageBody": body, "MessageAttributes": given, "MessageGroupId": group})

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return self._call(lambda: {"Successful": [self._sent(QueueUrl, entry) for entry in Entries], "Failed": []})

    def receive_message(
        self,
        *,
        QueueUrl: str,
        MaxNumberOfMessages: int,
        VisibilityTimeout: int,
        **_: Any,
    ) -> dict[str, Any]:
        return self._call(lambda: {"Messages": self._received(QueueUrl, MaxNumberOfMessages, VisibilityTimeout)})

    def change_message_visibility_batch(
        self,
        *,
        QueueUrl: str,
        Entries: Sequence[dict[str, Any]],
    ) -> dict[str, Any]:
        return self._call(lambda: self._each(QueueUrl, Entries, self._shown))

    def delete_message_batch(self, *, QueueUrl: str, Entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return self._call(lambda: self._each(QueueUrl, Entries, self._deleted))

    def get_queue_attributes(self, *, QueueUrl: str, AttributeNames: Sequence[str]) -> dict[str, Any]:
        def counted() -> dict[str, Any]:
            hidden = self.hidden(QueueUrl)
            visible = len(self._queues.get(QueueUrl, {})) - hidden
            counts = {"": visible, "NotVisible": hidden, "Delayed": 0}
            return {"Attributes": {f"ApproximateNumberOfMessages{of}": str(count) for of, count in counts.items()}}

        return self._call(counted)

    def _call(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        with self._lock:
            self.calls += 1
            when = "before" if self._is_dead else self.dies(self.calls)
            if when == "before":
                self._is_dead = True
                raise Killed
            self.clock.sleep(self.call_s)
            answer = work()
            if when == "after":
                self._is_dead = True
                raise Killed
            return answer

    def _sent(self, url: str, entry: dict[str, Any]) -> dict[str, Any]:
        once = entry.get("MessageDeduplicationId")
        if url.endswith(".fifo"):
            assert once
            if self._taken.get((url, once), float("-inf")) > self.clock() - 300:
                return {"Id": entry["Id"]}
            self._taken[url, once] = self.clock()
        assert len(entry["MessageAttributes"]) <= 10
        self._put(url, entry)
        return {"Id": entry["Id"]}

    def _put(self, url: str, entry: dict[str, Any]) -> str:
        number = next(self._numbers)
        system = {"SentTimestamp": str(self.clock.now_ms())}
        if entry.get("MessageGroupId"):
            system["MessageGroupId"] = entry["MessageGroupId"]
        message = _Message(f"m{number:08d}", entry["MessageBody"], entry.get("MessageAttributes", {}), system, number)
        self._queues.setdefault(url, {})[message.id] = message
        self.log(url, message.body)
        return message.id

    def _received(self, url: str, most: int, visibility_s: int) -> list[dict[str, Any]]:
        found = []
        blocked = set[str]()
        fifo = url.endswith(".fifo")
        for one in self._queues.get(url, {}).values():
            group = one.system.get("MessageGroupId", "")
            if one.visible_s > self.clock():
                blocked.add(group)
            elif not (fifo and group in blocked):
                found.append(one)
            if len(found) >= (most if fifo else 10 * most):
                break
        if not fifo:
            self._rng.shuffle(found)
        for one in found[:most]:
            one.visible_s = self.clock() + visibility_s
            one.handle = f"{one.id}/{next(self._numbers)}"
            if not fifo:  # what is hidden is looked at last
                self._queues[url][one.id] = self._queues[url].pop(one.id)
        return [
            {
                "MessageId": one.id,
                "ReceiptHandle": one.handle,
                "Body": one.body,
                "Attributes": one.system,
                "MessageAttributes": one.attributes,
            }
            for one in found[:most]
        ]

    def _each(
        self, url: str, entries: Sequence[dict[str, Any]], work: Callable[[str, str], bool]
    ) -> dict[str, list[dict[str, Any]]]:
        done = {entry["Id"]: work(url, entry["ReceiptHandle"]) for entry in entries}
        return {
            "Successful": [{"Id": name} for name, is_done in done.items() if is_done],
            "Failed": [{"Id": name} for name, is_done in done.items() if not is_done],
        }

    def _shown(self, url: str, handle: str) -> bool:
        one = self._queues.get(url, {}).get(handle.partition("/")[0])
        if one is None or one.handle != handle:
            return False
        one.visible_s = 0.0
        return True

    def _deleted(self, url: str, handle: str) -> bool:
        one = self._queues.get(url, {}).get(handle.partition("/")[0])
        if one is not None and one.handle == handle:
            del self._queues[url][one.id]
        return True
