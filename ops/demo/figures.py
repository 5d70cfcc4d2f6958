"""The figures of a demo's run: the summary of each side, its customers and its timeline.

Pure: invocations, the partner's ledger and what is left in the queues in, numbers out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor

from ops.local.mparticle import Ended, Invocation
from ops.local.partner_api import Call, PartnerLedger
from testkit.percentile import percentile

NEWS_S = 1.5
"""For this long after a 429 was sent other workers may still call: a worker reads the fleet's state once a second, and
the cool-down must be written before."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment: the queues, how long the oldest event has waited that can arrive, and what the fleet knows of its
    partner.
    """

    at_s: float
    visible: int
    in_flight: int
    oldest_s: float
    parked: int = 0
    dead: int = 0
    limit_per_s: float | None = None
    breaker_open: bool = False
    cooling: bool = False
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: its reason, and the events in it."""

    reason: str
    error: str
    event_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remains:
    """The content of the queues when a run is over."""

    letters: Sequence[Letter] = ()
    parked: frozenset[str] = frozenset()
    """Events in the parking queue."""
    waiting: int = 0
    """Messages on the main queue; they are hidden, and only their number can be told."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The outcome that the scenario intends."""

    refused: frozenset[str] = frozenset()
    """Events that the partner never takes: they belong in the dead-letter queue."""
    never: frozenset[str] = frozenset()
    """Events that can not arrive, those included."""
    stay: int = 0
    """Messages that are on the main queue when all is done."""
    rate_per_s: float | None = None
    """The partner's rate for all customers together."""
    account_rate_per_s: float | None = None
    """Its rate for each customer; if it limits customers, this is the allowance."""
    outages: Sequence[tuple[float, float]] = ()
    """Seconds after the beginning."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Customers that have a part to play."""


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer's events; times are seconds from the answer to mParticle until the partner had the event."""

    account_id: int
    name: str
    accepted: int
    delivered: int
    parked: int
    dead: int
    p50_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """One side's numbers, as they stand in `report.json`."""

    invocations: int
    accepted: int
    throttled: int
    failed: int
    answer_ms_p50: float | None
    """Of accepted invocations only: a throttled one is answered at once, which would flatter a design that throttles.
    """
    answer_ms_p99: float | None
    events_sent: int
    """In all requests, accepted or not."""
    events_accepted: int
    delivered: int
    """Different events that reached the partner."""
    duplicates: int
    lost: int
    """Events of accepted requests that are nowhere: not at the partner, not in a queue."""
    waiting: int
    """Messages still on the main queue that should not be there any more."""
    parked: int
    """Events that wait for their customer's credentials."""
    dead_lettered: Mapping[str, int]
    """Messages in the dead-letter queue, by reason."""
    false_dead_letters: int
    """Events there that the partner would have taken."""
    refused: int
    """Calls that the partner answered with 429."""
    errors: int
    """Calls that it answered with 5xx."""
    allowance_used: float | None
    """The share of the allowance that was used while a second's worth or more was waiting. None: nothing ever waited,
    or the partner takes everything."""
    calls_during_cooldown: int
    """Calls that came after workers could know of a 429, and before the end of its Retry-After."""
    undelivered: int
    """Events of accepted requests that were still on their way to a partner that takes them when the demo gave up."""
    drain_s: float | None
    """From the last answer to mParticle until the last delivery; None: it was not reached."""
    busy_elsewhere: float | None
    """Share of the processors that other work on this machine took meanwhile; None: it was not measured."""
    customers: Sequence[Customer]


@dataclass(frozen=True, slots=True)
class Side:
    """One design's run: what mParticle, the partner and the queues saw. Times share one clock."""

    began_s: float
    invocations: Sequence[Invocation]
    ledger: PartnerLedger
    samples: Sequence[Sample] = ()
    remains: Remains = field(default_factory=Remains)
    expected: Expected = field(default_factory=Expected)
    busy_elsewhere: float | None = None
    accounted: str = ""
    """The ledger by the functions' own facts; empty for a design that writes none."""


def summarise(side: Side) -> Summary:
    """Count one side's run. Events are told apart by id, at mParticle's end and at the partner's."""
    by_outcome = {outcome: [one for one in side.invocations if one.outcome is outcome] for outcome in Ended}
    accepted = by_outcome[Ended.ACCEPTED]
    answers_ms = [one.answer_ms for one in accepted]
    answered_s = max((_answered_s(one) for one in side.invocations), default=side.began_s)
    delivered_s = max(side.ledger.accepted_s, default=answered_s)
    dead = {event_id for letter in side.remains.letters for event_id in letter.event_ids}
    lost = _lost(side, dead)
    undelivered = len(_on_their_way(side, accepted, dead).difference(lost))
    return Summary(
        invocations=len(side.invocations),
        accepted=len(accepted),
        throttled=len(by_outcome[Ended.THROTTLED]),
        failed=len(by_outcome[Ended.FAILED]),
        answer_ms_p50=_rounded(percentile(answers_ms, 0.50)),
        answer_ms_p99=_rounded(percentile(answers_ms, 0.99)),
        events_sent=sum(len(one.parcel.event_ids) for one in side.invocations),
        events_accepted=len({event_id for one in accepted for event_id in one.parcel.event_ids}),
        delivered=side.ledger.delivered,
        duplicates=side.ledger.duplicates,
        lost=len(lost),
        waiting=max(0, side.remains.waiting - side.expected.stay),
        parked=len(side.remains.parked),
        dead_lettered=dict(sorted(Counter(letter.reason for letter in side.remains.letters).items())),
        false_dead_letters=len(dead - side.ledger.arrivals.keys() - side.expected.refused),
        refused=len(side.ledger.refused_s),
        errors=len(side.ledger.failed_s),
        allowance_used=allowance_used(side),
        calls_during_cooldown=len(calls_during_cooldown(side.ledger.calls)),
        undelivered=undelivered,
        drain_s=None if undelivered else round(max(delivered_s - answered_s, 0.0), 1),
        busy_elsewhere=_rounded(side.busy_elsewhere, 2),
        customers=customers(side),
    )


def _on_their_way(side: Side, accepted: Iterable[Invocation], dead: set[str]) -> set[str]:
    """Events that the partner would take, and that reached neither it nor another end."""
    ended = side.ledger.arrivals.keys() | side.expected.never | dead | side.remains.parked
    return {event_id for one in accepted for event_id in one.parcel.event_ids} - ended


def _lost(side: Side, dead: set[str]) -> list[str]:
    """Events that are nowhere. Each message that waits on the main queue may hold the events of one request."""
    found = side.ledger.arrivals.keys() | dead | side.remains.parked
    missing = [
        [event_id for event_id in one.parcel.event_ids if event_id not in found]
        for one in side.invocations
        if one.outcome is Ended.ACCEPTED
    ]
    nowhere = sorted(filter(None, missing), key=len, reverse=True)
    return [event_id for events in nowhere[side.remains.waiting :] for event_id in events]


def customers(side: Side) -> list[Customer]:
    """Each customer's events, by account id. A request that names none counts for nobody."""
    accepted: dict[int, list[Invocation]] = defaultdict(list)
    for one in side.invocations:
        if one.outcome is Ended.ACCEPTED and one.parcel.account_id is not None:
            accepted[one.parcel.account_id].append(one)
    dead = {event_id for letter in side.remains.letters for event_id in letter.event_ids}
    found = []
    for account_id, invocations in sorted(accepted.items()):
        ids = {event_id for one in invocations for event_id in one.parcel.event_ids}
        took_s = [took for one in invocations for took in waits_s(one, side.ledger)]
        found.append(
            Customer(
                account_id,
                side.expected.names.get(account_id, ""),
                accepted=len(ids),
                delivered=len(ids & side.ledger.arrivals.keys()),
                parked=len(ids & side.remains.parked),
                dead=len(ids & dead - side.ledger.arrivals.keys()),
                p50_s=_rounded(percentile(took_s, 0.50), 2),
                p99_s=_rounded(percentile(took_s, 0.99), 2),
            )
        )
    return found


def waits_s(invocation: Invocation, ledger: PartnerLedger) -> list[float]:
    """The time of each event of an accepted request from the answer to the partner; 0 if it was there before."""
    arrivals = (ledger.arrivals.get(event_id) for event_id in invocation.parcel.event_ids)
    return [max(0.0, times_s[0] - _answered_s(invocation)) for times_s in arrivals if times_s]


def calls_during_cooldown(calls: Iterable[Call]) -> list[Call]:
    """Calls that came while a Retry-After of the same customer still held, later than the news of it takes to spread.

    They are counted where they do harm, at the partner, which cannot tell which worker knew what.
    """
    calls = sorted(calls, key=lambda call: call.at_s)
    pauses = [
        (call.answered_s + NEWS_S, call.answered_s + call.retry_after_s, call.account_id)
        for call in calls
        if call.retry_after_s is not None
    ]
    return [
        call
        for call in calls
        if any(begin_s < call.at_s < end_s and account_id == call.account_id for begin_s, end_s, account_id in pauses)
    ]


def allowance_used(side: Side) -> float | None:
    """Deliveries over what the partner allowed, in the seconds that began with at least a second's worth waiting.

    Where it limits customers, each of those with a backlog has an allowance; where it limits all together, there is
    one. Seconds in which the partner was down do not count.
    """
    rate_per_s = side.expected.account_rate_per_s or side.expected.rate_per_s
    if rate_per_s is None:
        return None
    accepted_s: dict[int | None, list[float]] = defaultdict(list)
    arrived_s: dict[int | None, list[float]] = defaultdict(list)
    for one in side.invocations:
        if one.outcome is not Ended.ACCEPTED:
            continue
        group = one.parcel.account_id if side.expected.account_rate_per_s else None
        for event_id in set(one.parcel.event_ids) - side.expected.never:
            accepted_s[group].append(_answered_s(one) - side.began_s)
            arrived_s[group] += [at_s - side.began_s for at_s in side.ledger.arrivals.get(event_id, [])[:1]]
    used = allowed = 0.0
    for group, times_s in accepted_s.items():
        came, went = _per_second(times_s), _per_second(arrived_s[group])
        backlog = 0
        for second in range(max([*came, *went], default=-1) + 1):
            down = any(begin_s < second + 1 and second < end_s for begin_s, end_s in side.expected.outages)
            if backlog >= rate_per_s and not down:
                used += went[second]
                allowed += rate_per_s
            backlog += came[second] - went[second]
    return round(used / allowed, 3) if allowed else None


def _per_second(times_s: Iterable[float]) -> Counter[int]:
    return Counter(max(0, floor(at_s)) for at_s in times_s)


def _answered_s(invocation: Invocation) -> float:
    return invocation.started_s + invocation.answer_ms / 1000


def timeline(side: Side) -> list[dict[str, float]]:
    """What happened in each second of the run; queue figures are the last known at its end."""
    moments = [one.started_s for one in side.invocations]
    moments += [*side.ledger.accepted_s, *side.ledger.refused_s, *side.ledger.failed_s]
    moments += [sample.at_s for sample in side.samples]
    seconds = floor(max(moments, default=side.began_s) - side.began_s) + 1

    def per_second(times_s: Iterable[float]) -> list[int]:
        counts = [0] * seconds
        for at_s in times_s:
            counts[min(max(floor(at_s - side.began_s), 0), seconds - 1)] += 1
        return counts

    columns: dict[str, Sequence[float]] = {
        str(outcome): per_second(one.started_s for one in side.invocations if one.outcome is outcome)
        for outcome in Ended
    }
    columns["delivered"] = per_second(side.ledger.accepted_s)
    columns["refused"] = per_second(side.ledger.refused_s)
    columns["errors"] = per_second(side.ledger.failed_s)
    columns |= _queue_columns(side, seconds)
    return [{"t_s": t, **{name: column[t] for name, column in columns.items()}} for t in range(seconds)]


def _queue_columns(side: Side, seconds: int) -> dict[str, Sequence[float]]:
    columns: dict[str, list[float]] = defaultdict(list)
    samples, known, last = sorted(side.samples, key=lambda sample: sample.at_s), 0, Sample(0, 0, 0, 0)
    for second in range(seconds):
        while known < len(samples) and samples[known].at_s - side.began_s < second + 1:
            last = samples[known]
            known += 1
        columns["queue_visible"].append(last.visible)
        columns["queue_in_flight"].append(last.in_flight)
        columns["parked"].append(last.parked)
        columns["dead"].append(last.dead)
        columns["oldest_s"].append(round(last.oldest_s, 1))
        columns["limit_per_s"].append(round(last.limit_per_s or 0.0, 1))
        columns["breaker_open"].append(int(last.breaker_open))
        columns["cooling"].append(int(last.cooling))
        columns["paused"].append(int(last.paused))
    return {**columns}


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)
