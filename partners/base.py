"""The interface of a partner: everything that a partner file may declare.

A partner file holds one subclass of `Partner`. It turns a request into deliveries and does no more than that: no I/O,
no retries, no queue, no clock. The worker sends what it returns, retries, waits and settles.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
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

    `rate` is the endpoint's rate for each customer, in place of `account_rate`. A delivery that names the endpoint
    counts towards it, even if it travels alone. If a call has several lists, `kinds` is the number of items for each
    kind that deliveries name in `Delivery.merge_kind`: `Bulk(150, kinds={"events": 75, "attributes": 75})`.
    """

    items: int
    bytes: int = 1_000_000
    rate: Rate | None = None
    kinds: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.items, self.bytes, *self.kinds.values()) < 1:
            raise ValueError("a bulk endpoint takes at least one item and one byte, and one of each kind")

    def most_of(self, kind: str) -> int:
        """How many items of a kind one call takes."""
        return min(self.items, self.kinds.get(kind, self.items))

    def calls_for(self, counts: Mapping[str, int]) -> int:
        """The number of calls that items of these kinds need, if their bytes allow it."""
        of_kinds = (ceil(count / self.most_of(kind)) for kind, count in counts.items())
        return max(ceil(sum(counts.values()) / self.items), *of_kinds, 0)


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """Headers in which an API says what it still takes: with none remaining, nobody calls until the reset.

    `reset_is` says how the reset is written: `epoch_s` as seconds since 1970, `delta_s` as seconds from now. Of an
    answer's headers only these are kept; a partner's code does not see them.
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
        """The names of the headers, in small letters."""
        return frozenset({self.remaining.lower(), self.reset.lower()})


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the partner's API: for all customers together, for each one, and for each bulk endpoint (by the
    name in `Delivery.merge`).

    If no rate is declared, Spillway learns it from the partner's 429s.
    """

    rate: Rate | None = None
    account_rate: Rate | None = None
    bulk: Mapping[str, Bulk] = field(default_factory=dict)
    rate_headers: RateHeaders | None = None
    """Headers by which each answer says how many calls the API still takes: from each customer if `account_rate` or a
    bulk endpoint's rate is declared, else from all."""


class Result(Enum):
    """The result of one delivery, if the body of an answer names it."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """Not now: it waits, with back-off."""
    REJECTED = "rejected"
    """Never: it is dead-lettered."""
    AGAIN = "again"
    """Only its neighbours are wrong: it is sent again at once, without them."""
    UNAUTHORIZED = "unauthorized"
    """The credentials are wrong, so the whole call counts as answered with 401: they are suspended."""


class Partner(ABC):
    """A partner's API, as Spillway uses it."""

    name: str
    """A short and stable name: it appears in log lines, metrics and dead-letter attributes."""

    in_order: bool = True
    """Send a request's deliveries one after the other. False lets them run side by side."""

    reads: Collection[str] | None = None
    """The fields of a request that the partner's code reads (`{"account"}`, say); None: all. Other objects and lists
    are only in `request.raw`: reading one as a field dead-letters the message. For a partner that passes them on:
    models of all that is in a request would be a third of what a call costs.
    """

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:  # noqa: ARG003 - the default partner needs no settings
        """Build the partner from the function's environment. Raises InvalidSettings, which names the bad variable."""
        return cls()

    limits: Limits = Limits()

    @abstractmethod
    def registration(self) -> "Registration":
        """The registration that mParticle gets when it asks: settings, event types, permissions."""

    @abstractmethod
    def deliveries(self, request: "Request") -> Iterable[Delivery | LeftOut]:
        """Map a request to its calls, in sending order, with a LeftOut for each part that becomes none. Pure: the same
        request always gives the same deliveries.

        A generator is better than a list: the worker asks only for as many deliveries as there is memory for, and may
        stop before the end. Mapping one request may take a fifth of the time that a batch has for its calls.
        """

    def lane_of(self, request: "Request") -> str | None:  # noqa: ARG002
        """The lane of a request, a user's id say: a batch's messages of one lane go one after the other. None: no lane.
        Pure.

        It matters only with `in_order`, and within one batch of one worker: for more, use a FIFO queue.
        """
        return None

    def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:
        """Make one call of deliveries that share an account and a `merge` name. Only partners that name one need it.

        `keys` are their idempotency keys: an item that is sent again, perhaps among other items, has the same key.
        """
        raise NotImplementedError(f"{self.name} names bulk endpoints and does not say how to merge")

    def read_response(
        self,
        deliveries: Sequence[Delivery],  # noqa: ARG002
        status: int,  # noqa: ARG002
        body: bytes,  # noqa: ARG002
    ) -> Sequence[Result] | None:
        """Read from an answer's body the result of each delivery; None: the status decides for all. Pure.

        It is called for every 2xx, and for other answers that have a body, unless the body broke off or is over 1 MiB:
        then the status decides for all. The status keeps its meaning for the account and for the partner: a 401 or 403
        suspends (and this is not called), a Retry-After is obeyed. For a 408, 425, 429 or 5xx only RETRY and AGAIN are
        allowed; a 429 whose items are told apart is about those items, not about the rate.
        If this raises, the deliveries of a 2xx are dead-lettered; with another status, the status decides.
        """
        return None

    def ping(self, settings: Mapping[str, str]) -> Delivery | None:  # noqa: ARG002
        """A harmless call that shows whether the partner answers and accepts a customer's account `settings`; None if
        there is none. `spillway doctor` makes it.
        """
        return None

    def subscribe(self, request: "AudienceSubscriptionRequest", call: "Call") -> Mapping[str, str]:  # noqa: ARG002
        """Answer an audience subscription with the settings to store with it; by default, as they came.

        mParticle waits meanwhile, for three seconds at most: `call` asks the partner's API in that time
        (partners/in_line.py). The settings returned must be registered as `audience_subscription_settings`. Raise
        SubscriptionFailed if the partner refuses; mParticle may repeat the request, so repeating it must do no harm.
        """
        return request.audience_subscription_settings
