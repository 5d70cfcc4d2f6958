"""The answer to mParticle's module registration, as ingest gives it."""

import time
import uuid
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from partners import PartnerBroken, load_partner
from shared.errors import SpillwayError, raised_at
from shared.firehose import Registration, registration_response, rules_unenforced


def declared(env: Mapping[str, str]) -> dict[str, Any]:
    """Return the registration of the partner that `env` names, as it is written, whatever rules it breaks.

    Raises InvalidSettings, and pydantic's ValidationError if the declaration cannot be made at all.
    """
    try:
        partner = load_partner(env)
    except PartnerBroken as error:  # declared as the file is read
        raise error.__cause__ if isinstance(error.__cause__, ValidationError) else error from None
    try:
        with rules_unenforced():
            return written(partner.registration())
    except (ValidationError, SpillwayError):
        raise
    except Exception as error:
        said = f"registration() raises {type(error).__name__} in {raised_at(error)}"
        raise PartnerBroken(type(partner).__module__, said) from error


def written(registration: Registration) -> dict[str, Any]:
    """Write a registration as an answer with the present time."""
    return registration_response(registration, id=str(uuid.uuid4()), timestamp_ms=int(time.time() * 1000))
