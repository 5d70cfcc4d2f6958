"""The answer to mParticle's module registration, as ingest gives it."""

import time
import uuid
from collections.abc import Mapping
from typing import Any

from partners import load_partner
from shared.firehose import Registration, registration_response, rules_unenforced


def declared(env: Mapping[str, str]) -> dict[str, Any]:
    """Return the registration of the partner that `env` names, as it is written, whatever rules it breaks.

    Raises InvalidSettings, and pydantic's ValidationError if the declaration cannot be made at all.
    """
    with rules_unenforced():
        return written(load_partner(env).registration())


def written(registration: Registration) -> dict[str, Any]:
    """Write a registration as an answer of this moment."""
    return registration_response(registration, id=str(uuid.uuid4()), timestamp_ms=int(time.time() * 1000))
