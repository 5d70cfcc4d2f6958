"""Whether messages left the queues without an end that a worker reported, by a day of counts. Pure.

    what lies in the queues = what lay there before + what came - what ended        in messages

SQS counts late and roughly, so no moment is believed: what is missing is missing in every moment of the day's last hour
as compared with every moment of its first, and beyond what comes in a minute. docs/adr/0049 says why.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from worker_fn.clients.counts import STEP_S, Step

EDGE = 12
"""Steps in the first hour, and in the last one."""
LAG_S = 60
"""SQS may count what comes within this time on the other side of a moment."""
MINUTE = 7
"""The minute of each hour in which the gap is counted, by the tick that falls into it."""


def is_due(now_ms: int) -> bool:
    """Whether this minute's tick counts: once an hour, because CloudWatch charges for its answers."""
    return now_ms // 60_000 % 60 == MINUTE


def missing(steps: Sequence[Step]) -> int | None:
    """How many messages are surely missing; None if too little is known. Each message delivered twice hides one."""
    known = [number for number, step in enumerate(steps) if step.most is not None]
    steps = steps[known[0] : known[-1] + 1] if known else ()
    if len(steps) <= 2 * EDGE:
        return None
    sums = accumulate(step.came - step.ended for step in steps)
    moments = [_between(total, one, after) for total, (one, after) in zip(sums, pairwise(steps), strict=False)]
    first = [one for one in moments[:EDGE] if one is not None]
    last = [one for one in moments[-EDGE:] if one is not None]
    if not first or not last:
        return None
    rates = [step.came / STEP_S for step in (*steps[: EDGE + 1], *steps[-EDGE - 1 :])]
    surely = min(least for least, _ in last) - max(most for _, most in first)
    return max(0, round(surely - LAG_S * (max(rates) - min(rates))))


def _between(total: float, one: Step, after: Step) -> tuple[float, float] | None:
    """The least and the most that is unaccounted for at the moment where two steps meet."""
    if one.least is None or one.most is None or after.least is None or after.most is None:
        return None
    return total - max(one.most, after.most), total - min(one.least, after.least)
