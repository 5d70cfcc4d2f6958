"""How long a deployed worker lets a message wait, as its settings say it."""

from collections.abc import Mapping

AGES = {"MAX_AGE_S": 72 * 3_600.0, "ERASURE_MAX_AGE_S": 13 * 86_400.0}
"""As worker_fn/settings.py has them."""


def age_s(env: Mapping[str, str], name: str) -> float:
    """The age that is set; the default if none is, or if it is no number, which the worker refuses."""
    text = env.get(name, "").strip()
    is_number = text.replace(".", "", 1).isdecimal() and text.isascii()
    return float(text) if is_number else AGES[name]
