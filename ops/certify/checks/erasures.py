"""Data subject requests: erasure alone. Once it is answered, the duty is the integration's."""

from collections.abc import Iterator, Sequence

from ops.certify.answers import refusals, shapes
from ops.certify.check import Check
from ops.certify.exchange import Exchange, Sent
from ops.certify.objections import Objection
from ops.certify.script import Json, Script
from shared.message import ERASURE

_PLAIN, _NO_ACCOUNT = "an erasure request", "an erasure request without an account"
_ISO, _EXTENDED = "an erasure request with an ISO 8601 time", "an erasure request with extensions"


def _sends(script: Script) -> list[Sent]:
    if ERASURE not in script.registered.kinds:
        return []
    plain, no_account, iso, extended = (
        script.erasure(number) | {"submitted_time": script.now_ms // 1000} for number in range(4)
    )
    del no_account["account"]
    iso["submitted_time"] = "2026-02-03T04:05:06.789Z"
    extended |= _EXTENSIONS
    return [
        Sent.of(_PLAIN, plain),
        Sent.of(_NO_ACCOUNT, no_account),
        Sent.of(_ISO, iso),
        Sent.of(_EXTENDED, extended),
    ]


_EXTENSIONS: Json = {
    "status_callback_urls": ["https://opendsr.example/callback"],
    "extensions": {"opendsr.example": {"skip_waiting_period": True}},
}


def _objections(exchanges: Sequence[Exchange], script: Script) -> Iterator[Objection]:
    by_label = {one.sent.label: one for one in exchanges}
    plain = [one for one in exchanges if one.sent.label == _PLAIN]
    yield from refusals(
        plain,
        "erasures.refused",
        "an erasure request is not accepted",
        "accept dsr_processing_request, or leave dsr_processing_registration out",
    )
    if plain and plain[0].accepted:
        for label, id_, mend in (
            (_NO_ACCOUNT, "erasures.no_account", "do without account: mParticle's own example has none"),
            (_ISO, "erasures.time", "read submitted_time as seconds since 1970 (integer or decimal) and as ISO 8601"),
            (_EXTENDED, "erasures.extensions", "ignore fields that are not known"),
        ):
            varied = [by_label[label]] if label in by_label else []
            yield from refusals(varied, id_, "a variant of an erasure request is not accepted", mend)
    yield from shapes(exchanges, script.now_ms)


CHECK = Check("erasures", "asks for erasure", _sends, _objections, teaches=True)
