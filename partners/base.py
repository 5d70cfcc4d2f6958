"""What a partner is: everything that a partner file may say, and nothing else.

A partner file holds one subclass of `Partner`. It turns a request into deliveries and does no more than that: no I/O,
no retries, no queue, no clock. The worker sends what it returns, retries, waits and settles.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import ceil
from typing import TYPE_CHECKING, Literal, Self

from partners.delivery import Delivery, LeftOut, Secret

if TYPE_CHECKING:
    from partners.in_line import Call
    from shared.firehose import AudienceSubscriptionRequest, Registration, Request

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
]


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit in the partner's own terms: `calls` every `per_s` seconds, 45 every 20 s say."""

    calls: float
    per_s: float = 1.0

    def __post_init__(self) -> None:
        if not (self.calls > 0 and self.per_s > 0 and math.isfinite(self.calls / self.per_s)):
            raise ValueError("a rate needs a positive number of calls and of seconds")

    @property
    def per_second(self) -> float:
        return self.calls / self.per_s


@dataclass(frozen=True, slots=True)
class Bulk:
    """A bulk endpoint: how many deliveries one call takes, and how many bytes their bodies may have together.

    `rate` is what it takes of each customer, in place of `account_rate`. A delivery that names the endpoint counts
    there, also when it travels alone. `kinds` is how many it takes of each kind that stands in `Delivery.merge_kind`,
    where a call has several lists: `Bulk(150, kinds={"events": 75, "attributes": 75})`.
    """

    items: int
    bytes: int = 1_000_000
    rate: Rate | None = None
    kinds: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.items, self.bytes, *self.kinds.values()) < 1:
            raise ValueError("a bulk endpoint takes at least one item and one byte, and one of each kind")

    def most_of(self, kind: str) -> int:
        """How many of a kind one call takes."""
        return min(self.items, self.kinds.get(kind, self.items))

    def calls_for(self, counts: Mapping[str, int]) -> int:
        """In how many calls so many of each kind fit, if their bytes allow it."""
        of_kinds = (ceil(count / self.most_of(kind)) for kind, count in counts.items())
        return max(ceil(sum(counts.values()) / self.items), *of_kinds, 0)


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """Headers in which an API says what it still takes: with none remaining, nobody calls until the reset.

    `reset_is` says how that is written: `epoch_s` as seconds since 1970, `delta_s` as seconds from now. These headers
    are all that is kept of an answer's; a partner's code does not see them.
    """

    remaining: str
    reset: str
    reset_is: Literal["epoch_s", "delta_s"] = "epoch_s"

    def __post_init__(self) -> None:
        if not all(name.isascii() and name.replace("-", "").isalnum() for name in (self.remaining, self.reset)):
            raise ValueError("a header's name has letters, digits and dashes")
        if self.reset_is not in {"epoch_s", "delta_s"}:
            raise ValueError("a reset is epoch_s or delta_s")

    @property
    def names(self) -> frozenset[str]:
        """In small letters."""
        return frozenset({self.remaining.lower(), self.reset.lower()})


@dataclass(frozen=True, slots=True)
class Limits:
    """What the partner's API takes: of all customers together, of each one, and at each bulk endpoint (by the name that
    stands in `Delivery.merge`).

    No rate declared: Spillway finds it out, by what the partner answers with 429.
    """

    rate: Rate | None = None
    account_rate: Rate | None = None
    bulk: Mapping[str, Bulk] = field(default_factory=dict)
    rate_headers: RateHeaders | None = None
    """Where the API says with each answer what it still takes: of each customer if `account_rate` or a bulk endpoint's
    rate is declared, else of all."""


class Result(Enum):
    """What became of one delivery, where an answer says so in its body."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """Not now: it waits, with back-off."""
    REJECTED = "rejected"
    """Never: it is dead-lettered."""
    AGAIN = "again"
    """Nothing is wrong with it but its neighbours: it is sent again at once, without them."""
    UNAUTHORIZED = "unauthorized"
    """The credentials are wrong, so the whole call counts as answered with 401: they are suspended."""


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

    limits: Limits = Limits()

    @abstractmethod
    def registration(self) -> "Registration":
        """What mParticle is told when it asks who we are: settings, event types, permissions."""

    @abstractmethod
    def deliveries(self, request: "Request") -> Iterable[Delivery | LeftOut]:
        """Map a request to the calls it means, in sending order, and name what can be none. Pure: the same request, the
        same deliveries.

        Better a generator than a list: it is asked for as many as there is memory for, and may be let go of before its
        end. Mapping one request may take a fifth of the time that a batch has for its calls.
        """

    def lane_of(self, request: "Request") -> str | None:  # noqa: ARG002
        """Whose messages in a batch go one after the other: a user's id, say. None: each goes by itself. Pure.

        Only where `in_order`, and within one batch of one worker: more than that is what a FIFO queue is for.
        """
        return None

    def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:
        """Make one call of deliveries that share an account and a `merge` name. Only partners that name one need it.

        `keys` are their idempotency keys: an item that is sent again, among others then, has the same one.
        """
        raise NotImplementedError(f"{self.name} names bulk endpoints and does not say how to merge")

    def read_response(
        self,
        deliveries: Sequence[Delivery],  # noqa: ARG002
        status: int,  # noqa: ARG002
        body: bytes,  # noqa: ARG002
    ) -> Sequence[Result] | None:
        """Say of each delivery what the body of an answer means for it; None: what the status means, for all. Pure.

        Asked for every 2xx, and for other answers that have a body, unless it broke off or is over 1 MiB: then the
        status decides for all. What the status means for the account and for the partner stands: a 401 or 403 (nobody
        is asked) suspends, a Retry-After is obeyed. A 408, 425, 429 or 5xx can only be told apart into RETRY and AGAIN;
        a 429 that is told apart is about those items, not about the rate.
        Raising dead-letters what a 2xx took; with another status, the status decides.
        """
        return None

    def ping(self, settings: Mapping[str, str]) -> Delivery | None:  # noqa: ARG002
        """A harmless call that shows whether the partner is there and takes a customer's account `settings`; None:
        there is none. `spillway doctor` makes it.
        """
        return None

    def subscribe(self, request: "AudienceSubscriptionRequest", call: "Call") -> Mapping[str, str]:  # noqa: ARG002
        """Answer an audience subscription in line: the settings to store with it. By default, as they came.

        mParticle waits, for three seconds at most: `call` asks the partner's API within them (partners/in_line.py).
        What is given has to be registered as `audience_subscription_settings`. Raise SubscriptionFailed for an answer
        that is a refusal; mParticle may send the request again, so what was done once must do no harm a second time.
        """
        return request.audience_subscription_settings
