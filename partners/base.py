"""What a partner is: everything that a partner file may say, and nothing else.

A partner file holds one subclass of `Partner`. It turns a request into deliveries and does no more than that: no I/O,
no retries, no queue, no clock. The worker sends what it returns, retries, waits and settles.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from shared.firehose import AudienceSubscriptionRequest, Registration, Request


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
    sign_with: Secret | None = None
    """Key of a Standard Webhooks signature (HMAC-SHA256 over id, timestamp and body), made anew for each attempt."""


class Partner(ABC):
    """A partner's API as Spillway needs to know it."""

    name: str
    """Short and stable: it stands in log lines, metrics and dead-letter attributes."""

    in_order: bool = True
    """Send a request's deliveries one after the other. False lets them run side by side."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:  # noqa: ARG003 - the default partner needs no settings
        """Build the partner from the function's environment. Raises InvalidSettings that names the bad variable."""
        return cls()

    @abstractmethod
    def registration(self) -> "Registration":
        """What mParticle is told when it asks who we are: settings, event types, permissions."""

    @abstractmethod
    def deliveries(self, request: "Request") -> Iterable[Delivery]:
        """Map a request to the calls it means, in sending order. Pure: the same request, the same deliveries."""

    def subscribe(self, request: "AudienceSubscriptionRequest") -> Mapping[str, str]:
        """Answer an audience subscription in line: the settings to store with it. By default, as they came."""
        return request.audience_subscription_settings
