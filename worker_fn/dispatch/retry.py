"""Two kinds of waiting: short, inside the invocation (tenacity), and long, across receives (visibility timeout).

Both are exponential with full jitter: each wait is drawn evenly from zero to a bound that doubles.
"""

import math
import random
from collections.abc import Awaitable, Callable
from typing import cast

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt
from tenacity.wait import wait_base

from worker_fn.dispatch.classify import Outcome, Verdict

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
"""Waits up to here are spent inside the invocation; the Lambda is paid for meanwhile, so longer ones are not."""

FIRST_BACK_OFF_S = 5.0
LONGEST_BACK_OFF_S = 900.0
"""Fifteen minutes: with jitter, a partner that recovers sees its backlog return within that time."""


class _Pause(wait_base):
    """As long as the partner asked for, and the jittered back-off on top."""

    def __init__(self, jitter: Callable[[float], float]) -> None:
        self._jitter = jitter

    def __call__(self, retry_state: RetryCallState) -> float:
        outcome: Outcome = retry_state.outcome.result() if retry_state.outcome else Outcome(Verdict.RETRY)
        bound = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (retry_state.attempt_number - 1))
        return (outcome.retry_after_s or 0.0) + self._jitter(bound)


async def send_with_retries(
    attempt: Callable[[], Awaitable[Outcome]],
    *,
    attempts: int,
    remaining_s: Callable[[], float],
    jitter: Callable[[float], float],
    sleep: Callable[[float], Awaitable[None]],
) -> Outcome:
    """Call `attempt` until it gives something else than RETRY, at most `attempts` times; gives the last outcome.

    `jitter` draws a pause from zero to a bound. Stops early when the next wait would be longer than LONGEST_PAUSE_S or
    than the time that remains, when no call was allowed, and when an answer told its items apart: what waits longer
    waits on the queue.
    """
    stop_at_count = stop_after_attempt(attempts)

    def stop(state: RetryCallState) -> bool:
        return stop_at_count(state) or state.upcoming_sleep > min(LONGEST_PAUSE_S, remaining_s())

    retrying = AsyncRetrying(
        retry=retry_if_result(
            lambda result: result.verdict is Verdict.RETRY and result.because is None and result.items is None
        ),
        stop=stop,
        wait=_Pause(jitter),
        sleep=sleep,
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    return cast(Outcome, await retrying(attempt))


def back_off_s(failures: int, *, retry_after_s: float | None, rng: random.Random) -> int:
    """Whole seconds until a message should come back after so many failures in a row, at least one.

    Jitter only adds to what the partner asked for.
    """
    bound = min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2 ** min(max(failures, 1) - 1, 30))
    return max(1, math.ceil((retry_after_s or 0.0) + rng.uniform(0, bound)))


def outage_back_off_s(age_s: float, *, until_next_try_s: float, rng: random.Random) -> int:
    """Whole seconds to hide a message while nobody may call: past the next try, and the longer the older it is.

    Half of its age at most, so that a message sees its partner recover in a time in proportion to the outage.
    """
    bound = min(LONGEST_BACK_OFF_S, max(FIRST_BACK_OFF_S, age_s / 2))
    return max(1, math.ceil(max(0.0, until_next_try_s) + rng.uniform(0, bound)))
