import itertools

import pytest

from ops.operate.dlq.letters import Letter
from ops.operate.dlq.look import HIDDEN_S, look
from ops.operate.dlq.queues import LetterQueue
from tests.fakes.clock import Clock
from tests.fakes.sqs import Killed, MemorySqs

DEAD = "dlq"


def seen(sqs: MemorySqs, clock: Clock, url: str = DEAD, **bounds: float) -> tuple[list[str], object]:
    found: list[str] = []
    looked = look(LetterQueue(sqs, url), lambda one: found.append(one.body), clock=clock, **bounds)  # type: ignore[arg-type]
    return found, looked


@pytest.mark.parametrize("count", [0, 1, 10, 257])
def test_a_look_shows_each_letter_once_and_takes_none(sqs: MemorySqs, clock: Clock, count: int) -> None:
    """Afterwards all of them are there, and in sight."""
    for number in range(count):
        sqs.put(DEAD, f"b{number}")
    found, looked = seen(sqs, clock)
    assert sorted(found) == sorted(f"b{number}" for number in range(count))
    assert (len(sqs.bodies(DEAD)), sqs.hidden(DEAD)) == (count, 0)
    assert looked.said(is_fifo=False) == []  # type: ignore[attr-defined]


def test_a_look_is_bounded_in_time_and_says_so(clock: Clock) -> None:
    """What was seen by then is given back."""
    sqs = MemorySqs(clock, call_s=1.0)
    for number in range(500):
        sqs.put(DEAD, f"b{number}")
    found, looked = seen(sqs, clock, within_s=10)
    assert 0 < len(found) < 500
    assert sqs.hidden(DEAD) == 0
    (line,) = looked.said(is_fifo=False)  # type: ignore[attr-defined]
    assert line == f"Looked at {len(found):,} of about 500 letters: 10 s were over."


def test_a_look_is_bounded_in_letters_and_says_so(sqs: MemorySqs, clock: Clock) -> None:
    for number in range(60):
        sqs.put(DEAD, f"b{number}")
    found, looked = seen(sqs, clock, most=45)
    assert (len(found), sqs.hidden(DEAD)) == (45, 0)
    assert "asked for 45" in looked.said(is_fifo=False)[0]  # type: ignore[attr-defined]


def test_a_look_that_saw_enough_gives_all_back(sqs: MemorySqs, clock: Clock) -> None:
    for number in range(60):
        sqs.put(DEAD, f"b{number}")
    found: list[Letter] = []

    def each(letter: Letter) -> bool:
        found.append(letter)
        return len(found) == 5

    look(LetterQueue(sqs, DEAD), each, clock=clock)
    assert (len(found), sqs.hidden(DEAD)) == (5, 0)


def test_what_raises_while_it_looks_gives_all_back(sqs: MemorySqs, clock: Clock) -> None:
    for number in range(60):
        sqs.put(DEAD, f"b{number}")

    def each(_: Letter) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look(LetterQueue(sqs, DEAD), each, clock=clock)
    assert sqs.hidden(DEAD) == 0


def test_a_killed_look_loses_nothing_and_the_next_one_says_where_it_is(sqs: MemorySqs, clock: Clock) -> None:
    """What it held is back by itself."""
    for number in range(100):
        sqs.put(DEAD, f"b{number}")
    sqs.dies = lambda call: "after" if call == 4 else ""
    with pytest.raises(Killed):
        seen(sqs, clock)
    sqs.revive()
    hidden = sqs.hidden(DEAD)
    assert hidden > 0
    found, looked = seen(sqs, clock)
    assert len(found) == 100 - hidden
    assert looked.said(is_fifo=False)[-1].startswith(f"About {hidden} letters were out of sight")  # type: ignore[attr-defined]
    clock.sleep(HIDDEN_S + 1)
    assert len(seen(sqs, clock)[0]) == 100


def test_a_fifo_queue_shows_what_it_can_and_says_so(clock: Clock) -> None:
    """Behind ten letters of a user that somebody holds SQS hands out no more of that user."""
    sqs, url = MemorySqs(clock), "dlq.fifo"
    for number, group in itertools.product(range(15), ("a", "b")):
        sqs.put(url, f"{group}{number}", group=group)
    found, looked = seen(sqs, clock, url)
    assert len(found) < 30
    assert "a FIFO queue shows" in looked.said(is_fifo=True)[0]  # type: ignore[attr-defined]
    assert sqs.hidden(url) == 0
