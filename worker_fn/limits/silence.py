"""Whether the state table was out of reach, by when somebody wrote into the partner's item last. Pure."""

from dataclasses import replace

from worker_fn.limits.flow import Flow
from worker_fn.limits.windows import WINDOW_MS

TICK_MS = 60_000
"""How often the worker's tick comes (infra/tick.yml): it writes a sign of life, whether there is anything to do or not.
"""
SILENCE_MS = TICK_MS + 15_000
"""When nobody wrote for so long, not even a tick, the table was out of reach, and others may call at their share."""
ALIVE_EVERY_MS = 5_000
"""A sign of life that is newer is not renewed."""
RETURN_MS = 12_000
"""How long everybody keeps to its share then, and to the end of that second: by that time all have noticed that the
table is there.
"""


def alive(flow: Flow, *, now_ms: int) -> Flow:
    """Write that the table is in reach. If it was not for long, everybody keeps to its share for a while: some called
    at theirs.
    """
    if is_silent(flow, now_ms=now_ms):
        # A window belongs to shares or to everybody as a whole: a worker has its share of all of it at once.
        flow = replace(flow, share_until_ms=-(-(now_ms + RETURN_MS) // WINDOW_MS) * WINDOW_MS)
    return flow if 0 <= now_ms - flow.alive_ms < ALIVE_EVERY_MS else replace(flow, alive_ms=now_ms)


def is_silent(flow: Flow, *, now_ms: int) -> bool:
    """Whether nobody wrote for so long that some may call at their share."""
    return bool(flow.alive_ms) and now_ms - flow.alive_ms > SILENCE_MS and flow.share_until_ms <= now_ms
