"""Short retries of one call, inside the invocation. Longer waits are spent on the queue: batch/back_off.py.

Exponential with full jitter: each pause is drawn evenly from zero to a bound that doubles.
"""

from collections.abc import Awaitable, Callable
from typing import cast

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt
from tenacity.wait import wait_base

from worker_fn.dispatch.classify import Outcome, Verdict

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
"""Waits up to here are spent inside the invocation; the Lambda is paid for meanwhile, so longer ones are not."""


class _Pause(wait_base):
    """The time that the partner asked for, and the jittered back-off on top."""

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
    """Call `attempt` until its verdict is not RETRY, at most `attempts` times; returns the last outcome.

    `jitter` draws a pause from zero to a bound. Stops early when the next wait would be longer than LONGEST_PAUSE_S or
    than the time that remains, when no call was allowed, and when an answer told its items apart: longer waits are
    spent on the queue.
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
