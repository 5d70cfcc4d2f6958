"""Short retries of one call, inside the invocation. Longer waits are spent on the queue: batch/disposition.py.

Exponential with full jitter: each pause is drawn evenly from zero to a bound that doubles.
"""

from collections.abc import Awaitable, Callable

from worker_fn.dispatch.classify import Outcome, Verdict

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
"""Waits up to here are spent inside the invocation; the Lambda is paid for meanwhile, so longer ones are not."""


async def send_with_retries(
    attempt: Callable[[], Awaitable[Outcome]],
    *,
    attempts: int,
    remaining_s: Callable[[], float],
    jitter: Callable[[float], float],
    sleep: Callable[[float], Awaitable[None]],
) -> Outcome:
    """Call `attempt` until its verdict is not RETRY, at most `attempts` times; returns the last outcome.

    `jitter` draws a pause from zero to a bound; the time that the partner asked for comes on top. Stops early when the
    next wait would be longer than LONGEST_PAUSE_S or than the time that remains, when no call was allowed, and when an
    answer told its items apart: longer waits are spent on the queue.
    """
    bound_s, tried = FIRST_PAUSE_S, 0
    while True:
        outcome, tried = await attempt(), tried + 1
        if outcome.verdict is not Verdict.RETRY or outcome.because is not None or outcome.items is not None:
            return outcome
        pause_s = (outcome.retry_after_s or 0.0) + jitter(min(LONGEST_PAUSE_S, bound_s))
        if tried >= attempts or pause_s > min(LONGEST_PAUSE_S, remaining_s()):
            return outcome
        await sleep(pause_s)
        bound_s *= 2
