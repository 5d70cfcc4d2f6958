"""The ids of a request's events, for the log where LOG_EVENTS=ids asks for them."""

import re
from collections.abc import Mapping
from typing import Any

from shared.message import EVENTS

MOST_IDS = 2_000
"""Of one message; a request of more events has the first ones told."""
_ID = re.compile(r"-?[0-9A-Za-z][0-9A-Za-z._:-]{0,127}")
"""What mParticle's ids are made of: no address of a person has this form."""


def event_ids(kind: str, payload: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of a message's events and notifications, in their order; what is no id is passed over."""
    if kind != EVENTS:
        return ()
    found = []
    for field in ("events", "system_notifications"):
        listed = payload.get(field)
        for one in listed if isinstance(listed, list) else ():
            text = _id_of(one)
            if text is not None:
                found.append(text)
                if len(found) == MOST_IDS:
                    return tuple(found)
    return tuple(found)


def _id_of(event: object) -> str | None:
    given = event.get("id") if isinstance(event, Mapping) else None
    if isinstance(given, bool) or not isinstance(given, str | int):
        return None
    return str(given) if _ID.fullmatch(str(given)) else None
