"""What a request becomes: calls to the partner, and parts that are left out."""

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

    `item` names the part of the request that it carries (an event id, say). It is part of the call's Idempotency-Key,
    so it must be the same whenever the same request is mapped again.
    """

    url: str
    body: bytes
    item: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, Secret] = field(default_factory=dict)
    """Credentials. By these, `secret_fields` and `sign_with` the worker tells a customer's keys apart, because a
    refusal suspends one key. Put no value here that is made anew for each message, such as a signature.
    """
    secret_fields: Mapping[str, Secret] = field(default_factory=dict)
    """For an API that wants its key in the body: fields that join the body, a JSON object, when the call is made."""
    merge: str | None = None
    """The name of the bulk endpoint that takes the delivery, as in `Limits.bulk`; neighbours of the same account, with
    the same name, host and credentials, may travel in one call.
    """
    merge_group: str = ""
    """Deliveries travel together only if they have this in common, too: the list that is changed, say."""
    merge_kind: str = ""
    """The delivery's kind, for a bulk call with a limit for each kind (`Bulk.kinds`): an event, a purchase."""
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
    """True if the partner's code raised and did not choose this: partners.reading.one_by_one sets it."""
