"""Values that a later version of mParticle's SDK may add: one unknown value must not cost a whole batch."""

from collections.abc import Callable, Iterator, Sequence

from ops.certify.answers import refusals, shapes
from ops.certify.check import Check
from ops.certify.exchange import Exchange, Sent
from ops.certify.objections import Objection
from ops.certify.script import Json, Script
from shared.message import AUDIENCE, EVENTS

NEW = "certify_new_value"


def _event_type(request: Json) -> None:
    request["events"] = [*request["events"], _first(request) | {"type": NEW}]


def _user_identity(request: Json) -> None:
    known = request.get("user_identities") or []
    request["user_identities"] = [*known, {"type": NEW, "encoding": "raw", "value": "made-up"}]


def _device_identity(request: Json) -> None:
    environment = request.get("runtime_environment") or {"type": "unknown"}
    known = environment.get("identities") or []
    identities = [*known, {"type": NEW, "encoding": "raw", "value": "made-up"}]
    request["runtime_environment"] = environment | {"identities": identities}


def _environment(request: Json) -> None:
    request["runtime_environment"] = {"type": NEW, "os_version": "1"}


def _fields(request: Json) -> None:
    request |= {NEW: {"a": [1, None]}, "account": request["account"] | {NEW: True}}
    if request["type"] == EVENTS:
        request["events"] = [event | {NEW: "made-up"} for event in request["events"]]


def _enum(request: Json) -> None:
    event = _first(request) | {"type": "custom_event", "name": "made-up", "custom_event_type": NEW}
    request["events"] = [event]


def _notification(request: Json) -> None:
    request["system_notifications"] = [{"type": NEW, "purpose": "made-up"}]


def _version(request: Json) -> None:
    request["firehose_version"] = "9.9.0"


def _no_version(request: Json) -> None:
    del request["firehose_version"]


def _action(request: Json) -> None:
    for profile in request["user_profiles"]:
        profile["audiences"] = [audience | {"action": NEW} for audience in profile["audiences"]]


def _first(request: Json) -> Json:
    return dict(request["events"][0])


_CHANGES: tuple[tuple[str, str, str, Callable[[Json], None]], ...] = (
    (EVENTS, "newer.event_type", "an unknown event type", _event_type),
    (EVENTS, "newer.identity_type", "an unknown user identity type", _user_identity),
    (EVENTS, "newer.device_identity_type", "an unknown device identity type", _device_identity),
    (EVENTS, "newer.environment", "an unknown runtime environment", _environment),
    (EVENTS, "newer.enum", "an unknown custom_event_type", _enum),
    (EVENTS, "newer.notification", "an unknown system notification", _notification),
    (EVENTS, "newer.field", "unknown fields in an event request", _fields),
    (EVENTS, "newer.version", "a newer firehose_version", _version),
    (EVENTS, "newer.no_version", "no firehose_version", _no_version),
    (AUDIENCE, "newer.audience_action", "an unknown action of an audience", _action),
    (AUDIENCE, "newer.audience_field", "unknown fields in an audience change", _fields),
)


def _sends(script: Script) -> list[Sent]:
    sent = []
    for number, (kind, _, label, change) in enumerate(_CHANGES):
        if script.can_send(kind):
            request = script.plain(kind, number)
            change(request)
            sent.append(Sent.of(label, request))
    return sent


def _objections(exchanges: Sequence[Exchange], script: Script) -> Iterator[Objection]:
    ids = {label: id_ for _, id_, label, _ in _CHANGES}
    for one in exchanges:
        yield from refusals(
            [one],
            ids[one.sent.label],
            "a request with something new in it is not accepted",
            "ignore what is not known, or pass it on, and accept the rest: mParticle adds values without asking",
        )
    yield from shapes(exchanges, script.now_ms)


CHECK = Check("newer", "sends what is newer than the SDK", _sends, _objections)
