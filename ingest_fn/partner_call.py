"""The only module of ingest that calls a partner: for audience subscriptions, which are answered in line."""

import time

from partners import Delivery
from partners.in_line import Answer
from partners.wire import body_of, headers_of
from shared.errors import SubscriptionFailed
from shared.idempotency import Places, key_of
from shared.partner_http import call, is_for_later, request_of


class PartnerCall:
    """Makes a partner's calls for one request, all of them before `give_up_at` (on time.monotonic's clock). It is a
    partners.in_line.Call.

    `about` describes the request: the calls' keys are made of it, the same whenever mParticle repeats the request.
    """

    def __init__(self, about: tuple[str, ...], give_up_at: float) -> None:
        self._about = about
        self._give_up_at = give_up_at
        self._places = Places()

    def __call__(self, delivery: Delivery) -> Answer:
        """Make a call. Raises SubscriptionFailed, and ValueError or TypeError for a call that HTTP cannot carry."""
        key = key_of(*self._about, *self._places.next(delivery.method, delivery.url, delivery.item))
        headers = headers_of(delivery, idempotency_key=key, now_s=time.time())
        request = request_of(delivery.method, delivery.url, headers, body_of(delivery))
        left_s = self._give_up_at - time.monotonic()
        answer = call(request, timeout_s=left_s) if left_s > 0 else None
        if answer is None or answer.fault == "timeout":
            raise SubscriptionFailed("the partner did not answer in time")
        if answer.status is None:
            raise SubscriptionFailed("the partner gave no answer")
        if is_for_later(answer.status):
            raise SubscriptionFailed(f"the partner answered HTTP {answer.status}")
        return Answer(answer.status, answer.body)
