"""Partners: one file, one partner. The setting `PARTNER` names the file (`partners.webhook`)."""

import importlib
from collections.abc import Mapping

from partners.base import Bulk, Delivery, LeftOut, Limits, Partner, Rate, RateHeaders, Result, Secret
from shared.errors import InvalidSettings

__all__ = [
    "Bulk",
    "Delivery",
    "LeftOut",
    "Limits",
    "Partner",
    "Rate",
    "RateHeaders",
    "Result",
    "Secret",
    "load_partner",
]

DEFAULT_PARTNER = "partners.webhook"


def load_partner(env: Mapping[str, str]) -> Partner:
    """Build the partner that `PARTNER` names from its file and the rest of the environment.

    Raises InvalidSettings if there is no such module, if it does not hold exactly one Partner, or if the partner's own
    settings are bad.
    """
    from shared.firehose import rules_unenforced  # noqa: PLC0415 - it brings pydantic, which a partner's file does too

    module_name = env.get("PARTNER") or DEFAULT_PARTNER
    try:
        with rules_unenforced():  # a registration that is declared as the file is read; the deploy checks it
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and module_name.startswith(error.name):
            raise InvalidSettings(f"PARTNER={module_name}: no such module; put the partner's file there") from None
        raise
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Partner) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise InvalidSettings(f"PARTNER={module_name}: holds {len(found)} Partner classes; it must hold exactly one")
    return found[0].from_env(env)
