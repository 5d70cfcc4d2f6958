"""The only module of ingest that calls a partner: for audience subscriptions, which are answered in line."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

from partners import Delivery
from partners.in_line import Answer
from partners.wire import body_of, headers_of
from shared.errors import SubscriptionFailed
from shared.partner_http import call, request_of

RETRIED = frozenset({408, 425, 429})
"""With 5xx: the partner is busy or down, and the same call may succeed later. As in worker_fn/dispatch/classify.py."""


class PartnerCall:
    """Makes a partner's calls for one request, all of them before `give_up_at` (on `clock`). See partners.in_line.Call.

    `about` is what the request is: the keys of its calls are made of it.
    """

    def __init__(
        self,
        about: tuple[str, ...],
        give_up_at: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._about = about
        self._give_up_at = give_up_at
        self._clock = clock
        self._wall_clock = wall_clock
        self._seen: Counter[tuple[str, str]] = Counter()

    def __call__(self, delivery: Delivery) -> Answer:
        """Raises SubscriptionFailed, and ValueError or TypeError for what HTTP has no form for."""
        headers = headers_of(delivery, idempotency_key=self._key(delivery), now_s=self._wall_clock())
        request = request_of(delivery.method, delivery.url, headers, body_of(delivery))
        left_s = self._give_up_at - self._clock()
        answer = call(request, timeout_s=left_s) if left_s > 0 else None
        if answer is None or answer.fault == "timeout":
            raise SubscriptionFailed("the partner did not answer in time")
        if answer.status is None:
            raise SubscriptionFailed("the partner gave no answer")
        if answer.status in RETRIED or answer.status >= 500:
            raise SubscriptionFailed(f"the partner answered HTTP {answer.status}")
        return Answer(answer.status, answer.body)

    def _key(self, delivery: Delivery) -> str:
        """The same whenever mParticle sends the same request again."""
        endpoint = f"{delivery.method} {urlsplit(delivery.url).path}"
        self._seen[endpoint, delivery.item] += 1
        parts = (*self._about, endpoint, delivery.item, str(self._seen[endpoint, delivery.item]))
        return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
