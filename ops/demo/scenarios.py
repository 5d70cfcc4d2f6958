"""The demo's scenarios: the requests and their times, the partner's behaviour, and the intended outcome.

    spike      many requests at once, by both designs
    outage     the partner is down in the middle of the requests
    throttle   the partner takes far less than is sent, and its rate is not declared
    poison     some events are refused whatever happens
    noisy      three customers: one as always, one floods, the third one's credentials are wrong

All but the spike show Spillway alone: a design without a queue has nothing to wait with.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ops.demo.figures import Expected
from ops.demo.settings import DemoSettings
from ops.local.mparticle import Parcel, arrivals
from ops.local.partner_api import Behaviour
from shared.errors import InvalidSettings
from shared.message import to_json
from testkit.requests import make_request

DEMO_API_KEY = "demo-api-key"
WRONG_KEY = "revoked-api-key"
CUSTOMERS = range(5001, 5006)
HEALTHY, FLOODING, UNAUTHORIZED = 5001, 5002, 5003

SEEDS_APART = 200_000
"""Each request of a demo has a seed of its own; those of another SEED start where these end."""
POISON_EVERY = 41
"""One request in this many has an event that the partner refuses with 400."""
POISON_STRIKES = 6
"""MAX_STRIKES of the poison demo: with the default of 50 the event that gets 500 is given up after hours."""
SMALL = {"limit": 24, "calls_at_once_at_least": 40}
"""Room for requests that are not the point, and connections enough that the partner alone decides."""


@dataclass(frozen=True, slots=True)
class Plan:
    """mParticle's requests with their times (seconds from the start), and the partner's behaviour."""

    parcels: Sequence[Parcel]
    due_s: Sequence[float]
    behaviour: Behaviour
    never: frozenset[str] = frozenset()
    """Events that can not arrive in this demo."""
    refused: frozenset[str] = frozenset()
    """Those of them that the partner refuses for good: they belong in the dead-letter queue."""
    stay: int = 0
    """Messages that may be on the main queue when all is done: a suspended account's."""

    def expected(self, names: Mapping[int, str]) -> Expected:
        """The intended outcome, with which the report compares."""
        behaviour = self.behaviour
        return Expected(
            refused=self.refused,
            never=self.never,
            stay=self.stay,
            rate_per_s=behaviour.rate_per_s,
            account_rate_per_s=behaviour.account_rate_per_s,
            outages=behaviour.outages,
            names=names,
        )


@dataclass(frozen=True, slots=True)
class DemoScenario:
    """One scenario; `defaults` are the settings that it brings, all of which a person may change."""

    name: str
    title: str
    story: str
    """A sentence about the scenario for the report's head; with fields of the settings in braces."""
    plan: Callable[[DemoSettings], Plan]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    env: Callable[[DemoSettings], Mapping[str, str]] = lambda _: {}
    """Variables of the deploy, beside those of every demo."""
    shows: Sequence[str] = ()
    """Settings that only this scenario uses."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Customers that have a part to play."""
    settle_s: float = 20.0
    """How long the queue may take to become empty after the last delivery."""
    notes: Sequence[str] = ()
    compares: bool = False
    """Whether the direct design runs, too."""

    def settings(self, **given: Any) -> DemoSettings:
        """The scenario's settings, overridden by the user's. Raises InvalidSettings."""
        return DemoSettings(**{**self.defaults, **{name: value for name, value in given.items() if value is not None}})


def scenario_named(name: str) -> DemoScenario:
    """Raises InvalidSettings that names the scenarios that exist."""
    if name not in SCENARIOS:
        raise InvalidSettings(f"SCENARIO must be one of {', '.join(SCENARIOS)}: there is no scenario {name!r}")
    return SCENARIOS[name]


def parcel(
    settings: DemoSettings,
    number: int,
    *,
    account_id: int | None = None,
    events: int | None = None,
    key: str = DEMO_API_KEY,
) -> Parcel:
    """A demo's request by its number; without an account the customers take turns."""
    seed = settings.seed * SEEDS_APART + number
    customer = CUSTOMERS[seed % len(CUSTOMERS)] if account_id is None else account_id
    count = settings.events if events is None else events
    request = make_request("event_processing_request", seed=seed, events=count, account_id=customer)
    request["account"]["account_settings"] = {"apiKey": key}
    request.pop("system_notifications", None)  # a call to the partner each, which the events' numbers would not show
    return Parcel(to_json(request), tuple(event["id"] for event in request["events"]), customer)


def calm(settings: DemoSettings) -> Behaviour:
    """The partner as it always is, before trouble begins."""
    return Behaviour(
        latency_ms=settings.partner_latency_ms,
        rate_per_s=settings.partner_rate,
        failure_rate=settings.partner_failure_rate,
        token=DEMO_API_KEY,
        seed=settings.seed,
    )


def _spike(settings: DemoSettings) -> Plan:
    parcels = [parcel(settings, 2 + number) for number in range(settings.requests)]
    due_s = arrivals(len(parcels), calm_rps=settings.calm_rps, spike_rps=settings.spike_rps)
    return Plan(parcels, due_s, calm(settings))


def _outage(settings: DemoSettings) -> Plan:
    plan = _spike(settings)
    begin_s = round(plan.due_s[-1] / 4, 1)
    window = (begin_s, begin_s + settings.outage_s)
    return replace(plan, behaviour=replace(plan.behaviour, outages=(window,)))


def _throttle(settings: DemoSettings) -> Plan:
    plan = _spike(settings)
    return replace(plan, behaviour=replace(plan.behaviour, retry_after_s=settings.retry_after_s))


def _poison(settings: DemoSettings) -> Plan:
    """The last event of each POISON_EVERY-th request gets 400; the first event of one request gets 500, always."""
    plan = _spike(settings)
    some = [one.event_ids[-1] for one in plan.parcels[POISON_EVERY // 2 :: POISON_EVERY]]
    one = plan.parcels[len(plan.parcels) // 4 + 1].event_ids[0]
    answers = {**dict.fromkeys(some, 400), one: 500}
    poison = frozenset(answers)
    return replace(plan, behaviour=replace(plan.behaviour, answers=answers), never=poison, refused=poison)


def _noisy(settings: DemoSettings) -> Plan:
    """Two customers send evenly; the third sends all the rest within a fifth of the time."""
    span_s = settings.requests / (settings.spike_rps / 2)
    steady = {HEALTHY: 5.0, UNAUTHORIZED: 2.0}
    due = [(number / rps, customer) for customer, rps in steady.items() for number in range(int(span_s * rps))]
    flood = max(1, settings.requests - len(due))
    due += [(span_s * (0.2 + 0.2 * number / flood), FLOODING) for number in range(flood)]
    due.sort()
    keys = {UNAUTHORIZED: WRONG_KEY}
    parcels = [
        parcel(settings, 2 + number, account_id=customer, key=keys.get(customer, DEMO_API_KEY))
        for number, (_, customer) in enumerate(due)
    ]
    wrong = frozenset(event_id for one in parcels if one.account_id == UNAUTHORIZED for event_id in one.event_ids)
    behaviour = replace(calm(settings), account_rate_per_s=settings.account_rate)
    return Plan(
        parcels, [due_s for due_s, _ in due], behaviour, never=wrong, stay=2
    )  # the first refused, and the probe


def _declared(settings: DemoSettings) -> dict[str, str]:
    return {"WEBHOOK_RATE": f"{settings.partner_rate:g}"}


SCENARIOS = {
    one.name: one
    for one in (
        DemoScenario(
            "spike",
            "One spike, one partner, two designs",
            "{requests:,} requests from mParticle, {spike_rps:.0f} a second at the peak. The partner takes"
            " {partner_latency_ms:,} ms for a call. Direct calls it while mParticle waits; Spillway answers, queues and"
            " delivers. Both may run {limit:,} executions at once.",
            _spike,
            compares=True,
        ),
        DemoScenario(
            "outage",
            "The partner is down amid a spike",
            "{requests:,} requests from mParticle, {spike_rps:.0f} a second at the peak. A quarter into them the"
            " partner answers 503 to everything for {outage_s:g} s. What should happen: Spillway's breaker opens for"
            " the whole fleet, probes look whether the partner is back, and the backlog follows at a rate that grows.",
            _outage,
            shows=("outage_s",),
            defaults={"requests": 1200, **SMALL, "partner_latency_ms": 200, "spike_rps_at_most": 35.0},
            env=_declared,
            settle_s=60.0,
            notes=(
                "The deployed rule ticks once a minute, so that an intake which was stopped comes back within that"
                " time; the embedded AWS looks at its rules every 10 s. One tick before the requests told the fleet"
                " which mapping feeds it.",
            ),
        ),
        DemoScenario(
            "throttle",
            "The partner takes a third of what is sent",
            "{requests:,} requests from mParticle, {spike_rps:.0f} a second at the peak, {events} events in each. The"
            " partner takes {partner_rate_per_s:g} calls a second and answers 429 with Retry-After: {retry_after_s} "
            " above it. Nobody told Spillway: it should find out, and keep to it.",
            _throttle,
            shows=("retry_after_s",),
            defaults={
                "requests": 700,
                **SMALL,
                "partner_latency_ms": 100,
                "partner_rate": 30.0,
                "spike_rps_at_most": 40.0,
            },
            settle_s=60.0,
        ),
        DemoScenario(
            "poison",
            "Events that the partner will never take",
            "{requests:,} requests from mParticle, {spike_rps:.0f} a second at the peak. About one in forty has an"
            " event that the partner refuses with 400, and one event is answered with 500 whenever it comes."
            " They should end in the dead-letter queue with their reason, and everything else arrive.",
            _poison,
            defaults={"requests": 800, **SMALL, "partner_latency_ms": 200, "spike_rps_at_most": 40.0},
            env=lambda settings: {**_declared(settings), "MAX_STRIKES": str(POISON_STRIKES)},
            settle_s=120.0,
            notes=(
                f"MAX_STRIKES is {POISON_STRIKES} here. It is 50 by default, and with the back-off between receives an"
                " event that always gets 500 is then given up after hours.",
            ),
        ),
        DemoScenario(
            "noisy",
            "Three customers: one as always, one floods, one is locked out",
            "{requests:,} requests from three customers. One sends evenly; one sends most of all within a fifth of the"
            " time; the third one's credentials are refused with 401. The partner takes {account_rate:g} calls a second"
            " of each. What that does to each of them is below.",
            _noisy,
            shows=("account_rate",),
            defaults={"requests": 800, **SMALL, "partner_latency_ms": 100, "spike_rps_at_most": 40.0},
            env=lambda settings: {**_declared(settings), "WEBHOOK_ACCOUNT_RATE": f"{settings.account_rate:g}"},
            names={HEALTHY: "healthy", FLOODING: "flooding", UNAUTHORIZED: "locked out"},
            settle_s=60.0,
            notes=(
                "The embedded AWS takes message groups and does nothing with them, so that the healthy customer's"
                " messages stand in the queue behind the flood. On AWS, SQS's fair queues let them pass.",
                "The customer with wrong credentials is suspended: one of its messages probes every three minutes, the"
                " others wait in the parking queue until its credentials work. The demo ends before that.",
            ),
        ),
    )
}
