"""What a request becomes: calls to the partner, and what is to be no call."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Secret:
    """A credential that shows itself only to the HTTP client: `repr`, `str` and logs see a mask."""

    value: str = field(repr=False)

    def __str__(self) -> str:
        return "***"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One HTTP call to the partner.

    `item` names what of the request it carries (an event id, say). It is part of the call's Idempotency-Key, so it
    must be the same whenever the same request is mapped again.
    """

    url: str
    body: bytes
    item: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, Secret] = field(default_factory=dict)
    """Credentials. By these, `secret_fields` and `sign_with` the worker tells a customer's keys apart: what a refusal
    suspends is a key. What is made anew for each message (a signature) is none.
    """
    secret_fields: Mapping[str, Secret] = field(default_factory=dict)
    """For an API that wants its key in the body: fields that join the body, a JSON object, when the call is made."""
    merge: str | None = None
    """Name of the bulk endpoint that takes it, as in `Limits.bulk`; neighbours of the same account, with the same name,
    host and credentials, may travel in one call.
    """
    merge_group: str = ""
    """What else must be alike in what travels together: the list that is changed, say."""
    merge_kind: str = ""
    """What it is in a bulk call that takes so many of each kind, as in `Bulk.kinds`: an event, a purchase."""
    sign_with: Secret | None = None
    """Key of a Standard Webhooks signature (HMAC-SHA256 over id, timestamp and body), made anew for each attempt."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A part of a request that becomes no call although somebody may look for it: it is counted and logged, once.

    `item` names it, as a delivery's does. `why` is a constant text for the log: nothing of the request may stand in it.
    """

    item: str
    why: str
    raised: bool = False
    """The partner's code raised for it, and did not decide: partners.reading.one_by_one says so."""
