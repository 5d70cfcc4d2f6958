"""Two kinds of waiting: short, inside the invocation (tenacity), and long, across receives (visibility timeout).

Both are exponential with full jitter: each wait is drawn evenly from zero to a bound that doubles.
"""

import random
from collections.abc import Callable

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt
from tenacity.wait import wait_base

from worker_fn.classify import Outcome, Verdict

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
"""Waits up to here are spent inside the invocation; the Lambda is paid for meanwhile, so longer ones are not."""

FIRST_BACK_OFF_S = 5.0
LONGEST_BACK_OFF_S = 900.0
"""Fifteen minutes: with jitter, a partner that recovers sees its backlog return within that time."""


class _Pause(wait_base):
    """As long as the partner asked for, and at least the jittered back-off."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def __call__(self, retry_state: RetryCallState) -> float:
        outcome: Outcome = retry_state.outcome.result() if retry_state.outcome else Outcome(Verdict.RETRY)
        bound = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (retry_state.attempt_number - 1))
        return (outcome.retry_after_s or 0.0) + self._rng.uniform(0, bound)


def send_with_retries(
    attempt: Callable[[], Outcome],
    *,
    attempts: int,
    remaining_s: Callable[[], float],
    rng: random.Random,
    sleep: Callable[[float], None],
) -> tuple[Outcome, int]:
    """Call `attempt` until it gives something else than RETRY; gives the last outcome and how many calls it took.

    Stops early when the next wait would be longer than LONGEST_PAUSE_S or than the time that remains: what waits longer
    waits on the queue.
    """
    stop_at_count = stop_after_attempt(attempts)

    def stop(state: RetryCallState) -> bool:
        return stop_at_count(state) or state.upcoming_sleep > min(LONGEST_PAUSE_S, remaining_s())

    made = 0

    def counted() -> Outcome:
        nonlocal made
        made += 1
        return attempt()

    outcome = Retrying(
        retry=retry_if_result(lambda result: result.verdict is Verdict.RETRY),
        stop=stop,
        wait=_Pause(rng),
        sleep=sleep,
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )(counted)
    return outcome, made


def back_off_s(receive_count: int, *, retry_after_s: float | None, rng: random.Random) -> int:
    """Whole seconds until a message should come back, at least one; jitter only adds to what the partner asked for."""
    bound = min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2 ** min(receive_count - 1, 30))
    return max(1, round((retry_after_s or 0.0) + rng.uniform(0, bound)))
