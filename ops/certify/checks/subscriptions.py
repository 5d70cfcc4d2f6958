"""A customer connects an audience: the only request whose answer holds settings to store, and it may be repeated."""

from collections.abc import Iterator, Sequence
from typing import Any

from ingest_fn.replies import SUBSCRIPTION
from ops.certify.answers import refusals, shapes
from ops.certify.check import Check
from ops.certify.exchange import Exchange, Sent
from ops.certify.objections import Objection
from ops.certify.script import Script

_AGAIN = "the same subscription again"


def _sends(script: Script) -> list[Sent]:
    if SUBSCRIPTION not in script.registered.kinds:
        return []
    add = script.subscription(0, "add")
    steps = {
        "a new subscription": add,
        _AGAIN: add,
        "a changed subscription": script.subscription(0, "update") | {"audience_id": add["audience_id"]},
        "a removed subscription": script.subscription(0, "remove") | {"audience_id": add["audience_id"]},
    }
    return [Sent.of(label, request) for label, request in steps.items()]


def _objections(exchanges: Sequence[Exchange], script: Script) -> Iterator[Objection]:
    yield from refusals(
        exchanges,
        "subscriptions.refused",
        "an audience subscription is not answered",
        "answer add, update and remove, also when they come twice: after repeated failures mParticle faults the"
        " connection until the customer resumes it. A partner that rejects made-up credentials needs working ones:"
        " --setting NAME=VALUE",
    )
    yield from shapes(exchanges, script.now_ms)
    declared = {setting.id for setting in script.registered.audience_settings}
    for one in exchanges:
        if one.accepted:
            yield from _settings(one, declared)
    yield from _repeated(exchanges)


def _settings(exchange: Exchange, declared: set[str]) -> Iterator[Objection]:
    found = _stored(exchange)
    if found is None:
        return
    to = exchange.sent.label
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        yield Objection(
            "subscriptions.settings",
            "audience_subscription_settings in the answer is no object of texts",
            'write it as {"name": "text"}; numbers and flags as text, too',
            to,
        )
        return
    for name in sorted(found.keys() - declared):
        yield Objection(
            "subscriptions.undeclared",
            f"the answer stores the setting {name!r}, which is not registered",
            "declare it in audience_processing_registration.audience_subscription_settings"
            ' (with "visible": false if the customer need not see it)',
            to,
        )


def _repeated(exchanges: Sequence[Exchange]) -> Iterator[Objection]:
    if len(exchanges) < 2 or not all(one.accepted for one in exchanges[:2]):
        return
    if _stored(exchanges[0]) != _stored(exchanges[1]):
        yield Objection(
            "subscriptions.repeated",
            "the same subscription sent twice is answered with different settings",
            "look up what the first one created (by audience_id and account) in place of creating it again:"
            " mParticle repeats a request whose answer was lost",
        )


def _stored(exchange: Exchange) -> Any:
    found = exchange.answer.json()
    return found.get("audience_subscription_settings") if isinstance(found, dict) else None


CHECK = Check("subscriptions", "subscribes audiences", _sends, _objections)
