"""Valid requests of every kind, made from a seed: traffic for tests, for the demo and for trying a partner out.

Pure and repeatable: the same arguments give the same request, ids and times included. Successive seeds go round all
environments and all event types, so that a handful of requests covers the protocol.
"""

from collections.abc import Mapping

from testkit.requests.audiences import audience_subscription, user_profile
from testkit.requests.dice import Dice, Json
from testkit.requests.environments import ENVIRONMENTS
from testkit.requests.erasures import dsr_processing
from testkit.requests.event_requests import event_processing
from testkit.requests.events import EVENT_TYPES
from testkit.requests.people import account

__all__ = ["ENVIRONMENTS", "EVENT_TYPES", "KINDS", "make_request"]

KINDS = (
    "module_registration_request",
    "event_processing_request",
    "audience_membership_change_request",
    "audience_subscription_request",
    "dsr_processing_request",
)


def make_request(
    kind: str,
    *,
    seed: int,
    events: int | None = None,
    environment: str | None = None,
    account_id: int | None = None,
    settings: Mapping[str, str] | None = None,
) -> Json:
    """Make a request of one of `KINDS`, as a Lambda runtime would hand it over (JSON types only).

    `events` is the number of events (0 makes a verification probe) and `environment` the type of device; both matter to
    event requests alone. `account_id` is the integration's account; `settings` are account settings beside the usual
    ones. Raises ValueError for a kind or environment that there is not.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    if environment is not None and environment not in ENVIRONMENTS:
        raise ValueError(f"environment must be one of {', '.join(ENVIRONMENTS)}")
    dice = Dice(kind, seed, settings or {})
    request = {
        "type": kind,
        "id": dice.uuid(),
        "timestamp_ms": dice.now_ms,
        "firehose_version": "3.2.0",
    }
    match kind:
        case "event_processing_request":
            request |= event_processing(dice, events, environment, account_id)
        case "audience_membership_change_request":
            profiles = {"account": account(dice, account_id)}
            request |= profiles | {"user_profiles": dice.some(lambda: user_profile(dice), 1, 3)}
        case "audience_subscription_request":
            request |= audience_subscription(dice, account_id)
        case "dsr_processing_request":
            request |= dsr_processing(dice, account_id)
    return request
