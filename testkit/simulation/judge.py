"""A run's figures, and which accepted bands they break."""

import math
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from shared.ledger import Whereabouts
from testkit.percentile import percentile
from testkit.simulation.run import Run
from testkit.simulation.scenario import Scenario
from testkit.simulation.truth import Call, Truth
from worker_fn.limits.known_item import FRESH_MS
from worker_fn.limits.windows import HEADROOM
from worker_fn.maintenance import gap

REPORTED = (
    "scenario",
    "events",
    "lost",
    "false_dead_letters",
    "calls_during_cooldown",
    "over_admitted",
    "duplicates",
    "healthy_p99_ratio",
    "seed",
)
ZERO = ("lost", "false_dead_letters", "calls_during_cooldown", "over_admitted")


@dataclass(slots=True)
class Figures:
    """The figures of one scenario. `healthy_p99_ratio`: accepted -> delivered, over the same without the trouble."""

    scenario: str
    seed: int
    events: int
    lost: int
    false_dead_letters: int
    calls_during_cooldown: int
    over_admitted: int
    duplicates: int
    duplicates_explained: int
    healthy_p99_ratio: float | None = None
    out_of_order: int = 0
    misplaced: int = 0
    """Messages that are elsewhere than the workers' facts say."""
    gap: int = 0
    """Messages that the ledger's alarm would call missing."""
    waiting: int = 0
    parked: int = 0
    dead: Counter[str] = field(default_factory=Counter)
    delivered: int = 0
    calls: int = 0
    refused: int = 0
    faults: int = 0
    in_flight_most: int = 0
    deaths: int = 0
    timeouts: int = 0
    crashes: int = 0
    ended_s: float = 0.0
    healthy_p99_s: float = 0.0
    paid_s: float = 0.0
    invocations: int = 0
    worst_second: int = 0
    full_rate_after_s: float | None = None
    """How long it took to the declared rate, where the scenario asks."""
    broken: list[str] = field(default_factory=list)

    def reported(self) -> dict[str, Any]:
        row = asdict(self)
        return {name: row[name] for name in REPORTED}


def judge(run: Run, scenario: Scenario, seed: int, calm: Run | None) -> Figures:
    """Count, and compare with the bands. `calm` is the same without the trouble."""
    truth, queues = run.world.truth, run.queues
    waiting = {held.sent.id for held in queues.waiting()}
    parked = {held.sent.id for held in queues.parked.values()}
    dead = {letter.sent.id for letter in queues.dead}
    lost = wrongly_dead = 0
    for sent in truth.sent.values():
        missing = [item for item in sent.items if item not in truth.accepted]
        refused = [item for item in missing if item in sent.poison]
        if sent.id in waiting or sent.id in parked:
            continue
        if sent.id in dead:
            wrongly_dead += len(missing) - len(refused)
        else:
            lost += len(missing)
    wrongly_dead += sum(1 for letter in queues.dead if not letter.sent.poison)
    reason = "unauthorized" if scenario.partner.poison_status in {401, 403} else "rejected"
    wrongly_dead += sum(
        letter.attributes["reason"] != ("unauthorized" if letter.sent.key else reason)
        for letter in queues.dead
        if letter.sent.poison
    )
    unreceived = queues.streams.unreceived(run.ended_s)
    p99_s = p99(waits_s(truth, scenario))
    figures = Figures(
        scenario=scenario.name,
        seed=seed,
        events=sum(one.messages * one.events for one in scenario.traffic),
        lost=lost,
        false_dead_letters=wrongly_dead,
        calls_during_cooldown=len(calls_in_cool_down(truth)),
        over_admitted=over_admitted(truth, scenario),
        duplicates=sum(len(times) - 1 for times in truth.accepted.values()),
        duplicates_explained=sum(
            min(len(times) - 1, truth.unsure[item]) for item, times in truth.accepted.items() if len(times) > 1
        ),
        out_of_order=out_of_order(truth) if scenario.fleet.fifo else 0,
        misplaced=misplaced(run, waiting, parked, dead),
        gap=gap.missing(run.deployment.counted.steps()) or 0,
        waiting=len(waiting) + unreceived,
        parked=len(parked),
        dead=Counter(letter.attributes["reason"] for letter in queues.dead),
        delivered=len(truth.accepted),
        calls=len(truth.calls),
        refused=sum(call.ended == "refused" for call in truth.calls),
        faults=sum(call.ended == "fault" for call in truth.calls),
        in_flight_most=truth.in_flight_most,
        deaths=truth.deaths,
        timeouts=truth.timeouts,
        crashes=len(run.deployment.crashes),
        ended_s=run.ended_s,
        healthy_p99_s=p99_s,
        paid_s=truth.paid_s,
        invocations=truth.invocations,
        worst_second=max(Counter(int(call.at_s) for call in truth.calls).values(), default=0),
    )
    if scenario.bands.full_rate_from_s is not None:
        figures.full_rate_after_s = full_rate_after_s(truth, scenario)
    if calm is not None:
        figures.healthy_p99_ratio = round(p99_s / p99(waits_s(calm.world.truth, scenario)), 2)
    figures.broken = list(broken_bands(figures, scenario))
    return figures


def misplaced(run: Run, waiting: Container[str], parked: Container[str], dead: Container[str]) -> int:
    """Messages whose place by the facts is none of those in which they truly are: what the ledger would get wrong.

    One that died with a worker between two steps may be in two places.
    """
    count = 0
    for sent in run.world.truth.sent.values():
        truly = {
            place
            for place, ids in ((Whereabouts.WAITING, waiting), (Whereabouts.PARKED, parked), (Whereabouts.DEAD, dead))
            if sent.id in ids
        }
        if Whereabouts.WAITING in truly:
            truly.add(Whereabouts.UNSEEN)  # it was received, and nobody had the time to say so
            truly.add(Whereabouts.PARKED)  # it was moved back, and not received since
        told = run.deployment.facts.place_of(sent.id)
        count += told not in (truly or {Whereabouts.DELIVERED})
    return count


def broken_bands(figures: Figures, scenario: Scenario) -> Iterable[str]:
    """The figures outside of the scenario's bands, in words."""
    bands = scenario.bands
    unexplained = figures.duplicates - figures.duplicates_explained
    most: list[tuple[str, float, float]] = [
        *((name, getattr(figures, name), 0) for name in ZERO),
        ("exceptions of the worker", figures.crashes, 0),
        ("invocations that ran out of time", figures.timeouts, 0),
        ("duplicates without a cause", unexplained, 0),
        ("messages that the ledger misplaces", figures.misplaced, 0),
        ("messages that the ledger's alarm misses", figures.gap, 0),
        ("events before their turn", figures.out_of_order, 0),
        ("duplicates", figures.duplicates, bands.duplicate_share * figures.events),
        ("healthy_p99_ratio", figures.healthy_p99_ratio or 0, bands.healthy_p99_ratio),
        ("waiting", figures.waiting, bands.waiting),
        ("parked", figures.parked, bands.parked),
        ("in flight", figures.in_flight_most, bands.in_flight),
        ("seconds to the full rate", figures.full_rate_after_s or 0, bands.full_rate_within_s),
        ("calls that failed", figures.faults, float("inf") if bands.faults is None else bands.faults),
        ("seconds until all was settled", figures.ended_s, float("inf") if bands.seconds is None else bands.seconds),
    ]
    yield from (f"{name} = {count:g}, {bound:g} accepted" for name, count, bound in most if count > bound)
    if figures.delivered < bands.delivered:
        yield f"delivered = {figures.delivered}, {bands.delivered} expected"


def waits_s(truth: Truth, scenario: Scenario) -> list[float]:
    """Seconds from accepted to delivered of the events that the trouble is not about."""
    bands = scenario.bands
    return [
        min(truth.accepted[item]) - sent.at_s
        for sent in truth.sent.values()
        if (not bands.healthy_accounts or sent.account in bands.healthy_accounts)
        and bands.healthy_from_s <= sent.at_s < bands.healthy_until_s
        for item in sent.items
        if item in truth.accepted
    ]


FULL_SHARE, KEPT_SHARE, KEPT_FOR_S = 0.9, 0.8, 3
"""A second with nine tenths of the planned calls is a full one, if the three from it on hold four fifths: what a batch
that ends gives up of the present second is nobody's, and where many workers have small batches that is some of it.
"""


def full_rate_after_s(truth: Truth, scenario: Scenario) -> float:
    """Seconds from the first one with more than one call to the first full one."""
    seconds = Counter(int(call.at_s) for call in truth.calls)
    last_s = max(seconds, default=0)
    from_s = math.ceil(scenario.bands.full_rate_from_s or 0.0)
    first_s = next((second for second in range(from_s, last_s) if seconds[second] > 1), last_s)
    planned = HEADROOM * (scenario.partner.rate_per_s or 0.0)
    for second in range(first_s, last_s):
        kept = sum(seconds[second + ahead] for ahead in range(KEPT_FOR_S)) / KEPT_FOR_S
        if seconds[second] >= FULL_SHARE * planned and kept >= KEPT_SHARE * planned:
            return float(second - first_s)
    return float("inf")


def p99(seconds: Sequence[float]) -> float:
    found = percentile(seconds, 0.99)
    return float("inf") if found is None else found


def calls_in_cool_down(truth: Truth) -> list[Call]:
    """Calls by a worker that had been told to wait; and calls by any other begun later than FRESH_MS and one call to
    the state table after the cool-down stood there.
    """
    if not truth.cool_downs:
        return []
    grace_s = FRESH_MS / 1_000 + 2 * truth.state_s
    found = []
    for call in truth.calls:
        knew = any(
            one.environment == call.environment
            and one.at_s < call.at_s < one.until_s - 0.002
            and one.account in {None, call.account}
            for one in truth.cool_downs
        )
        stood = any(
            one.at_s + grace_s < call.at_s < one.until_s - 0.002 and one.account in {None, call.account}
            for one in truth.recorded
        )
        if knew or stood:
            found.append(call)
    return found


def over_admitted(truth: Truth, scenario: Scenario) -> int:
    """Calls beyond what the declared limit or an operator allows in a second, all workers together."""
    partner = scenario.partner
    count = 0
    if partner.rate_per_s is not None and partner.declared:
        seconds = Counter(int(call.at_s) for call in truth.calls)
        count += sum(max(0, calls - int(partner.rate_per_s)) for calls in seconds.values())
    of_account = partner.bulk_rate_per_s or partner.account_rate_per_s
    if of_account is not None:
        accounts = Counter((int(call.at_s), call.account) for call in truth.calls)
        count += sum(max(0, calls - int(of_account)) for calls in accounts.values())
    return count + beyond_what_an_operator_set(truth, scenario)


def beyond_what_an_operator_set(truth: Truth, scenario: Scenario) -> int:
    """Calls beyond an operator's limit, from when every worker can know of it."""
    grace_s = FRESH_MS / 1_000 + 2 * truth.state_s
    count = 0
    for one in scenario.by_hand:
        calls = (call.at_s for call in truth.calls if one.from_s + grace_s < call.at_s < one.until_s)
        count += sum(max(0, n - int(one.per_second)) for n in Counter(map(int, calls)).values())
    return count


def out_of_order(truth: Truth) -> int:
    """Events that arrived before one of the same user that was accepted earlier; a FIFO queue's promise."""
    latest: dict[str, float] = {}
    count = 0
    for sent in sorted(truth.sent.values(), key=lambda one: one.at_s):
        for item in sent.items:
            if item in truth.accepted:
                first_s = min(truth.accepted[item])
                count += first_s < latest.get(sent.group, 0.0)
                latest[sent.group] = max(first_s, latest.get(sent.group, 0.0))
    return count
