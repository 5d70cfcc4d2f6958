"""The queue in memory, as one worker meets SQS."""

import asyncio
from typing import Any

import pytest

from shared.errors import QueueUnavailable
from testkit.clock import now_s, run
from testkit.queue import VISIBILITY_S, End, MemoryQueue
from testkit.records import raw_record


def received(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["messageId"], one["attributes"]["ApproximateReceiveCount"]) for one in records]


def test_what_waits_comes_back_at_its_time() -> None:
    """Received once more; what was neither hidden nor deleted stays away for the visibility timeout."""
    queue = MemoryQueue()

    async def story() -> list[tuple[float, list[tuple[str, str]]]]:
        queue.put([raw_record(number, "body") for number in range(3)])
        seen = []
        while records := await queue.receive(until_s=10_000):
            seen.append((now_s(), received(records)))
            if now_s() == 0:
                await queue.hide({"h-0": 90})
                queue.leave(records, ["m-0", "m-1"])
                assert queue.ends == {"m-0": End("waiting", wait_s=90), "m-1": END_OF_VISIBILITY, "m-2": DELIVERED}
            else:
                queue.leave(records, [])
        return seen

    first = [("m-0", "1"), ("m-1", "1"), ("m-2", "1")]
    assert run(story()) == [(0, first), (90, [("m-0", "2")]), (VISIBILITY_S, [("m-1", "2")])]
    assert set(queue.ends.values()) == {DELIVERED}


DELIVERED = End("delivered")
END_OF_VISIBILITY = End("waiting", wait_s=VISIBILITY_S)


def test_what_waits_may_come_back_together() -> None:
    """When all of it is back; nothing comes after the end that was given."""
    queue = MemoryQueue()

    async def story() -> list[tuple[str, str]]:
        records = [raw_record(number, "body") for number in range(2)]
        await queue.hide({"h-0": 30, "h-1": 60})
        queue.leave(records, ["m-0", "m-1"])
        assert await queue.receive(until_s=20) == []
        assert await queue.receive(until_s=59, together=True) == []
        return received(await queue.receive(until_s=60, together=True))

    assert run(story()) == [("m-0", "2"), ("m-1", "2")]


def test_dead_letters_and_parked_messages_are_told_apart() -> None:
    """With a dead letter's body and attributes."""
    queue = MemoryQueue()
    first, second = raw_record(1, "one"), raw_record(2, "two")

    async def story() -> None:
        await queue.dead_letter(first, {"reason": "rejected", "error": "400"})
        await queue.park(second)
        queue.leave([first, second], [])

    run(story())
    assert queue.dead == [("one", {"reason": "rejected", "error": "400"})]
    assert queue.ends == {"m-1": End("dead-lettered", reason="rejected", error="400"), "m-2": End("parked")}


def test_a_broken_queue_does_nothing() -> None:
    """Every call fails, hiding by the handles that it was for."""
    queue = MemoryQueue(broken=True)
    assert asyncio.run(queue.hide({"h-1": 5})) == {"h-1"}
    for call in (queue.park(raw_record(1, "x")), queue.dead_letter(raw_record(1, "x"), {"reason": "rejected"})):
        with pytest.raises(QueueUnavailable):
            asyncio.run(call)
    assert (queue.hidden, queue.dead, queue.parked) == ({}, [], [])
