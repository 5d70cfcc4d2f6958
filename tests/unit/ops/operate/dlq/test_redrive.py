import random
import tracemalloc
from collections import Counter
from collections.abc import Callable

import pytest

from ops.operate.dlq.filters import Filter
from ops.operate.dlq.letters import Letter
from ops.operate.dlq.look import HIDDEN_S, look
from ops.operate.dlq.notebook import Notebook
from ops.operate.dlq.pace import Pacer
from ops.operate.dlq.queues import LetterQueue
from ops.operate.dlq.redrive import Moved, Redrive, history_after, redriven
from tests.fakes.clock import Clock
from tests.fakes.sqs import Killed, MemorySqs

DEAD, MAIN = "dlq", "main"


def plan(sqs: MemorySqs, clock: Clock, meant: Callable[[Letter], bool], dead: str = DEAD) -> tuple[Notebook, int]:
    """What a plan notes of the letters that are meant."""
    notebook, count = Notebook(), 0

    def each(letter: Letter) -> None:
        nonlocal count
        if meant(letter):
            notebook.plan(letter.id, "sent")
            count += 1

    look(LetterQueue(sqs, dead), each, clock=clock)
    return notebook, count


def run(
    sqs: MemorySqs,
    clock: Clock,
    *,
    per_s: float = 1_000.0,
    meant: Callable[[Letter], bool] = lambda _: True,
    dead: str = DEAD,
    main: str = MAIN,
    most: int | None = None,
    is_stopping: Callable[[], bool] = lambda: False,
    is_busy: Callable[[], bool] = lambda: False,
) -> Moved:
    notebook, count = plan(sqs, clock, meant, dead)
    try:
        return Redrive(
            LetterQueue(sqs, dead),
            LetterQueue(sqs, main),
            notebook,
            Pacer(per_s, clock=clock, sleep=clock.sleep),
            clock.now_ms,
            is_meant=meant,
            is_stopping=is_stopping,
            is_busy=is_busy,
        ).run(count, most=count if most is None else most)
    finally:
        notebook.close()


def fill(sqs: MemorySqs, count: int, dead: str = DEAD) -> set[str]:
    bodies = {f"b{number}" for number in range(count)}
    for body in sorted(bodies):
        sqs.put(dead, body, reason="rejected" if int(body[1:]) % 2 else "unmappable", account_id="7")
    return bodies


def is_rejected(letter: Letter) -> bool:
    return letter.reason == "rejected"


def test_what_is_meant_moves_and_the_rest_stays_in_sight(sqs: MemorySqs, clock: Clock) -> None:
    """Each letter is in exactly one of both queues."""
    bodies = fill(sqs, 137)
    moved = run(sqs, clock, meant=is_rejected)
    assert moved.left == 0
    assert len(sqs.bodies(MAIN)) == moved.sent > 0
    assert sorted([*sqs.bodies(MAIN), *sqs.bodies(DEAD)]) == sorted(bodies)
    assert sqs.hidden(DEAD) == 0


def test_no_more_are_sent_than_asked_for(sqs: MemorySqs, clock: Clock) -> None:
    fill(sqs, 50)
    assert run(sqs, clock, most=7).sent == 7
    assert (len(sqs.bodies(MAIN)), len(sqs.bodies(DEAD)), sqs.hidden(DEAD)) == (7, 43, 0)


def test_a_letter_that_came_after_the_plan_is_left(sqs: MemorySqs, clock: Clock) -> None:
    """Another incident's letters are none of this redrive's."""
    fill(sqs, 5)
    notebook, count = plan(sqs, clock, lambda _: True)
    sqs.put(DEAD, "later", reason="rejected")
    hands = LetterQueue(sqs, DEAD), LetterQueue(sqs, MAIN)
    Redrive(*hands, notebook, Pacer(9, clock=clock, sleep=clock.sleep), clock.now_ms).run(count, most=count)
    assert sqs.bodies(DEAD) == ["later"]


def through_kills(
    sqs: MemorySqs, clock: Clock, rng: random.Random, *, per_s: float, meant: Callable[[Letter], bool], calls: int
) -> int:
    """Give the same command until nothing is left, killed before or after a call among so many; gives how often."""
    kills = 0
    while True:
        dies_at = sqs.calls + rng.randint(2, calls)
        sqs.dies = lambda call, at=dies_at: rng.choice(("before", "after")) if call == at else ""  # type: ignore[misc]
        try:
            moved = run(sqs, clock, per_s=per_s, meant=meant)
        except Killed:
            kills += 1
        else:
            if not moved.left and not sqs.hidden(DEAD):
                return kills
        sqs.revive()
        clock.sleep(HIDDEN_S + 1 if rng.random() < 0.7 else 1)
        assert kills < 200


@pytest.mark.parametrize("seed", range(25))
def test_killed_at_any_call_and_started_again_none_is_lost(seed: int) -> None:
    """Some are sent twice, one stride at most for each kill; with its calls done or not."""
    clock, rng = Clock(), random.Random(seed)
    sqs = MemorySqs(clock, seed=seed)
    bodies = fill(sqs, 400)
    meant = {one for one in bodies if int(one[1:]) % 2}
    kills = through_kills(sqs, clock, rng, per_s=120.0, meant=is_rejected, calls=150)
    sent = Counter(sqs.bodies(MAIN))
    clock.sleep(HIDDEN_S + 1)
    assert set(sent) == meant
    assert sorted(sqs.bodies(DEAD)) == sorted(bodies - meant)
    assert sent.total() - len(sent) <= 30 * kills
    assert kills


def test_twenty_thousand_with_a_filter_killed_and_started_again() -> None:
    """None is lost, what does not match stays, and a kill doubles a stride at most."""
    clock, rng = Clock(), random.Random(7)
    sqs = MemorySqs(clock, call_s=0.002)
    bodies = fill(sqs, 20_000)
    chosen = Filter(reasons={"rejected"}, accounts={"7"}, since_ms=clock.now_ms() - 1_000)
    kills = through_kills(sqs, clock, rng, per_s=500.0, meant=chosen.matches, calls=8_000)
    sent = Counter(sqs.bodies(MAIN))
    clock.sleep(HIDDEN_S + 1)
    assert set(sent) == {one for one in bodies if int(one[1:]) % 2}
    assert sorted(sqs.bodies(DEAD)) == sorted(bodies - set(sent))
    assert kills >= 3
    assert sent.total() - len(sent) <= 100 * kills


def test_ctrl_c_ends_between_strides_and_doubles_nothing(sqs: MemorySqs, clock: Clock) -> None:
    """The same command goes on."""
    bodies, asked = fill(sqs, 200), iter([*[False] * 4, *[True] * 9])
    moved = run(sqs, clock, per_s=20, is_stopping=lambda: next(asked))
    assert moved.is_stopped
    assert 0 < moved.sent < 200
    assert sqs.hidden(DEAD) == 0
    assert run(sqs, clock).left == 0
    assert sorted(sqs.bodies(MAIN)) == sorted(bodies)


def test_twenty_thousand_letters_in_flat_memory_at_the_rate(clock: Clock) -> None:
    """Ten times the letters take no more memory, and the rate is held within a tenth."""
    peaks = []
    for count in (2_000, 20_000):
        sqs = MemorySqs(clock, call_s=0.002)
        fill(sqs, count)
        clock.sleep(1_000)
        notebook, planned = plan(sqs, clock, lambda _: True)
        began_s = clock()
        hands = LetterQueue(sqs, DEAD), LetterQueue(sqs, MAIN)
        tracemalloc.start()
        moved = Redrive(*hands, notebook, Pacer(200, clock=clock, sleep=clock.sleep), clock.now_ms).run(
            planned, most=planned
        )
        after, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        peaks.append(peak - after)
        assert (moved.sent, sqs.bodies(DEAD)) == (count, [])
        assert moved.sent / (clock() - began_s) == pytest.approx(200, rel=0.1)
    assert peaks[1] < 2 * peaks[0] + 1_000_000


def test_the_hands_are_as_many_as_the_rate_needs(sqs: MemorySqs, clock: Clock) -> None:
    def hands(per_s: float, dead: str = DEAD) -> int:
        queues = LetterQueue(sqs, dead), LetterQueue(sqs, MAIN)
        return Redrive(*queues, Notebook(), Pacer(per_s, clock=clock), clock.now_ms).hands

    assert [hands(rate) for rate in (0.1, 50, 51, 500, 9_000)] == [1, 1, 2, 10, 16]
    assert hands(500, "dlq.fifo") == 1


def test_live_traffic_goes_first(sqs: MemorySqs, clock: Clock) -> None:
    """While it waits, nothing is sent; and nothing of that time is made up for."""
    fill(sqs, 100)
    until_s = clock() + 60
    times: list[float] = []
    sqs.log = lambda url, _: times.append(clock()) if url == MAIN else None
    moved = run(sqs, clock, per_s=10, is_busy=lambda: clock() < until_s)
    assert (moved.left, moved.held_back_s) == (0, 60)
    assert min(times) >= until_s
    assert max(times) - min(times) >= 8


def test_traffic_that_leaves_nothing_for_ten_minutes_ends_it(sqs: MemorySqs, clock: Clock) -> None:
    """The intake may be stopped: all letters are where they were, and it says so."""
    fill(sqs, 100)
    began_s = clock()
    moved = run(sqs, clock, per_s=10, is_busy=lambda: True)
    assert (moved.gave_way, moved.sent, sqs.hidden(DEAD), len(sqs.bodies(DEAD))) == (True, 0, 0, 100)
    assert clock() - began_s == pytest.approx(600, abs=10)


# --- order ----------------------------------------------------------------------------------------------------------


def fifo(sqs: MemorySqs, groups: str, each: int) -> None:
    for number in range(each):
        for group in groups:
            sqs.put("dlq.fifo", f"{group}{number:03d}", group=group, reason="rejected")


def in_order(bodies: list[str]) -> bool:
    return all(
        [one for one in bodies if one[0] == group] == sorted(one for one in bodies if one[0] == group)
        for group in {one[0] for one in bodies}
    )


def test_order_is_kept_on_fifo_behind_ten_of_a_user_too(sqs: MemorySqs, clock: Clock) -> None:
    """All move, though a plan sees the first ten of each user at most."""
    fifo(sqs, "abc", 40)
    run(sqs, clock, dead="dlq.fifo", main="main.fifo", most=10_000)
    found = sqs.bodies("main.fifo")
    assert (len(found), sqs.bodies("dlq.fifo")) == (120, [])
    assert in_order(found)


@pytest.mark.parametrize("seed", range(10))
def test_order_is_kept_on_fifo_through_kills(seed: int) -> None:
    """A letter that was sent and not deleted is dropped by SQS within five minutes, and doubled in its place later."""
    clock, rng, kills = Clock(), random.Random(seed), 0
    sqs = MemorySqs(clock, seed=seed)
    fifo(sqs, "abc", 20)
    while sqs.bodies("dlq.fifo"):
        dies_at = sqs.calls + rng.randint(2, 60)
        sqs.dies = lambda call, at=dies_at: rng.choice(("before", "after")) if call == at else ""  # type: ignore[misc]
        try:
            run(sqs, clock, dead="dlq.fifo", main="main.fifo", most=10_000)
        except Killed:
            kills += 1
        sqs.revive()
        clock.sleep(HIDDEN_S + 1)
        assert kills < 100
    found = sqs.bodies("main.fifo")
    assert len(set(found)) == 60
    assert len(found) - 60 <= kills
    assert in_order(found)


def test_a_letter_that_died_again_within_five_minutes_is_sent_again(sqs: MemorySqs, clock: Clock) -> None:
    """SQS's deduplication swallows copies of one letter, and no other letter with the same body."""
    for times in (1, 2):
        sqs.put("dlq.fifo", "b", group="a", reason="rejected")
        run(sqs, clock, dead="dlq.fifo", main="main.fifo")
        assert sqs.bodies("main.fifo") == ["b"] * times
        assert sqs.bodies("dlq.fifo") == []


# --- what a redriven letter says ------------------------------------------------------------------------------------


def test_a_redriven_letter_says_when_and_how_often_and_what_it_was(sqs: MemorySqs, clock: Clock) -> None:
    """Beside all that it said before; of attributes no more than SQS takes."""
    texts = ("reason", "error", "status", "partner", "account_id", "type", "first_received_ms", "attempts")
    sqs.put(DEAD, "b", **{**dict.fromkeys(texts, "1"), "reason": "rejected", "status": "422", "foreign": "x"})
    run(sqs, clock)
    (found,) = LetterQueue(sqs, MAIN).receive(10)
    assert found.said("history") == "1 rejected:422"
    assert abs(int(found.said("redriven_ms")) - clock.now_ms()) < 10_000
    assert found.said("reason") == "rejected"
    assert len(found.attributes) == 10
    assert "foreign" not in found.attributes


@pytest.mark.parametrize(
    ("history", "after"),
    [
        ("", "1 unmappable"),
        ("1 rejected:422", "2 rejected:422 unmappable"),
        ("12 " + " ".join(["rejected"] * 8), "13 " + " ".join(["rejected"] * 7) + " unmappable"),
        ("jane@example.com", "1 unmappable"),
        ("9" * 400, "1 unmappable"),
    ],
)
def test_the_history_grows_and_has_an_end(history: str, after: str) -> None:
    """It counts on, keeps the last eight, and begins anew behind what we did not write."""
    texts = {"reason": "unmappable", "history": history}
    letter = Letter("i", "b", {name: {"DataType": "String", "StringValue": one} for name, one in texts.items()})
    assert history_after(letter) == after
    assert redriven(letter, 5).said("redriven_ms") == "5"
    assert len(after) <= 256


@pytest.mark.parametrize("size", [1_048_576, 1_048_576 - 60, 1_048_576 - 300])
def test_a_body_that_fills_a_message_goes_with_what_has_room(sqs: MemorySqs, clock: Clock, size: int) -> None:
    """When it was redriven is worth most."""
    sqs.put(DEAD, "x" * size, reason="rejected", error="e" * 200)
    run(sqs, clock)
    (found,) = LetterQueue(sqs, MAIN).receive(10)
    used = len(found.body) + sum(
        len(name) + len("String") + len(one["StringValue"]) for name, one in found.attributes.items()
    )
    assert used <= 1_048_576
    assert ("redriven_ms" in found.attributes) == (size < 1_048_576)
