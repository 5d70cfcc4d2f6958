"""Module registration: the partner's declaration as mParticle reads it.

This module imports pydantic and the partner's own code, so it is imported only when mParticle asks, which is rare. It
answers even if the declaration breaks a rule: the deploy refused that, unless somebody allowed it on purpose.
"""

from collections.abc import Mapping
from typing import Any

from partners import load_partner
from shared.firehose import Registration, registration_response, rules_unenforced


def register(env: Mapping[str, str], *, request_id: str, now_ms: int) -> dict[str, Any]:
    """Answer a registration request. Raises InvalidSettings if PARTNER or the partner's own settings are bad."""
    return registration_response(_declared(env), id=request_id, timestamp_ms=now_ms)


def forwards_eventless(env: Mapping[str, str]) -> bool:
    """Whether the partner asked for batches without events: then such a batch about a user is data, not a probe."""
    permissions = _declared(env).permissions
    return permissions is not None and permissions.allow_eventless_batches


def _declared(env: Mapping[str, str]) -> Registration:
    with rules_unenforced():
        return load_partner(env).registration()
