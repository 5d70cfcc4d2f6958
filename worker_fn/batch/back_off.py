"""Waiting across receives, by visibility timeout: how long a message stays hidden after it failed.

Exponential with full jitter: each wait is drawn evenly from zero to a bound that doubles.
"""

import math
import random

FIRST_BACK_OFF_S = 5.0
LONGEST_BACK_OFF_S = 900.0
"""Fifteen minutes: with jitter, a partner that recovers sees its backlog return within that time."""


def back_off_s(failures: int, *, retry_after_s: float | None, rng: random.Random) -> int:
    """Whole seconds, at least one, until a message should come back that failed `failures` times in a row.

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
