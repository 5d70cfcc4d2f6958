"""One side's run, to count."""

from collections.abc import Sequence

from ops.local.mparticle import Ended, Invocation, Parcel
from ops.local.partner_api import PartnerLedger

BEGAN_S = 1000.0


def invocation(
    events: Sequence[str],
    outcome: Ended = Ended.ACCEPTED,
    *,
    at_s: float = 0.0,
    answer_ms: float = 10.0,
) -> Invocation:
    return Invocation(Parcel(b"{}", tuple(events)), BEGAN_S + at_s, answer_ms, outcome, 200, b"")


def ledger(*arrivals: tuple[str, float]) -> PartnerLedger:
    booked = PartnerLedger()
    for event_id, at_s in arrivals:
        booked.arrivals.setdefault(event_id, []).append(BEGAN_S + at_s)
        booked.accepted_s.append(BEGAN_S + at_s)
    return booked
