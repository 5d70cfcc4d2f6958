"""What the facts of the last minutes come to."""

from ops.operate.facts import Told
from ops.operate.status import lately_of
from shared.telemetry import Fact


def test_the_facts_of_some_minutes_are_summed_up() -> None:
    """Rates, reasons, causes, accounts that fail, and the oldest that still waits, since it was accepted."""

    def wait(at_ms: int, request_id: str, why: str = "HTTP 500") -> Told:
        return Told(at_ms, "worker", Fact.WAIT, {"request_id": request_id, "account_id": "7", "why": why})

    told = [
        Told(1, "ingest", Fact.ACCEPTED, {"request_id": "a"}),
        Told(2, "ingest", Fact.ACCEPTED, {"request_id": "b", "parts": 2}),
        *(wait(10 + n, name) for n, name in enumerate("abcd")),
        wait(20, "e", "breaker"),
        Told(30, "worker", Fact.DELIVERED, {"messages": ["a m 1"]}),
        Told(31, "worker", Fact.DEAD_LETTER, {"request_id": "c", "reason": "rejected"}),
    ]
    found = lately_of(told, minutes=5)
    assert (found.accepted, found.delivered, found.dead, found.failing) == (3, 1, {"rejected": 1}, {"7": 4})
    assert found.waits == {"HTTP 500": 4, "breaker": 1}
    assert found.oldest_ms == 2


def test_the_oldest_is_as_old_as_its_request() -> None:
    """A message tells its age at each wait, however long ago it was accepted; a part that arrived hides no other."""

    def wait(part: str, age_s: int) -> Told:
        return Told(9_000_000, "worker", Fact.WAIT, {"request_id": "a", "part": part, "why": "breaker", "age_s": age_s})

    arrived = Told(9_000_001, "worker", Fact.DELIVERED, {"messages": ["a 1/2 m 1"]})
    assert lately_of([wait("1/2", 7_200), wait("2/2", 7_200), arrived], minutes=5).oldest_ms == 1_800_000
    both = Told(9_000_002, "worker", Fact.DELIVERED, {"messages": ["a 2/2 m 1"]})
    assert lately_of([wait("1/2", 7_200), wait("2/2", 7_200), arrived, both], minutes=5).oldest_ms is None
