"""mParticle verifies now and then that an integration answers: requests of the usual kinds with nothing in them."""

from collections.abc import Iterator, Sequence

from ops.certify.answers import refusals, shapes
from ops.certify.check import Check
from ops.certify.exchange import Exchange, Sent
from ops.certify.objections import Objection
from ops.certify.script import CERTIFY_ACCOUNT_ID, Json, Script
from ops.console.findings import Severity
from shared.message import AUDIENCE, EVENTS

_NO_EVENTS, _EVENTS_MISSING = "a probe with no events", "a batch whose events are missing"
_NO_PROFILES, _EMPTY_PROFILES = "a probe without user_profiles", "a probe with empty user_profiles"


def _sends(script: Script) -> list[Sent]:
    sent = []
    if EVENTS in script.registered.kinds:
        sent += [Sent.of(_NO_EVENTS, _empty(script, EVENTS, 0) | {"events": []})]
        sent += [Sent.of(_EVENTS_MISSING, _empty(script, EVENTS, 1))]
    if AUDIENCE in script.registered.kinds:
        sent += [Sent.of(_NO_PROFILES, _empty(script, AUDIENCE, 2))]
        sent += [Sent.of(_EMPTY_PROFILES, _empty(script, AUDIENCE, 3) | {"user_profiles": []})]
    return sent


def _empty(script: Script, kind: str, number: int) -> Json:
    account = {"account_id": CERTIFY_ACCOUNT_ID, "account_settings": {}}
    return script.fresh({"type": kind, "firehose_version": "3.2.0", "account": account}, number)


def _objections(exchanges: Sequence[Exchange], script: Script) -> Iterator[Objection]:
    by_label = {one.sent.label: one for one in exchanges}
    for label, id_, field in (
        (_NO_EVENTS, "probe.events", "events: []"),
        (_NO_PROFILES, "probe.user_profiles", "no user_profiles"),
    ):
        yield from refusals(
            [by_label[label]] if label in by_label else [],
            id_,
            "mParticle's verification is not answered normally",
            f"answer a request with {field} as any other: there is nothing to forward, and that is no error",
        )
    for label in (_EVENTS_MISSING, _EMPTY_PROFILES):
        for objection in refusals(
            [by_label[label]] if label in by_label else [],
            "probe.missing_list",
            "an empty list is answered, one that is missing is not, or the other way round",
            "treat a list that is missing, null or empty alike: mParticle's SDK leaves empty lists out when it writes",
        ):
            if by_label[_NO_EVENTS if label is _EVENTS_MISSING else _NO_PROFILES].accepted:
                yield Objection(objection.id, objection.message, objection.mend, objection.to, Severity.WARNING)
    yield from shapes(exchanges, script.now_ms)


CHECK = Check("probes", "verifies", _sends, _objections)
