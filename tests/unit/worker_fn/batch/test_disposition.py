import random
from dataclasses import replace

import pytest

from worker_fn.batch.disposition import Budgets, DeadLetter, Delivered, Reason, Story, Waiting, end_of
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


def test_what_was_not_reached_waits() -> None:
    """A delivery behind one that waits was never judged: the message comes back."""
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
    """However many attempts a message has behind it, it is not dead-lettered by a wait in which nobody was called."""
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
    """What was only not begun in time waits a second."""
    assert end(held(Because.TIME, 1)) == Waiting(1, "time")


def test_outage_waits_grow_with_age() -> None:
    """The longer the outage, the rarer a waiting message looks."""
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
    """Also where Lambda had the message for its longest window and its longest invocation before."""
    for seed in range(20):
        often = replace(story(kind="dsr_processing_request"), receives=899)
        found = end_of([BUSY], often, Budgets(), random.Random(seed))
        assert isinstance(found, Waiting)
        assert 36_000 < found.wait_s <= 12 * 3_600 - 300 - 900
