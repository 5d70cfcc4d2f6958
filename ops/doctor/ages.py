"""How long a deployed worker lets a message wait, by its settings."""

from collections.abc import Mapping

from worker_fn.settings import BUDGETS

AGES = {"MAX_AGE_S": BUDGETS.max_age_s, "ERASURE_MAX_AGE_S": BUDGETS.erasure_age_s}
"""The worker's defaults."""


def age_s(env: Mapping[str, str], name: str) -> float:
    """The age that is set; the default if none is, or if it is no number, which the worker refuses."""
    text = env.get(name, "").strip()
    is_number = text.replace(".", "", 1).isdecimal() and text.isascii()
    return float(text) if is_number else AGES[name]
