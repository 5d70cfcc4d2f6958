"""How a message ends, by the outcomes of its deliveries, and how long it waits before it comes back."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners import Delivery, Result
from testkit.records import record
from worker_fn.batch.disposition import (
    DAY_S,
    FIRST_BACK_OFF_S,
    LONGEST_BACK_OFF_S,
    Budgets,
    DeadLetter,
    Delivered,
    Reason,
    Story,
    Waiting,
    Whose,
    back_off_s,
    end_of,
    least_wait_s,
)
from worker_fn.clients.http import Answer
from worker_fn.dispatch.classify import Outcome, Verdict
from worker_fn.limits.ruling import Because

NOW = 1_700_000_000_000
OK = Outcome(Verdict.DELIVERED, 200)
BUSY = Outcome(Verdict.RETRY, 503, "HTTP 503")


def story(*, age_s: float = 0.0, kind: str = "event_processing_request", attempts: int = 1) -> Story:
    return Story(
        kind=kind,
        received_at_ms=NOW - int(age_s * 1_000),
        now_ms=NOW,
        attempts=attempts,
        total=3,
    )


def end(*outcomes: Outcome | None, **known: object) -> object:
    return end_of(outcomes, story(**known), Budgets(), random.Random(1))  # type: ignore[arg-type]


def held(because: Because, wait_s: float) -> Outcome:
    return Outcome(Verdict.RETRY, because=because, wait_until_ms=NOW + int(wait_s * 1_000))


def test_all_arrived_is_delivered() -> None:
    """Nothing is left to do; a request without deliveries is done at once."""
    assert end(OK, OK) == Delivered()
    assert end() == Delivered()


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (Verdict.REJECTED, Reason.REJECTED),
        (Verdict.UNAUTHORIZED, Reason.UNAUTHORIZED),
        (Verdict.UNSENDABLE, Reason.UNMAPPABLE),
        (Verdict.UNREADABLE, Reason.UNMAPPABLE),
    ],
)
def test_refusals_have_reasons(verdict: Verdict, reason: Reason) -> None:
    """Each way of being refused has one documented reason."""
    letter = end(OK, Outcome(verdict, 400, "HTTP 400"))
    assert isinstance(letter, DeadLetter)
    assert letter.reason is reason


PUSHED_BACK = Outcome(Verdict.RETRY, 429, "HTTP 429")


@pytest.mark.parametrize(
    ("outcomes", "why", "of", "endpoint"),
    [
        ([OK, BUSY, None], "HTTP 503", Whose.ACCOUNT_FAILURE, None),
        ([held(Because.TIME, 1), BUSY], "HTTP 503", Whose.ACCOUNT_FAILURE, None),
        ([BUSY, PUSHED_BACK], "HTTP 503", Whose.FLEET, None),
        ([replace(held(Because.RATE, 5), is_of_account=True, endpoint="bulk")], "rate", Whose.ACCOUNT_RATE, "bulk"),
        ([replace(held(Because.RATE, 5), is_of_account=True), PUSHED_BACK], "HTTP 429", Whose.FLEET, None),
        ([held(Because.BREAKER, 5)], "breaker", Whose.FLEET, None),
        ([None], "time", Whose.FLEET, None),
    ],
)
def test_who_or_what_it_waits_for(
    outcomes: Sequence[Outcome | None], why: str, of: Whose, endpoint: str | None
) -> None:
    """Its account where calls for it failed, or where only the account's own rate is in the way; else everybody."""
    wait = end(*outcomes)
    assert isinstance(wait, Waiting)
    assert (wait.why, wait.of, wait.endpoint) == (why, of, endpoint)


class Least(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return a


class Most(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.mark.parametrize("outcome", [BUSY, held(Because.BREAKER, -60), held(Because.RATE, -60)])
@pytest.mark.parametrize("age_s", [0.0, 3 * DAY_S - 0.5])
def test_no_wait_is_shorter_than_a_second(outcome: Outcome, age_s: float) -> None:
    """Nor where jitter adds nothing, what it waited for is over, or its age ends sooner."""
    wait = end_of([outcome], story(age_s=age_s), Budgets(), Least())
    assert isinstance(wait, Waiting)
    assert wait.wait_s == 1


@pytest.mark.parametrize(
    ("next_s", "age_s", "wait_s"), [(10, 0.0, 15), (10, 60.0, 40), (10, 2 * DAY_S, 910), (-60, 60.0, 30)]
)
def test_an_open_breaker_is_waited_for_in_proportion_to_the_outage(next_s: float, age_s: float, wait_s: int) -> None:
    """At most half of the message's age beyond the next try, and a quarter of an hour: then it returns soon after."""
    wait = end_of([held(Because.BREAKER, next_s)], story(age_s=age_s), Budgets(), Most())
    assert isinstance(wait, Waiting)
    assert wait.wait_s == wait_s


def test_what_was_refused_before_decides_with_what_arrives_now() -> None:
    """Also where nothing of this receive was refused."""
    before = replace(story(), refused={"key": "HTTP 400"})
    assert end_of([OK], before, Budgets(), random.Random(1)) == DeadLetter(
        Reason.REJECTED, "HTTP 400 for 1 of 3 deliveries", attempts=1
    )


def test_what_was_not_reached_waits() -> None:
    """A delivery behind one that waits has no result yet, so its message comes back."""
    assert isinstance(end(BUSY, None), Waiting)


@pytest.mark.parametrize(("kind", "days"), [("event_processing_request", 3), ("dsr_processing_request", 13)])
def test_age_ends_waiting(kind: str, days: int) -> None:
    """Data waits three days, an erasure almost as long as its queue keeps it."""
    assert isinstance(end(BUSY, kind=kind, age_s=days * 86_400 - 60), Waiting)
    letter = end(BUSY, kind=kind, age_s=days * 86_400 + 1)
    assert isinstance(letter, DeadLetter)
    assert letter.reason is Reason.TOO_OLD


@pytest.mark.parametrize("because", list(Because))
def test_waiting_without_a_call_is_bounded_by_age_alone(because: Because) -> None:
    """A message is never dead-lettered after a wait without a call, however many attempts it has had."""
    assert isinstance(end(held(because, 60), attempts=10_000), Waiting)


def test_cool_down_is_waited_out_and_jitter_only_adds() -> None:
    """No message comes back before the cool-down is over."""
    waits = []
    for seed in range(100):
        ended = end_of([held(Because.COOL_DOWN, 100)], story(), Budgets(), random.Random(seed))
        assert isinstance(ended, Waiting)
        waits.append(ended.wait_s)
    assert min(waits) >= 100
    assert len(set(waits)) > 5


def test_no_wait_is_longer_than_sqs_hides() -> None:
    """A cool-down of a day is obeyed in pieces of less than twelve hours."""
    ended = end(held(Because.COOL_DOWN, 86_400))
    assert isinstance(ended, Waiting)
    assert ended.wait_s < 43_200


def test_out_of_time_comes_back_at_once() -> None:
    """A message whose deliveries were not begun for lack of time waits a second."""
    assert end(held(Because.TIME, 1)) == Waiting(1, "time")


def test_outage_waits_grow_with_age() -> None:
    """The longer an outage lasts, the longer a waiting message is hidden."""
    waits = []
    for age_s in (10, 600, 7_200):
        drawn = [
            end_of([held(Because.BREAKER, 5)], story(age_s=age_s), Budgets(), random.Random(n)) for n in range(200)
        ]
        waits.append(sum(one.wait_s for one in drawn if isinstance(one, Waiting)) / 200)
    assert waits == sorted(waits)
    assert waits[0] < 15
    assert waits[-1] > 300


def test_nothing_is_hidden_for_longer_than_sqs_counts_from_the_receive() -> None:
    """Twelve hours from the receive are not exceeded, even if Lambda held the message for its longest window and
    invocation.
    """
    for seed in range(20):
        often = replace(story(kind="dsr_processing_request"), receives=899)
        found = end_of([BUSY], often, Budgets(), random.Random(seed))
        assert isinstance(found, Waiting)
        assert 36_000 < found.wait_s <= 12 * 3_600 - 300 - 900


FINE = ["200"] * 19


def longest_s(failures: int) -> float:
    """The longest time that a message is hidden after this many failures in a row."""
    return FIRST_BACK_OFF_S * 2 ** (failures - 1) + 1


@pytest.mark.parametrize("partner", ["echo", "unordered", "merging"])
@pytest.mark.parametrize("place", [0, 10, 19])
def test_one_failure_hides_a_large_request_as_long_as_a_small_one(make_fleet: Any, partner: str, place: int) -> None:
    """However many deliveries of a message arrived, its first failure has the back-off of a first failure."""
    failing = "retry" if partner == "merging" else "503"
    for seed in range(20):
        fleet = make_fleet(partner)
        fleet.worker.rng.seed(seed)
        fleet.run(record(1, [*FINE[:place], failing, *FINE[place:]]))
        assert fleet.queue.hidden["h-1"] <= longest_s(1)


def test_back_off_grows_with_the_failures_in_a_row(make_fleet: Any) -> None:
    """A delivery that fails again and again is tried more and more rarely, over all receives."""
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
    """Once a delivery succeeds after many failures, a failure of the next one counts as a first failure."""
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
    """A 429 without a time does not change the back-off, because it is about the rate."""
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
    """A call with any part of the message counts as one attempt, answered or not; a call with a 429 does not."""
    fleet = make_fleet(partner)
    for number, names in enumerate(receives):
        fleet.run(record(1, names, receives=number + 1))
        fleet.clock.now_s += 1_000
    [(_, letter)] = fleet.queue.dead
    assert letter["attempts"] == attempts


@given(
    receives=st.integers(1, 1_000),
    asked=st.floats(0, 10_000),
    seed=st.integers(0, 2**32),
)
def test_back_off_is_bounded_and_obeys_the_partner(receives: int, asked: float, seed: int) -> None:
    """A back-off is never shorter than asked for, and jitter adds at most the bound of that receive."""
    wait = back_off_s(receives, retry_after_s=asked, rng=random.Random(seed))
    bound = min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2 ** (receives - 1))
    assert max(1, asked - 0.5) <= wait <= asked + bound + 1


def test_a_partners_wish_is_obeyed_for_a_quarter_of_an_hour() -> None:
    """A longer one binds nobody: the message asks again."""
    wait = end_of([replace(PUSHED_BACK, retry_after_s=7_200.0)], story(), Budgets(), Least())
    assert isinstance(wait, Waiting)
    assert wait.wait_s == 900


@pytest.mark.parametrize(
    ("receives", "least_s"), [(49, 0), (50, 2), (400, 3), (899, 1_200), (900, 1_200), (999, 1_200)]
)
def test_receives_last_for_the_age(receives: int, least_s: int) -> None:
    """From the fiftieth on each has its share of the time that is left, and the last ones have all of it."""
    assert least_wait_s(receives, 1_200.0, Least()) == least_s


def test_back_off_grows_and_is_spread() -> None:
    """Later receives wait longer on average, and messages do not come back together."""
    rng = random.Random(7)
    means = [sum(back_off_s(n, rng=rng) for _ in range(500)) / 500 for n in (1, 3, 6)]
    assert means[0] < means[1] < means[2]
    assert back_off_s(9_000, rng=Most()) == LONGEST_BACK_OFF_S  # no number is too large
    assert len({back_off_s(6, rng=rng) for _ in range(50)}) > 20


def test_call_that_failed_for_a_neighbour_is_a_call(make_fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that is sent again without its failing neighbour was in two calls, and the first is not a failure of
    its own.
    """

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
