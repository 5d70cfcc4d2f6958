"""How long a message is hidden after a failed call, and what its dead letter counts."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners import Delivery, Result
from testkit.records import record
from worker_fn.batch.disposition import FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S, back_off_s
from worker_fn.clients.http import Answer

FINE = ["200"] * 19


def longest_s(failures: int) -> float:
    """The most that a message is hidden after so many failures in a row."""
    return FIRST_BACK_OFF_S * 2 ** (failures - 1) + 1


@pytest.mark.parametrize("partner", ["echo", "unordered", "merging"])
@pytest.mark.parametrize("place", [0, 10, 19])
def test_one_failure_hides_a_large_request_as_long_as_a_small_one(make_fleet: Any, partner: str, place: int) -> None:
    """However many of its deliveries arrived: the back-off is that of a first failure."""
    failing = "retry" if partner == "merging" else "503"
    for seed in range(20):
        fleet = make_fleet(partner)
        fleet.worker.rng.seed(seed)
        fleet.run(record(1, [*FINE[:place], failing, *FINE[place:]]))
        assert fleet.queue.hidden["h-1"] <= longest_s(1)


def test_back_off_grows_with_the_failures_in_a_row(make_fleet: Any) -> None:
    """What fails again and again is tried more and more rarely, over all receives."""
    means = []
    for failures in (1, 3, 6):
        waits = []
        for seed in range(40):
            fleet = make_fleet()
            fleet.worker.rng.seed(seed)
            for receive in range(failures):
                fleet.run(record(1, ["200", "503"], receives=receive + 1))
                fleet.clock.now_s += fleet.queue.hidden["h-1"]
            waits.append(fleet.queue.hidden["h-1"])
        assert max(waits) <= longest_s(failures)
        means.append(sum(waits) / len(waits))
    assert means[0] < means[1] < means[2]


def test_who_fails_next_begins_anew(make_fleet: Any) -> None:
    """A delivery that arrives after many failures takes them with it: the one behind it fails for the first time."""
    names = ["503|503|503|503|503|503|503|200", "503"]
    for seed in range(20):
        fleet = make_fleet()
        fleet.worker.rng.seed(seed)
        for receive in range(8):
            fleet.run(record(1, names, receives=receive + 1))
            fleet.clock.now_s += fleet.queue.hidden["h-1"]
        assert fleet.api.ids[-2:] == ["1.0", "1.1"]
        assert fleet.queue.hidden["h-1"] <= longest_s(1)


def test_push_backs_are_no_failures(make_fleet: Any) -> None:
    """A 429 without a time leaves the back-off where it was: the rate is another matter."""
    for seed in range(20):
        fleet = make_fleet()
        fleet.worker.rng.seed(seed)
        for receive in range(6):
            fleet.run(record(1, ["429"], receives=receive + 1))
            fleet.clock.now_s += 60
        assert fleet.queue.hidden["h-1"] <= longest_s(1)


@pytest.mark.parametrize(
    ("partner", "receives", "attempts"),
    [
        ("echo", [["400"]], "1"),
        ("echo", [["200", "200", "400"]], "3"),
        ("echo", [["200", "503", "400"], ["200", "503|200", "400"]], "4"),
        ("echo", [["429"], ["429|400"]], "1"),
        ("echo", [["timeout"], ["timeout|400"]], "2"),
        ("merging", [["200", "200", "rejected"]], "1"),
        ("merging", [["200", "200", "200", "rejected"]], "2"),
    ],
)
def test_attempts_of_a_dead_letter_are_its_calls(
    make_fleet: Any, partner: str, receives: list[list[str]], attempts: str
) -> None:
    """Each call that something of the message was in counts once, answered or not; a 429 does not."""
    fleet = make_fleet(partner)
    for number, names in enumerate(receives):
        fleet.run(record(1, names, receives=number + 1))
        fleet.clock.now_s += 1_000
    [(_, letter)] = fleet.queue.dead
    assert letter["attempts"] == attempts


@given(
    receives=st.integers(1, 1_000),
    asked=st.none() | st.floats(0, 10_000),
    seed=st.integers(0, 2**32),
)
def test_back_off_is_bounded_and_obeys_the_partner(receives: int, asked: float | None, seed: int) -> None:
    """A back-off is never shorter than asked for, and jitter adds at most the bound of that receive."""
    wait = back_off_s(receives, retry_after_s=asked, rng=random.Random(seed))
    bound = min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2 ** (receives - 1))
    assert max(1, (asked or 0) - 0.5) <= wait <= (asked or 0) + bound + 1


def test_back_off_grows_and_is_spread() -> None:
    """Later receives wait longer on average, and messages do not come back together."""
    rng = random.Random(7)
    means = [sum(back_off_s(n, retry_after_s=None, rng=rng) for _ in range(500)) / 500 for n in (1, 3, 6)]
    assert means[0] < means[1] < means[2]
    assert len({back_off_s(6, retry_after_s=None, rng=rng) for _ in range(50)}) > 20


def test_call_that_failed_for_a_neighbour_is_a_call(make_fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that is sent once more without its neighbour was in two calls; the first is no failure of its own."""

    def blamed(deliveries: Sequence[Delivery], status: int, body: bytes) -> list[Result] | None:
        poisoned = [b"poison" in one.body for one in deliveries]
        return [Result.REJECTED if one else Result.AGAIN for one in poisoned] if any(poisoned) else None

    fleet = make_fleet("merging")
    monkeypatch.setattr(fleet.worker.partner, "read_response", blamed)
    monkeypatch.setattr(fleet.api, "_bulk", lambda _: Answer(400, body=b"one of them"))
    fleet.run(record(1, ["400"]), record(2, ["poison"]))
    assert [letter["attempts"] for _, letter in fleet.queue.dead] == ["2", "1"]
    fleet.run(record(3, ["503"]), record(4, ["poison"]))
    assert fleet.queue.hidden["h-3"] <= longest_s(1)
