"""The demo's figures: the summary of each side, the timeline, the table and `report.json`.

Pure: invocations, the partner's ledger and what is left in the queues in, numbers out. `report_page.py` makes the HTML
page of the same numbers.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import floor
from typing import Any

import orjson
from rich.table import Table
from rich.text import Text

from ops.console.screen import BAD
from ops.local.mparticle import Invocation, Outcome
from ops.local.partner_api import Call, PartnerLedger
from testkit.percentile import percentile

BAD_WHEN_ANY = frozenset({"throttled", "failed", "lost", "false_dead_letters", "undelivered"})
"""The counts that should be nought."""
BUSY = 0.25
"""From this share of the processors on, other work may have made a run late: half a core of two."""
DIRECT, SPILLWAY = "direct", "Spillway"
"""The sides' names."""
NEWS_S = 1.5
"""For so long after a 429 was sent other workers may still call: a worker looks once a second at what the fleet knows,
and the cool-down must be written before."""


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
    """Events that the partner never takes: they belong into the dead-letter queue."""
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
    """Of the accepted invocations: a throttled one is answered at once and would flatter whoever
    throttles.
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
    """The ledger by what the functions wrote themselves; nothing of a design that writes nothing."""


def summarise(side: Side) -> Summary:
    """Count one side's run. Events are told apart by id, at mParticle's end and at the partner's."""
    by_outcome = {outcome: [one for one in side.invocations if one.outcome is outcome] for outcome in Outcome}
    accepted = by_outcome[Outcome.ACCEPTED]
    answers_ms = [one.answer_ms for one in accepted]
    answered_s = max((_answered_s(one) for one in side.invocations), default=side.began_s)
    delivered_s = max(side.ledger.accepted_s, default=answered_s)
    dead = {event_id for letter in side.remains.letters for event_id in letter.event_ids}
    lost = _lost(side, dead)
    undelivered = len(_on_their_way(side, accepted, dead).difference(lost))
    return Summary(
        invocations=len(side.invocations),
        accepted=len(accepted),
        throttled=len(by_outcome[Outcome.THROTTLED]),
        failed=len(by_outcome[Outcome.FAILED]),
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
        if one.outcome is Outcome.ACCEPTED
    ]
    nowhere = sorted(filter(None, missing), key=len, reverse=True)
    return [event_id for events in nowhere[side.remains.waiting :] for event_id in events]


def customers(side: Side) -> list[Customer]:
    """Each customer's events, by account id. A request that names none counts for nobody."""
    accepted: dict[int, list[Invocation]] = defaultdict(list)
    for one in side.invocations:
        if one.outcome is Outcome.ACCEPTED and one.parcel.account_id is not None:
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
    """How long each event of an accepted request took from the answer to the partner; 0 if it was there before."""
    arrivals = (ledger.arrivals.get(event_id) for event_id in invocation.parcel.event_ids)
    return [max(0.0, times_s[0] - _answered_s(invocation)) for times_s in arrivals if times_s]


def calls_during_cooldown(calls: Iterable[Call]) -> list[Call]:
    """Calls that came while a Retry-After still held, of the same customer, later than the news of it needs to travel.

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
        if one.outcome is not Outcome.ACCEPTED:
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
        for outcome in Outcome
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


def problems(sides: Mapping[str, Summary]) -> list[str]:
    """The demo's problems, in words; empty if it showed what it should."""
    found = [
        f"{name} lost {summary.lost} of {summary.events_accepted} accepted events"
        for name, summary in sides.items()
        if summary.lost
    ]
    spillway = sides[SPILLWAY]
    for count, text in (
        (spillway.throttled, f"throttled {spillway.throttled} of {spillway.invocations} requests"),
        (spillway.failed, f"failed {spillway.failed} of {spillway.invocations} requests"),
        (
            spillway.false_dead_letters,
            f"gave up {spillway.false_dead_letters} events that the partner would have taken",
        ),
        (spillway.waiting, f"still had {spillway.waiting} messages to deliver when the demo gave up waiting"),
    ):
        if count:
            found.append(f"{SPILLWAY} {text}")
    return found


def was_too_busy(sides: Mapping[str, Summary]) -> bool:
    """Whether other work on the machine may explain all problems: it can explain late, throttled and failed requests.

    It does not explain lost or falsely dead-lettered events.
    """
    grave = any(one.lost for one in sides.values()) or sides[SPILLWAY].false_dead_letters
    return not grave and any((one.busy_elsewhere or 0) >= BUSY for one in sides.values())


def busy_text(sides: Mapping[str, Summary]) -> str:
    """How much of the machine other work took, and what to do about it."""
    most = max(one.busy_elsewhere or 0 for one in sides.values())
    return f"other work took {100 * most:.0f} % of this machine's processors meanwhile; end it and run the demo again"


def verdict(spillway: Summary) -> str:
    """What happened to the events, in a sentence, if there is no problem."""
    ends = [f"delivered {spillway.delivered:,} of {spillway.events_accepted:,} events"]
    if spillway.parked:
        ends.append(f"parked {spillway.parked:,}")
    if spillway.dead_lettered:
        ends.append(f"gave up {sum(spillway.dead_lettered.values()):,} messages, all of them rightly")
    return f"{SPILLWAY} took all {spillway.invocations:,} requests and {_listed(ends)}; none is lost"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


ROWS = (
    ("Requests sent", "invocations", ""),
    ("Accepted", "accepted", ""),
    ("Throttled (429)", "throttled", ""),
    ("Failed", "failed", ""),
    ("Answer time, median", "answer_ms_p50", " ms"),
    ("Answer time, 99th percentile", "answer_ms_p99", " ms"),
    ("Events in accepted requests", "events_accepted", ""),
    ("Events delivered", "delivered", ""),
    ("Events not delivered yet", "undelivered", ""),
    ("Duplicates", "duplicates", ""),
    ("Lost", "lost", ""),
    ("Refused by the partner (429)", "refused", ""),
    ("Time to drain", "drain_s", " s"),
)
TROUBLE_ROWS = (
    ("Failed by the partner (5xx)", "errors", ""),
    ("Calls during a cool-down", "calls_during_cooldown", ""),
    ("Allowance used while events waited", "allowance_used", "%"),
    ("Events parked", "parked", ""),
    ("Dead letters", "dead_lettered", ""),
    ("Falsely dead-lettered", "false_dead_letters", ""),
)
"""The figures that only a scenario with trouble has."""


def cells(sides: Mapping[str, Summary]) -> list[tuple[str, str, list[str]]]:
    """The comparison, a row a number: its name, its label, and each side's as text with the unit."""
    rows = ROWS if len(sides) > 1 else (*ROWS[:-1], *TROUBLE_ROWS, ROWS[-1])
    return [(name, label, [_text(getattr(one, name), unit) for one in sides.values()]) for label, name, unit in rows]


def _text(value: Any, unit: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {reason}" for reason, count in value.items()) or "0"
    return f"{100 * value:.0f} %" if unit == "%" else f"{value:,}{unit}"


def table(sides: Mapping[str, Summary]) -> Table:
    """The comparison for a terminal."""
    result = Table()
    result.add_column("")
    for name in sides:
        result.add_column(name, justify="right", style="bold" if name == SPILLWAY else "")
    for name, label, texts in cells(sides):
        shown = [
            Text(text, style=BAD) if name in BAD_WHEN_ANY and getattr(summary, name) else text
            for text, summary in zip(texts, sides.values(), strict=True)
        ]
        result.add_row(label, *shown)
    return result


def customers_table(summary: Summary) -> Table:
    """Each customer's events for a terminal."""
    result = Table()
    for heading in ("customer", "events", "delivered", "parked", "dead", "median", "p99"):
        result.add_column(heading, justify="left" if heading == "customer" else "right")
    for one in summary.customers:
        result.add_row(*customer_cells(one))
    return result


def customer_cells(one: Customer) -> list[str]:
    """A customer's row: who, how many events, what became of them, how long they took."""
    counts = [f"{count:,}" for count in (one.accepted, one.delivered, one.parked, one.dead)]
    times = ["–" if value is None else f"{value:,.1f} s" for value in (one.p50_s, one.p99_s)]
    return [f"{one.account_id} {one.name}".strip(), *counts, *times]


def as_json(sides: Mapping[str, Side], *, scenario: str, settings: Mapping[str, Any], notes: Sequence[str]) -> bytes:
    """`report.json`: each side's summary by its name in small letters, what the demo ran with, and each second."""
    report = {
        "scenario": scenario,
        **{name.lower(): asdict(summarise(side)) for name, side in sides.items()},
        "settings": dict(settings),
        "timeline": {name.lower(): timeline(side) for name, side in sides.items()},
        "notes": list(notes),
    }
    return orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)
