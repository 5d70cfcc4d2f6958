"""Audience subscriptions: the one request that the partner's own code answers while mParticle waits.

This module is imported only when one arrives: when a customer connects, changes or disconnects an audience. The
partner has a few seconds, in which it may call its API. Any failure is a function error, or a 503: nothing is stored,
and mParticle is told so.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ingest_fn.partner_call import PartnerCall
from ingest_fn.replies import subscribed
from ingest_fn.subscription_settings import problems
from partners import Partner, load_partner
from shared.errors import InvalidRequest, SpillwayError, SubscriptionFailed, raised_at
from shared.firehose import AudienceSubscriptionAction, AudienceSubscriptionRequest, parse_request, rules_unenforced

ALLOWED_S = 3.0
"""The partner's time: far beyond the 200 ms that mParticle asks of 99% of all calls, but such requests are rare."""
RESERVE_S = 1.0
"""The time that the function keeps for itself, to report an error."""


def subscribe(
    env: Mapping[str, str],
    payload: bytes,
    *,
    request_id: str,
    now_ms: int,
    remaining_s: float,
    stored: Callable[[], Iterable[tuple[str, str]]] = tuple,
) -> dict[str, Any]:
    """Answer with the settings to store with the subscription, within `remaining_s` seconds.

    Raises InvalidRequest, InvalidSettings, SubscriptionFailed.
    """
    request = parse_request(payload)
    if not isinstance(request, AudienceSubscriptionRequest):
        raise InvalidRequest("must be an audience subscription", "type")
    partner = load_partner({**env, **dict(stored())})
    allowed_s = min(ALLOWED_S, remaining_s - RESERVE_S)
    settings = in_time(partner, request, request_id=request_id, allowed_s=allowed_s)
    if settings != request.audience_subscription_settings:
        check(settings, request, partner)
    return subscribed(settings, request_id=request_id, now_ms=now_ms)


def in_time(
    partner: Partner, request: AudienceSubscriptionRequest, *, request_id: str, allowed_s: float
) -> Mapping[str, str]:
    """The partner's answer, within `allowed_s` seconds whatever it waits for. Raises SpillwayError.

    The partner runs in a thread: otherwise nothing could end one that looks up a slow name, or reads an answer that
    drips in. A partner that is given up can make no further call; a call it made has the same key in the next attempt.
    """
    account_id = str(request.account.account_id) if request.account else ""
    about = (request_id, account_id, str(request.audience_id), str(request.raw.get("action")))
    call = PartnerCall(about, time.monotonic() + allowed_s)
    came: list[Mapping[str, str] | SpillwayError] = []

    def ask() -> None:
        try:
            came.append(partner.subscribe(request, call))
        except SpillwayError as error:
            came.append(error)
        except Exception as error:  # a partner's code may raise anything
            came.append(SubscriptionFailed(f"{type(error).__name__} in {raised_at(error)}"))

    thread = threading.Thread(target=ask, name="subscribe", daemon=True)
    thread.start()
    thread.join(max(0.0, allowed_s))
    if not came:
        raise SubscriptionFailed(f"the partner took longer than {max(0.0, allowed_s):.1f} s to answer a subscription")
    [result] = came
    if isinstance(result, SpillwayError):
        raise result.with_traceback(None) from None
    return result


def check(settings: object, request: AudienceSubscriptionRequest, partner: Partner) -> None:
    """Compare the settings with the registered ones. Raises SubscriptionFailed, which names them and no value."""
    with rules_unenforced():  # the deploy checked it, or was forced
        declared = partner.registration().audience_processing_registration
    wrong = problems(
        settings,
        came=request.audience_subscription_settings,
        registered=declared.audience_subscription_settings if declared else (),
        needs_all=request.action is not AudienceSubscriptionAction.REMOVE,
    )
    if wrong:
        raise SubscriptionFailed(
            f"the settings that {partner.name} gave do not fit its registration: {'; '.join(wrong)}"
        )
