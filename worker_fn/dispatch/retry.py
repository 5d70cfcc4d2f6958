"""Short retries of one call, inside the invocation. Longer waits are spent on the queue (batch/disposition.py).

Exponential back-off with full jitter: each pause is drawn evenly from zero to a bound that doubles.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from worker_fn.dispatch.classify import Outcome, Verdict

if TYPE_CHECKING:
    from tenacity import RetryCallState

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
"""Longer waits are spent on the queue, because the Lambda is paid for while it waits."""


async def send_with_retries(
    attempt: Callable[[], Awaitable[Outcome]],
    *,
    attempts: int,
    remaining_s: Callable[[], float],
    jitter: Callable[[float], float],
    sleep: Callable[[float], Awaitable[None]],
) -> Outcome:
    """Call `attempt` until its verdict is not RETRY, at most `attempts` times; returns the last outcome.

    `jitter` draws a pause from zero to a bound. Stops early if the next pause would be longer than LONGEST_PAUSE_S or
    the time that remains, if no call was allowed, or if an answer gave each item its own outcome.
    """
    first = await attempt()
    if not _may_help(first):
        return first
    from tenacity import AsyncRetrying, retry_if_result, stop_after_attempt  # noqa: PLC0415 - nearly no call is retried

    known = [first]

    async def next_outcome() -> Outcome:
        return known.pop() if known else await attempt()

    def wait_s(state: "RetryCallState") -> float:
        """The time that the partner asked for, and the jittered back-off on top."""
        bound = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (state.attempt_number - 1))
        return (_outcome(state).retry_after_s or 0.0) + jitter(bound)

    stop_at_count = stop_after_attempt(attempts)

    def stop(state: "RetryCallState") -> bool:
        return stop_at_count(state) or state.upcoming_sleep > min(LONGEST_PAUSE_S, remaining_s())

    retrying = AsyncRetrying(
        retry=retry_if_result(_may_help), stop=stop, wait=wait_s, sleep=sleep, retry_error_callback=_outcome
    )
    return cast(Outcome, await retrying(next_outcome))


def _may_help(outcome: Outcome) -> bool:
    """Whether another try may have another outcome."""
    return outcome.verdict is Verdict.RETRY and outcome.because is None and outcome.items is None


def _outcome(state: "RetryCallState") -> Outcome:
    return cast(Outcome, state.outcome.result() if state.outcome else None)
