"""Events from every environment and of every type that the integration registered."""

from collections.abc import Iterator, Sequence

from ops.certify.answers import refusals_apart, shapes
from ops.certify.check import Check
from ops.certify.exchange import Exchange, Sent
from ops.certify.objections import Objection
from ops.certify.script import Script
from shared.message import EVENTS

_OPTIONAL = ("runtime_environment", "user_identities", "user_attributes", "user_attribute_lists", "source_channel")


def _sends(script: Script) -> list[Sent]:
    """One request an environment; the types are spread over them, so that each is sent at least once."""
    registered = script.registered
    if EVENTS not in registered.kinds or not registered.environments or not registered.event_types:
        return []
    count, types = len(registered.environments), registered.event_types
    sent = []
    for number, environment in enumerate(registered.environments):
        chosen = types[number::count] or (types[number % len(types)],)
        request = script.events(number, environment, chosen)
        sent.append(Sent.of(f"{', '.join(chosen)} from {environment}", request))
    bare = script.plain(EVENTS, count)
    sent.append(Sent.of(_BARE, {name: value for name, value in bare.items() if name not in _OPTIONAL}))
    return sent


_BARE = "an event without environment, identities and attributes"


def _objections(exchanges: Sequence[Exchange], script: Script) -> Iterator[Objection]:
    yield from refusals_apart(
        exchanges,
        _BARE,
        (
            "events.refused",
            "events are not accepted",
            "accept every event type and environment that is registered, or register fewer",
        ),
        (
            "events.bare",
            "a batch without what is optional is not accepted",
            "expect account and events and nothing else: a user may have no identity, a batch no runtime_environment",
        ),
    )
    yield from shapes(exchanges, script.now_ms)


CHECK = Check("events", "sends events from every environment", _sends, _objections, teaches=True)
