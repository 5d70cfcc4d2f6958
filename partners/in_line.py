"""Only a partner's `subscribe` may call the partner's API: it does so while mParticle waits."""

from collections.abc import Callable
from dataclasses import dataclass, field

from partners.delivery import Delivery


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, redirects included, which are not followed."""

    status: int
    body: bytes = field(default=b"", repr=False)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


Call = Callable[[Delivery], Answer]
"""Make one call within the time that is left, with an Idempotency-Key that is the same when mParticle sends the request
again. `item` tells several calls to one endpoint apart; `merge` has no effect here.

Raises SubscriptionFailed if trying again may help: without an answer in time, and for 408, 425, 429 and 5xx. Do not
catch it. Every other answer is the partner's to judge: a 409 may say that the list is there already.
"""
