"""`spillway sample`: the requests of testkit/requests as text."""

import json
from collections.abc import Iterator, Mapping

from shared.errors import InvalidSettings
from testkit.requests import ENVIRONMENTS, KINDS, make_request


def texts(
    kind: str,
    *,
    seed: int,
    count: int | None,
    events: int | None,
    environment: str | None,
    account_id: int | None,
    settings: Mapping[str, str],
) -> Iterator[str]:
    """Yield one request, indented; or `count` of them, from `seed` on, a line each.

    Raises InvalidSettings for an unknown type or environment, and for an option that does not apply to the type.
    """
    for name, chosen, known in (("TYPE", kind, KINDS), ("--environment", environment, ENVIRONMENTS)):
        if chosen is not None and chosen not in known:
            raise InvalidSettings(f"{name} must be one of {', '.join(known)}")
    for name, given in (("--events", events), ("--environment", environment)):
        if given is not None and kind != "event_processing_request":
            raise InvalidSettings(f"{name} is for event_processing_request: leave it out")
    if kind == "module_registration_request" and (account_id is not None or settings):
        raise InvalidSettings("a module_registration_request has no account: leave --account-id and --setting out")
    for number in range(seed, seed + (count or 1)):
        made = make_request(
            kind, seed=number, events=events, environment=environment, account_id=account_id, settings=settings
        )
        yield json.dumps(made, ensure_ascii=False, indent=None if count else 2)
