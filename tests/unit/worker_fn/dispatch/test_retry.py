import asyncio
import random

from worker_fn.dispatch.classify import Outcome, Verdict
from worker_fn.dispatch.retry import LONGEST_PAUSE_S, send_with_retries
from worker_fn.limits.ruling import Because

RETRY = Outcome(Verdict.RETRY, 503)


DONE = Outcome(Verdict.DELIVERED, 200)


class Partner:
    """Gives scripted results, and repeats the last one. Sleeping moves its clock."""

    def __init__(self, *outcomes: Outcome, time_s: float = 60.0) -> None:
        self.outcomes = list(outcomes)
        self.left_s = time_s
        self.calls = 0
        self.slept: list[float] = []

    async def attempt(self) -> Outcome:
        self.calls += 1
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.left_s -= seconds

    def send(self, attempts: int = 3) -> tuple[Outcome, int]:
        rng = random.Random(1)
        outcome = asyncio.run(
            send_with_retries(
                self.attempt,
                attempts=attempts,
                remaining_s=lambda: self.left_s,
                jitter=lambda bound: rng.uniform(0, bound),
                sleep=self.sleep,
            )
        )
        return outcome, self.calls


def test_success_is_not_repeated() -> None:
    """A delivery that arrived is sent once."""
    assert Partner(DONE).send() == (DONE, 1)


def test_refusal_is_not_repeated() -> None:
    """A delivery that was refused is sent once."""
    refused = Outcome(Verdict.REJECTED, 400)
    assert Partner(refused).send() == (refused, 1)


def test_short_trouble_is_waited_out() -> None:
    """A fault that passes costs a jittered pause inside the invocation."""
    partner = Partner(RETRY, RETRY, DONE)
    assert partner.send() == (DONE, 3)
    assert len(partner.slept) == 2


def test_attempts_are_bounded() -> None:
    """A call that keeps failing is given back after the allowed number of attempts."""
    partner = Partner(RETRY)
    assert partner.send(attempts=4) == (RETRY, 4)
    assert len(partner.slept) == 3


def test_long_retry_after_is_not_waited_for() -> None:
    """A wait of more than a few seconds happens on the queue, not in a paid invocation."""
    asked = Outcome(Verdict.RETRY, 429, retry_after_s=LONGEST_PAUSE_S + 1)
    partner = Partner(asked)
    assert partner.send() == (asked, 1)
    assert partner.slept == []


def test_short_retry_after_is_obeyed() -> None:
    """The pause is at least what the partner asked for."""
    partner = Partner(Outcome(Verdict.RETRY, 429, retry_after_s=2.0), DONE)
    assert partner.send() == (DONE, 2)
    assert partner.slept[0] >= 2.0


def test_call_that_was_not_allowed_is_not_repeated() -> None:
    """A call that the limiter did not allow is not tried again at once."""
    held = Outcome(Verdict.RETRY, because=Because.BREAKER)
    partner = Partner(held)
    assert partner.send() == (held, 1)


def test_no_pause_outlasts_the_invocation() -> None:
    """Without time left there is no pause."""
    partner = Partner(RETRY, time_s=0.0)
    assert partner.send() == (RETRY, 1)
    assert partner.slept == []
