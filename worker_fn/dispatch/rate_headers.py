"""Reading an API's rate headers: once no call is left, nobody calls until the reset. Pure."""

import re
from collections.abc import Mapping

from partners import RateHeaders

ABSURD_S = 7 * 24 * 3_600.0
"""A reset in over a week is a mistake (milliseconds, say), and not believed."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,16}(\.[0-9]{1,16})?")


def cool_down_s(headers: Mapping[str, str], declared: RateHeaders, *, now_s: float) -> float | None:
    """Seconds until the reset if nothing remains; None if calls remain, or the headers do not say.

    `headers` by their names in small letters, `now_s` in epoch seconds.
    """
    remaining = _number(headers.get(declared.remaining.lower()))
    reset = _number(headers.get(declared.reset.lower()))
    if remaining is None or reset is None or remaining >= 1:
        return None
    wait_s = reset - now_s if declared.reset_is == "epoch_s" else reset
    return wait_s if 0 < wait_s <= ABSURD_S else None


def _number(text: str | None) -> float | None:
    found = (text or "").strip()
    return float(found) if _NUMBER.fullmatch(found) else None
