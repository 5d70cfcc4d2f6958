"""Users who join and leave audiences, and whose attributes change."""

from collections.abc import Iterator, Sequence

from ops.certify.answers import refusals_apart, shapes
from ops.certify.check import Check
from ops.certify.exchange import Exchange, Sent
from ops.certify.objections import Objection
from ops.certify.script import Json, Script
from shared.message import AUDIENCE

_ACTIONS = ("add", "delete", "attribute_update")
_NO_USER = "an audience change of a user without identities"


def _sends(script: Script) -> list[Sent]:
    if AUDIENCE not in script.registered.kinds:
        return []
    sent = []
    for number, action in enumerate(_ACTIONS):
        sent.append(Sent.of(f"an audience change, {action}", _with_action(script.audience(number), action)))
    request = _with_action(script.audience(len(_ACTIONS)), "add")
    request["user_profiles"] = [{"audiences": profile["audiences"]} for profile in request["user_profiles"]]
    return [*sent, Sent.of(_NO_USER, request)]


def _with_action(request: Json, action: str) -> Json:
    for profile in request["user_profiles"]:
        for audience in profile["audiences"]:
            audience["action"] = action
    return request


def _objections(exchanges: Sequence[Exchange], script: Script) -> Iterator[Objection]:
    yield from refusals_apart(
        exchanges,
        _NO_USER,
        (
            "audiences.refused",
            "audience changes are not accepted",
            "accept the actions add, delete and attribute_update, with and without user_attributes",
        ),
        (
            "audiences.bare",
            "an audience change without identities is not accepted",
            "answer it normally: one user who cannot be matched must not stop the others of the request",
        ),
    )
    yield from shapes(exchanges, script.now_ms)


CHECK = Check("audiences", "changes audiences", _sends, _objections, teaches=True)
